//! From an orbit's document to something that runs.
//!
//! Whether it can run is what [`shared::blueprint::orbit::check`] says. What is added here is what only this worker
//! knows: its scripts, its models and the programs that it allows.

use std::sync::Arc;

use shared::blueprint::orbit::{self, AgentSpec, OrbitAgent, OrbitSpec, scripts};
use shared::blueprint::{Blueprint, Doc};
use shared::domain::axis_options::AxisOptions;

use crate::flow::agents::Agent;
use crate::flow::agents::agent_context::AgentContext;
use crate::flow::agents::limited::Limited;
use crate::flow::agents::llm::provider::Model;
use crate::flow::agents::llm::{self, LlmAgent};
use crate::flow::agents::lua::LuaAgent;
use crate::flow::agents::remembered::Remembered;
use crate::flow::agents::router::{self, Axes, RouterAgent};
use crate::flow::agents::subprocess::{self, SubprocessAgent};
use crate::flow::error::FlowError;
use crate::flow::plan::Plan;

/// A flow and its agents, ready to run any number of times at once.
#[derive(Debug)]
pub struct Orbit {
    pub(super) plan: Plan,
    pub(super) agents: Vec<Arc<dyn Agent>>,
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
    agent_context: &AgentContext,
) -> Result<Orbit, FlowError> {
    let spec = check(orbit, spawner, agent_context)?;
    let axes = Arc::new(Axes::compile(axis_options, agent_context)?);
    let agents = spec
        .agents
        .iter()
        .map(|agent| live(agent, &axes, agent_context));
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
    agent_context: &AgentContext,
) -> Result<OrbitSpec, FlowError> {
    let has_script = |name: &str| agent_context.scripts.step(name).is_some();
    orbit::check(orbit, spawner, &has_script).map_err(|source| FlowError::NotRunnable {
        orbit: orbit.id().to_string(),
        scripts: agent_context.scripts.step_names(),
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
pub(super) fn script(name: &str, agent_context: &AgentContext) -> usize {
    agent_context
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
    agent_context: &AgentContext,
) -> Result<Arc<dyn Agent>, FlowError> {
    let OrbitAgent {
        name, definition, ..
    } = declared;
    match &declared.spec {
        AgentSpec::Lua { script: named } => {
            let agent = LuaAgent::new(agent_context.pool.clone(), script(named, agent_context));
            if is_router(named) {
                return Ok(Arc::new(RouterAgent::new(
                    agent,
                    axes.clone(),
                    agent_context,
                )));
            }
            Ok(Arc::new(agent))
        }
        AgentSpec::Llm(spec) => {
            let model = Model::find(name, spec.provider.as_deref(), &spec.model)?;
            let what = model.to_string();
            let agent = LlmAgent::new(
                agent_context.models.clone(),
                model,
                &spec.system_prompt,
                spec.past_denials,
            )
            .with_options(spec.json_mode, spec.call.timeout);
            let agent = Limited::new(
                agent,
                llm::kind::KIND,
                name,
                &what,
                spec.call.max_concurrency,
            );
            Ok(Arc::new(Remembered::new(agent, name, definition)))
        }
        AgentSpec::Subprocess {
            program,
            args,
            call,
        } => {
            let agent = SubprocessAgent::new(name, program, args, &agent_context.programs)?
                .with_timeout(call.timeout);
            let agent = Limited::new(agent, subprocess::KIND, name, program, call.max_concurrency);
            Ok(Arc::new(Remembered::new(agent, name, definition)))
        }
    }
}
