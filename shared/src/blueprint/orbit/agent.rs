//! Parses the definition of an agent.

use crate::blueprint::call_spec::{CallSpec, CallSpecFault, JsonMode};
use crate::blueprint::doc::{Doc, Num};
use crate::blueprint::orbit::kinds::{KIND_ALIASES, KINDS};
use crate::blueprint::orbit::models::{PROVIDERS, tells_provider};
use crate::blueprint::orbit::obstacle::Obstacle;

/// The maximum number of past denials in a model's prompt.
pub const MAX_PAST_DENIALS: usize = 10;

/// A declared agent.
#[derive(Debug, Clone, PartialEq)]
pub struct OrbitAgent {
    /// The name that steps refer to.
    pub name: String,
    /// The script, model or program that the agent runs.
    pub spec: AgentSpec,
    /// The source definition.
    pub definition: Doc,
}

/// A script, model or program that an agent runs.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentSpec {
    /// A script of the worker.
    Lua {
        /// The name of the script as in the definition.
        script: String,
    },
    /// A language model.
    Llm(LlmSpec),
    /// An executable on the worker's machine.
    Subprocess {
        /// The path.
        program: String,
        /// The arguments.
        args: Vec<String>,
        /// The call options.
        call: CallSpec,
    },
}

/// A model and its prompt options.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmSpec {
    /// `spec.provider`; `None` if the model's name implies it.
    pub provider: Option<String>,
    /// `profile.model`.
    pub model: String,
    /// `profile.system_prompt`; empty if absent.
    pub system_prompt: String,
    /// `spec.past_denials`: the number of past denials in the prompt.
    pub past_denials: usize,
    /// `spec.json_mode`.
    pub json_mode: JsonMode,
    /// The call options.
    pub call: CallSpec,
}

/// Parses the definition of the agent `name`. Records obstacles and returns `None` if it cannot
/// run.
pub(super) fn read(
    name: &str,
    definition: &Doc,
    has_script: &dyn Fn(&str) -> bool,
    obstacles: &mut Vec<Obstacle>,
) -> Option<OrbitAgent> {
    let given = definition.get("kind").and_then(Doc::as_str);
    let alias = KIND_ALIASES
        .iter()
        .find(|(alias, _)| given == Some(*alias))
        .map(|(_, kind)| *kind);
    let Some(kind) = alias.or_else(|| KINDS.into_iter().find(|kind| given == Some(*kind))) else {
        obstacles.push(Obstacle::UnknownKind {
            agent: name.to_owned(),
            given: given.map(str::to_owned),
        });
        return None;
    };
    let mut fields = Fields {
        name,
        kind,
        definition,
        obstacles,
    };
    let spec = match kind {
        "lua" => fields.lua(has_script),
        "llm" => fields.llm().map(AgentSpec::Llm),
        _ => fields.subprocess(),
    };
    Some(OrbitAgent {
        name: name.to_owned(),
        spec: spec?,
        definition: definition.clone(),
    })
}

/// Reads the fields of a definition. It records invalid fields and continues with the next one.
struct Fields<'a> {
    name: &'a str,
    kind: &'static str,
    definition: &'a Doc,
    obstacles: &'a mut Vec<Obstacle>,
}

impl<'a> Fields<'a> {
    fn lua(&mut self, has_script: &dyn Fn(&str) -> bool) -> Option<AgentSpec> {
        let script = self.text("spec.fn_id")?.to_owned();
        if has_script(&script) {
            return Some(AgentSpec::Lua { script });
        }
        self.obstacles.push(Obstacle::UnknownScript {
            agent: self.name.to_owned(),
            script,
        });
        None
    }

