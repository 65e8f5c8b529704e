//! From an orbit's document to something that runs.
//!
//! Whether it can run is what [`shared::blueprint::orbit::check`] says. What is added here is what only this worker
//! knows: its scripts, its models and the programs that it allows.

use std::sync::Arc;

use shared::axis_options::AxisOptions;
use shared::blueprint::orbit::{self, AgentSpec, OrbitAgent, OrbitSpec, scripts};
use shared::blueprint::{Blueprint, Doc};

use super::agents::Agent;
use super::agents::limited::Limited;
use super::agents::llm::client::Models;
use super::agents::llm::provider::Model;
use super::agents::llm::{self, LlmAgent};
use super::agents::lua::LuaAgent;
use super::agents::remembered::Remembered;
use super::agents::router::{self, Axes, RouterAgent};
use super::agents::subprocess::{self, Programs, SubprocessAgent};
use super::error::FlowError;
use super::lua::pool::Pool;
use super::plan::Plan;
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
/// [`FlowError::NotRunnable`] with everything that the validator found; else [`FlowError`] naming the first thing
/// that this worker cannot run.
pub(super) fn compile(
    orbit: &Blueprint,
    spawner: Option<&Doc>,
    axis_options: &AxisOptions,
    means: &Means,
) -> Result<Orbit, FlowError> {
    let spec = check(orbit, spawner, means)?;
    let axes = Arc::new(Axes::compile(axis_options, means)?);
    let agents = spec.agents.iter().map(|agent| live(agent, &axes, means));
    Ok(Orbit {
        agents: agents.collect::<Result<_, _>>()?,
        plan: plan(&spec),
    })
}

/// What the validator says of `orbit`, with the scripts of this worker.
///
/// # Errors
/// [`FlowError::NotRunnable`].
pub(super) fn check(
    orbit: &Blueprint,
    spawner: Option<&Doc>,
    means: &Means,
) -> Result<OrbitSpec, FlowError> {
    let has_script = |name: &str| means.scripts.step(name).is_some();
    orbit::check(orbit, spawner, &has_script).map_err(|source| FlowError::NotRunnable {
        orbit: orbit.id().to_string(),
        scripts: means.scripts.step_names(),
        source,
    })
}

/// The plan of a checked flow.
pub(super) fn plan(spec: &OrbitSpec) -> Plan {
    Plan::compile(&spec.flow, &|name| spec.agent_index(name))
        .expect("orbit::check has found every agent and every path")
}

/// The script of this name.
///
/// # Panics
/// If the validator was not asked first.
pub(super) fn script(name: &str, means: &Means) -> usize {
    means
        .scripts
        .step(name)
        .expect("orbit::check has asked this worker for the script")
}

/// True if this script runs the verifiers.
pub(super) fn is_router(script: &str) -> bool {
    scripts::is_same(script, router::SCRIPT)
}

/// The agent that does what `declared` says.
fn live(
    declared: &OrbitAgent,
    axes: &Arc<Axes>,
    means: &Means,
) -> Result<Arc<dyn Agent>, FlowError> {
    let OrbitAgent {
        name, definition, ..
    } = declared;
    match &declared.spec {
        AgentSpec::Lua { script: named } => {
            let agent = LuaAgent::new(means.pool.clone(), script(named, means));
            if is_router(named) {
                return Ok(Arc::new(RouterAgent::new(agent, axes.clone(), means)));
            }
            Ok(Arc::new(agent))
        }
        AgentSpec::Llm(spec) => {
            let model = Model::find(name, spec.provider.as_deref(), &spec.model)?;
            let what = model.to_string();
            let agent = LlmAgent::new(
                means.models.clone(),
                model,
                &spec.system_prompt,
                spec.past_denials,
            )
            .with_options(spec.json_mode, spec.call.timeout);
            let agent = Limited::new(agent, llm::KIND, name, &what, spec.call.max_concurrency);
            Ok(Arc::new(Remembered::new(agent, name, definition)))
        }
        AgentSpec::Subprocess {
            program,
            args,
            call,
        } => {
            let agent = SubprocessAgent::new(name, program, args, &means.programs)?
                .with_timeout(call.timeout);
            let agent = Limited::new(agent, subprocess::KIND, name, program, call.max_concurrency);
            Ok(Arc::new(Remembered::new(agent, name, definition)))
        }
    }
}
