//! Whether a Blueprint can run as an orbit.
//!
//! A target is a document and is stored whatever its flow says; a Blueprint that runs must be
//! understood to the last step. This is asked before a write that would be the orbit of a setting.

use thiserror::Error;

use crate::blueprint::call_spec::{CallSpec, CallSpecFault, JsonMode};
use crate::blueprint::{Blueprint, Doc, refs};

/// The scripts that every worker has.
pub const BUNDLED_SCRIPTS: &[&str] = &[
    "patch_spawner",
    "patch_applier",
    "verifier_router",
    "committer",
];

/// The agent whose place a setting's `spawner` takes.
pub const SPAWNER: &str = "patch-spawner";

/// The kinds of agent that can run a step.
pub const AGENT_KINDS: &[&str] = &["lua", "llm", "subprocess"];

/// Why a Blueprint cannot run.
#[derive(Debug, Error)]
pub enum NotRunnable {
    /// The flow is no flow.ir.
    #[error("flow is no flow.ir node: {source}")]
    Flow {
        /// What flow.ir says about it.
        source: serde_json::Error,
    },
    /// A step names an agent that is not there.
    #[error("the flow's step {step:?} names no declared agent; declared are: {}", list(.declared))]
    UnknownAgent {
        /// The step's `ref`.
        step: String,
        /// The names of the agents that are there.
        declared: Vec<String>,
    },
    /// There is no agent whose place a setting's spawner could take.
    #[error(
        "it declares no agent {SPAWNER:?}, whose place the setting's spawner takes; declared are: {}", list(.declared)
    )]
    NoSpawner {
        /// The names of the agents that are there.
        declared: Vec<String>,
    },
    /// An agent's kind is missing or unknown.
    #[error("agent {agent:?} has {}; known kinds are: {}", kind(.given), AGENT_KINDS.join(", "))]
    UnknownKind {
        /// The agent.
        agent: String,
        /// Its kind, if it has one.
        given: Option<String>,
    },
    /// An agent lacks a field that its kind needs.
    #[error("agent {agent:?} of kind {kind} needs {field}, a non-empty string")]
    MissingField {
        /// The agent.
        agent: String,
        /// Its kind.
        kind: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field of an agent cannot be used.
    #[error("agent {agent:?}: {} {}", .fault.field, .fault.problem)]
    Field {
        /// The agent.
        agent: String,
        /// The field, and what is wrong with it.
        fault: CallSpecFault,
    },
    /// An agent names a script that is not there.
    #[error(
        "agent {agent:?} names the script {script:?}, which is not there; bundled are: {}; a running worker whose \
         DRAFTSMAN_LUA_DIR has it makes it known",
        BUNDLED_SCRIPTS.join(", ")
    )]
    UnknownScript {
        /// The agent.
        agent: String,
        /// The script's name.
        script: String,
    },
}

/// Checks that `blueprint` can run: its flow parses as flow.ir, every step names a declared agent,
/// and every agent has a known kind and, for `lua`, a script for which `known_scripts` is true.
///
/// # Errors
/// [`NotRunnable`] with the first thing that is in the way.
pub fn check(
    blueprint: &Blueprint,
    known_scripts: &dyn Fn(&str) -> bool,
) -> Result<(), NotRunnable> {
    check_with(blueprint, None, known_scripts)
}

/// As [`check`], with a setting's `spawner` in the place of the agent [`SPAWNER`].
///
/// # Errors
/// As [`check`]; [`NotRunnable::NoSpawner`] if there is no such agent.
pub fn check_with(
    blueprint: &Blueprint,
    spawner: Option<&Doc>,
    known_scripts: &dyn Fn(&str) -> bool,
) -> Result<(), NotRunnable> {
    let flow = serde_json::Value::from(blueprint.flow());
    let _: flow_ir_core::Node =
        serde_json::from_value(flow).map_err(|source| NotRunnable::Flow { source })?;
    for step in refs::step_refs(blueprint.flow()) {
        if blueprint.agent(step).is_none() {
            return Err(NotRunnable::UnknownAgent {
                step: step.to_owned(),
                declared: names(blueprint),
            });
        }
    }
    let agents = blueprint.agents().iter();
    agents
        .filter(|agent| spawner.is_none() || name(agent) != SPAWNER)
        .try_for_each(|agent| check_agent(name(agent), agent, known_scripts))?;
    match spawner {
        Some(_) if blueprint.agent(SPAWNER).is_none() => Err(NotRunnable::NoSpawner {
            declared: names(blueprint),
        }),
        Some(spawner) => check_agent(SPAWNER, spawner, known_scripts),
        None => Ok(()),
    }
}

fn names(blueprint: &Blueprint) -> Vec<String> {
    let agents = blueprint.agents().iter();
    agents.map(|agent| name(agent).to_owned()).collect()
}