    fn llm(&mut self) -> Option<LlmSpec> {
        if self.member("spec.script_path").is_some() {
            self.wrong(
                "spec.script_path",
                "cannot run, because scripts of documents are not executed; give the agent kind lua and a script of a worker's \
                 DRAFTSMAN_LUA_DIR, or leave the field out to ask the model of its profile",
            );
        }
        let model = self.text("profile.model");
        let provider = self.optional_text("spec.provider");
        let system_prompt = self.optional_text("profile.system_prompt");
        let past_denials = self.integer("spec.past_denials", 0..=MAX_PAST_DENIALS, 0);
        let spec = self.definition.get("spec");
        let json_mode = self.readable(JsonMode::read(spec));
        let call = self.readable(CallSpec::read(spec));
        match (provider?, model) {
            (Some(provider), _) if !PROVIDERS.contains(&provider) => {
                self.obstacles.push(Obstacle::UnknownProvider {
                    agent: self.name.to_owned(),
                    provider: provider.to_owned(),
                });
                return None;
            }
            (None, Some(model)) if !tells_provider(model) => {
                self.obstacles.push(Obstacle::NoProvider {
                    agent: self.name.to_owned(),
                    kind: self.kind,
                    model: model.to_owned(),
                });
                return None;
            }
            _ => {}
        }
        Some(LlmSpec {
            provider: provider?.map(str::to_owned),
            model: model?.to_owned(),
            system_prompt: system_prompt?.unwrap_or_default().to_owned(),
            past_denials: past_denials?,
            json_mode: json_mode?,
            call: call?,
        })
    }

    fn subprocess(&mut self) -> Option<AgentSpec> {
        let program = self.text("spec.program");
        let args = match self.member("spec.args") {
            None => Some(Vec::new()),
            Some(args) => args.as_array().and_then(|args| {
                let texts = args.iter().map(|arg| arg.as_str().map(str::to_owned));
                texts.collect::<Option<Vec<_>>>()
            }),
        };
        if args.is_none() {
            self.wrong("spec.args", "must be an array of strings");
        }
        let call = self.readable(CallSpec::read(self.definition.get("spec")));
        Some(AgentSpec::Subprocess {
            program: program?.to_owned(),
            args: args?,
            call: call?,
        })
    }

    /// Returns the parsed value, or records the fault and returns `None`.
    fn readable<T>(&mut self, read: Result<T, CallSpecFault>) -> Option<T> {
        read.map_err(|fault| self.wrong(fault.field, &fault.problem))
            .ok()
    }

    /// Returns the field `group.name`; `None` if it is missing or null.
    fn member(&self, field: &str) -> Option<&'a Doc> {
        let (group, name) = field.split_once('.')?;
        let found = self.definition.get(group)?.get(name)?;
        (!matches!(found, Doc::Null)).then_some(found)
    }

    fn wrong(&mut self, field: &'static str, problem: &str) {
        self.obstacles.push(Obstacle::Field {
            agent: self.name.to_owned(),
            kind: self.kind,
            field,
            problem: problem.to_owned(),
        });
    }

    /// Returns a non-empty string. Otherwise it records an obstacle and returns `None`.
    fn text(&mut self, field: &'static str) -> Option<&'a str> {
        match self.member(field) {
            Some(Doc::Str(text)) if !text.is_empty() => return Some(text),
            Some(Doc::Str(_)) => self.wrong(field, "is empty"),
            Some(other) => {
                let problem = format!("must be a string, not {}", other.kind());
                self.wrong(field, &problem);
            }
            None => self.wrong(field, "is missing"),
        }
        None
    }

    /// Returns an optional string. For another kind, it records an obstacle and returns `None`.
    fn optional_text(&mut self, field: &'static str) -> Option<Option<&'a str>> {
        match self.member(field) {
            None => Some(None),
            Some(Doc::Str(text)) => Some(Some(text)),
            Some(other) => {
                let problem = format!("must be a string, not {}", other.kind());
                self.wrong(field, &problem);
                None
            }
        }
    }

    /// Returns an integer in `range`, or `absent`. Otherwise it records an obstacle and returns
    /// `None`.
    fn integer(
        &mut self,
        field: &'static str,
        range: std::ops::RangeInclusive<usize>,
        absent: usize,
    ) -> Option<usize> {
        let found = match self.member(field) {
            None => return Some(absent),
            Some(Doc::Num(Num::Int(n))) => usize::try_from(*n).ok(),
            Some(_) => None,
        };
        let found = found.filter(|n| range.contains(n));
        if found.is_none() {
            let problem = format!(
                "must be an integer from {} to {}",
                range.start(),
                range.end()
            );
            self.wrong(field, &problem);
        }
        found
    }
}
