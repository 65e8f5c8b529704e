//! Compiles the document of an orbit to a runnable form.
//!
//! [`shared::blueprint::orbit::check`] validates the orbit. This module adds what only this worker
//! knows: its scripts, its models and its allowed programs.

use std::sync::Arc;

use shared::blueprint::orbit::{self, AgentSpec, OrbitAgent, OrbitSpec, scripts};
use shared::blueprint::{Blueprint, Doc};
use shared::domain::axis_options::AxisOptions;

use crate::flow::agents::Agent;
use crate::flow::agents::agent_context::AgentContext;
use crate::flow::agents::cached::Cached;
use crate::flow::agents::limited::Limited;
use crate::flow::agents::llm::provider::Model;
use crate::flow::agents::llm::{self, LlmAgent};
use crate::flow::agents::lua::LuaAgent;
use crate::flow::agents::router::{self, Axes, RouterAgent};
use crate::flow::agents::subprocess::{self, SubprocessAgent};
use crate::flow::error::FlowError;
use crate::flow::plan::Plan;

/// A compiled flow with its agents. It can run any number of times concurrently.
#[derive(Debug)]
pub struct Orbit {
    pub(super) plan: Plan,
    pub(super) agents: Vec<Arc<dyn Agent>>,
}

/// Compiles `orbit`.
///
/// `spawner`, an agent definition from a setting, replaces the agent `patch-spawner`; its own name
/// is ignored. `axis_options` are the options of the setting.
///
/// # Errors
/// [`FlowError::NotRunnable`] with all findings of the validator. Otherwise [`FlowError`] naming
/// the first obstacle on this worker.
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

/// Validates `orbit` with the scripts of this worker.
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

/// Compiles the flow of a validated orbit.
pub(super) fn plan(spec: &OrbitSpec) -> Plan {
    Plan::compile(&spec.flow, &|name| spec.agent_index(name))
        .expect("orbit::check has found every agent and every path")
}

/// Returns the index of the script with this name.
///
/// # Panics
/// If the orbit was not validated.
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

/// Returns the agent for this declaration.
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
            Ok(Arc::new(Cached::new(agent, name, definition)))
        }
        AgentSpec::Subprocess {
            program,
            args,
            call,
        } => {
            let agent = SubprocessAgent::new(name, program, args, &agent_context.programs)?
                .with_timeout(call.timeout);
            let agent = Limited::new(agent, subprocess::KIND, name, program, call.max_concurrency);
            Ok(Arc::new(Cached::new(agent, name, definition)))
        }
    }
}