fn check_agent(
    name: &str,
    agent: &Doc,
    known_scripts: &dyn Fn(&str) -> bool,
) -> Result<(), NotRunnable> {
    let agent_name = || name.to_owned();
    let spec = |field: &str| {
        agent
            .get("spec")
            .and_then(|spec| spec.get(field))
            .and_then(Doc::as_str)
    };
    let missing = |kind, field| NotRunnable::MissingField {
        agent: agent_name(),
        kind,
        field,
    };
    let unusable = |fault| NotRunnable::Field {
        agent: agent_name(),
        fault,
    };
    match agent.get("kind").and_then(Doc::as_str) {
        Some("lua") => match spec("fn_id") {
            None | Some("") => Err(missing("lua", "spec.fn_id")),
            Some(script) if known_scripts(script) => Ok(()),
            Some(script) => Err(NotRunnable::UnknownScript {
                agent: agent_name(),
                script: script.to_owned(),
            }),
        },
        Some("llm") => {
            let spec = agent.get("spec");
            JsonMode::read(spec).map_err(unusable)?;
            CallSpec::read(spec).map_err(unusable)?;
            Ok(())
        }
        Some("subprocess") => match spec("program") {
            None | Some("") => Err(missing("subprocess", "spec.program")),
            Some(_) => CallSpec::read(agent.get("spec"))
                .map(drop)
                .map_err(unusable),
        },
        given => Err(NotRunnable::UnknownKind {
            agent: agent_name(),
            given: given.map(str::to_owned),
        }),
    }
}

fn name(agent: &Doc) -> &str {
    agent.get("name").and_then(Doc::as_str).unwrap_or_default()
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn kind(given: &Option<String>) -> String {
    match given {
        Some(kind) => format!("the unknown kind {kind:?}"),
        None => "no kind".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORBIT: &str = r#"
id: orbit
flow: {kind: step, ref: a, in: {op: path, at: "$"}, out: {op: path, at: "$.x"}}
agents:
- {name: a, kind: lua, spec: {fn_id: committer}}
"#;

    fn outcome(text: &str) -> Result<(), String> {
        let blueprint = Blueprint::parse(text).unwrap();
        check(&blueprint, &|script| BUNDLED_SCRIPTS.contains(&script))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_runnable_one_passes() {
        assert_eq!(outcome(ORBIT), Ok(()));
        let program = ORBIT.replace(
            "kind: lua, spec: {fn_id: committer}",
            "kind: subprocess, spec: {program: /bin/cat}",
        );
        assert_eq!(outcome(&program), Ok(()));
    }

    #[test]
    fn a_spawner_is_checked_in_the_place_of_the_agent() {
        let known = |script: &str| script == "committer";
        let orbit = ORBIT
            .replace("name: a", "name: patch-spawner")
            .replace("ref: a", "ref: patch-spawner");
        let broken = orbit.replace("kind: lua", "kind: operator");
        let with = |orbit: &str, spawner: &str| {
            let spawner = crate::blueprint::json::parse(spawner).unwrap();
            check_with(&Blueprint::parse(orbit).unwrap(), Some(&spawner), &known)
                .map_err(|e| e.to_string())
        };
        let good = r#"{"kind": "lua", "name": "other", "spec": {"fn_id": "committer"}}"#;
        assert_eq!(with(&orbit, good), Ok(()));
        assert_eq!(
            with(&broken, good),
            Ok(()),
            "what is replaced does not matter"
        );
        let unknown = with(&orbit, &good.replace("committer", "nobody")).unwrap_err();
        assert!(
            unknown.contains("\"patch-spawner\"") && unknown.contains("DRAFTSMAN_LUA_DIR"),
            "{unknown}"
        );
        assert!(with(&orbit, "{}").unwrap_err().contains("no kind"));
        let none = with(ORBIT, good).unwrap_err();
        assert!(
            none.contains("\"patch-spawner\"") && none.ends_with("declared are: a"),
            "{none}"
        );
    }

    #[test]
    fn each_obstacle_is_named() {
        let with = |from: &str, to: &str| outcome(&ORBIT.replace(from, to)).unwrap_err();
        assert!(with("kind: step", "kind: stop").starts_with("flow is no flow.ir node"));
        let unknown = with("ref: a,", "ref: b,");
        assert!(
            unknown.contains("\"b\"") && unknown.ends_with("declared are: a"),
            "{unknown}"
        );
        let kind = with("kind: lua", "kind: operator");
        assert!(
            kind.contains("\"operator\"") && kind.ends_with("lua, llm, subprocess"),
            "{kind}"
        );
        assert!(with("kind: lua, ", "").contains("no kind"));
        let script = with("fn_id: committer", "fn_id: nobody");
        assert!(
            script.contains("\"nobody\"") && script.contains("patch_spawner"),
            "{script}"
        );
        assert!(with("spec: {fn_id: committer}", "spec: {}").contains("spec.fn_id"));
        assert!(with("kind: lua", "kind: subprocess").contains("spec.program"));
        let calls = "kind: lua, spec: {fn_id: committer}";
        let timeout = "kind: llm, spec: {timeout_ms: 0}";
        assert!(with(calls, timeout).starts_with("agent \"a\": spec.timeout_ms must be"));
        let mode = "kind: llm, spec: {json_mode: maybe}";
        assert!(with(calls, mode).contains("spec.json_mode must be on, off or auto"));
    }
}
