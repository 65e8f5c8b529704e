//! From an orbit's document to something that runs.

use std::sync::Arc;

use flow_ir_core::Node;
use serde_json::Value;
use shared::axis_options::AxisOptions;
use shared::blueprint::call_spec::{CallSpec, CallSpecFault, JsonMode};
use shared::blueprint::{Blueprint, Doc, Num};

use super::agents::limited::Limited;
use super::agents::llm::LlmAgent;
use super::agents::llm::client::Models;
use super::agents::llm::provider::Model;
use super::agents::lua::LuaAgent;
use super::agents::remembered::Remembered;
use super::agents::router::{self, Axes, RouterAgent};
use super::agents::subprocess::{Programs, SubprocessAgent};
use super::agents::{Agent, KINDS, llm, lua, subprocess};
use super::error::FlowError;
use super::lua::pool::Pool;
use super::past_denials::MAX_DENIALS;
use super::plan::{Plan, PlanError};
use super::run_state::SPAWNER;
use super::scripts::Scripts;

/// A flow and its agents, ready to run any number of times at once.
#[derive(Debug)]
pub struct Orbit {
    pub(super) plan: Plan,
    pub(super) agents: Vec<Arc<dyn Agent>>,
}

/// What agents run with, whatever their orbit.
#[derive(Debug)]
pub(super) struct Means {
    /// For `lua`: the scripts.
    pub(super) scripts: Arc<Scripts>,
    /// For `lua`: the machines that run them.
    pub(super) pool: Arc<Pool>,
    /// For `llm`.
    pub(super) models: Arc<Models>,
    /// For `subprocess`: which programs, and what they are given.
    pub(super) programs: Programs,
}

/// Compiles `orbit`. `spawner`, a setting's agent definition, takes the place of the agent
/// `patch-spawner` whatever its own name is; `axis_options` are a setting's.
///
/// # Errors
/// [`FlowError`] naming the first thing that cannot run.
pub(super) fn compile(
    orbit: &Blueprint,
    spawner: Option<&Doc>,
    axis_options: &AxisOptions,
    means: &Means,
) -> Result<Orbit, FlowError> {
    let axes = Arc::new(Axes::compile(axis_options, means)?);
    let id = || orbit.id().to_string();
    let node: Node =
        serde_json::from_value(Value::from(orbit.flow())).map_err(|error| FlowError::Orbit {
            orbit: id(),
            problem: error.to_string(),
        })?;

    let mut names: Vec<&str> = Vec::with_capacity(orbit.agents().len());
    let mut agents: Vec<Arc<dyn Agent>> = Vec::with_capacity(orbit.agents().len());
    for declared in orbit.agents() {
        let name = declared
            .get("name")
            .and_then(Doc::as_str)
            .unwrap_or_default();
        let definition = if name == SPAWNER {
            spawner.unwrap_or(declared)
        } else {
            declared
        };
        agents.push(agent(name, definition, &axes, means)?);
        names.push(name);
    }
    let declared = || names.iter().map(|name| (*name).to_owned()).collect();
    if spawner.is_some() && !names.contains(&SPAWNER) {
        return Err(FlowError::NoSpawner {
            orbit: id(),
            declared: declared(),
        });
    }
    let index = |name: &str| names.iter().position(|known| *known == name);
    let plan = Plan::compile(&node, &index).map_err(|error| match error {
        PlanError::UndeclaredRef(name) => FlowError::UndeclaredAgent {
            orbit: id(),
            name,
            declared: declared(),
        },
        PlanError::NoPath(place) => FlowError::Orbit {
            orbit: id(),
            problem: format!("{place} must be a path"),
        },
    })?;
    Ok(Orbit { plan, agents })
}

fn agent(
    name: &str,
    definition: &Doc,
    axes: &Arc<Axes>,
    means: &Means,
) -> Result<Arc<dyn Agent>, FlowError> {
    match text(name, definition.get("kind"), "kind")? {
        lua::KIND => {
            let script = text(
                name,
                definition.get("spec").and_then(|spec| spec.get("fn_id")),
                "spec.fn_id",
            )?;
            let at = means
                .scripts
                .step(script)
                .ok_or_else(|| FlowError::UnknownScript {
                    agent: name.to_owned(),
                    script: script.to_owned(),
                    known: means.scripts.step_names(),
                })?;
            let agent = LuaAgent::new(means.pool.clone(), at);
            if script == router::SCRIPT {
                return Ok(Arc::new(RouterAgent::new(agent, axes.clone(), means)));
            }
            Ok(Arc::new(agent))
        }
        llm::KIND => {
            let member = |group: &str, field| definition.get(group).and_then(|g| g.get(field));
            let optional = |group, field, path| match member(group, field) {
                None | Some(Doc::Null) => Ok(None),
                found => text(name, found, path).map(Some),
            };
            let model = text(name, member("profile", "model"), "profile.model")?;
            let provider = optional("spec", "provider", "spec.provider")?;
            let prompt = optional("profile", "system_prompt", "profile.system_prompt")?;
            let model = Model::find(name, provider, model)?;
            let denials = match member("spec", "past_denials") {
                None | Some(Doc::Null) => Some(0),
                Some(Doc::Num(Num::Int(n))) => usize::try_from(*n).ok(),
                Some(_) => None,
            };
            let denials = denials.filter(|n| *n <= MAX_DENIALS);
            let denials = denials.ok_or_else(|| FlowError::AgentField {
                agent: name.to_owned(),
                field: "spec.past_denials",
                problem: format!("must be an integer from 0 to {MAX_DENIALS}"),
            })?;
            let prompt = prompt.unwrap_or_default();
            let spec = definition.get("spec");
            let json_mode = JsonMode::read(spec).map_err(|fault| unusable(name, fault))?;
            let call = CallSpec::read(spec).map_err(|fault| unusable(name, fault))?;
            let what = model.to_string();
            let agent = LlmAgent::new(means.models.clone(), model, prompt, denials)
                .with_options(json_mode, call.timeout);
            let agent = Limited::new(agent, llm::KIND, name, &what, call.max_concurrency);
            Ok(Arc::new(Remembered::new(agent, name, definition)))
        }
        subprocess::KIND => {
            let spec = definition.get("spec");
            let program = text(
                name,
                spec.and_then(|spec| spec.get("program")),
                "spec.program",
            )?;
            let call = CallSpec::read(spec).map_err(|fault| unusable(name, fault))?;
            let agent = SubprocessAgent::new(name, program, spec, &means.programs)?
                .with_timeout(call.timeout);
            let agent = Limited::new(agent, subprocess::KIND, name, program, call.max_concurrency);
            Ok(Arc::new(Remembered::new(agent, name, definition)))
        }
        kind => Err(FlowError::UnknownKind {
            agent: name.to_owned(),
            kind: kind.to_owned(),
            known: KINDS.map(str::to_owned).to_vec(),
        }),
    }
}

fn unusable(agent: &str, fault: CallSpecFault) -> FlowError {
    FlowError::AgentField {
        agent: agent.to_owned(),
        field: fault.field,
        problem: fault.problem,
    }
}

fn text<'a>(
    agent: &str,
    found: Option<&'a Doc>,
    field: &'static str,
) -> Result<&'a str, FlowError> {
    let problem = match found {
        Some(Doc::Str(text)) => return Ok(text),
        Some(other) => format!("must be a string, not {}", other.kind()),
        None => "is missing".to_owned(),
    };
    Err(FlowError::AgentField {
        agent: agent.to_owned(),
        field,
        problem,
    })
}
