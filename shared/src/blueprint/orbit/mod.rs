//! Checks whether a Blueprint can run as an orbit, and returns its runnable form.
//!
//! A target is stored with any flow. An orbit must be valid down to the last step. [`check`] is the
//! only validator. It runs before a write of an orbit in use, in the axis `orbit`, and in a worker
//! before a run. It returns an [`OrbitSpec`], from which a worker creates agents without further
//! checks, or all obstacles at once.
//!
//! Facts that only one worker knows remain errors of the run: its allowed programs and the API keys
//! of its models.
//!
//! ```text
//! agent.rs     agents[]: kind and spec          flow.rs      the flow.ir node
//! models.rs    providers of models              scripts.rs   names of scripts
//! obstacle.rs  the obstacles and their messages
//! ```

pub mod kinds;
pub mod models;
pub mod scripts;

mod agent;
mod flow;
mod obstacle;

#[cfg(test)]
mod tests;

use flow_ir_core::Node;

use crate::blueprint::blueprint::Blueprint;
use crate::blueprint::doc::Doc;
use crate::blueprint::orbit::kinds::SPAWNER;

pub use self::agent::{AgentSpec, LlmSpec, MAX_PAST_DENIALS, OrbitAgent};
pub use self::flow::segments;
pub use self::obstacle::{NotRunnable, Obstacle};

/// A runnable Blueprint.
#[derive(Debug, Clone, PartialEq)]
pub struct OrbitSpec {
    /// The flow. Every step names one of `agents`, and every write target is a path.
    pub flow: Node,
    /// The declared agents in the document's order, with the setting's spawner in place of the
    /// orbit's.
    pub agents: Vec<OrbitAgent>,
}

impl OrbitSpec {
    /// Returns the index of the agent with this name.
    pub fn agent_index(&self, name: &str) -> Option<usize> {
        self.agents.iter().position(|agent| agent.name == name)
    }
}

/// Checks that `blueprint` can run and returns its runnable form. A setting's `spawner` replaces
/// the agent [`SPAWNER`], which is then not checked. `has_script` returns whether an agent of kind
/// `lua` can name a script.
///
/// # Errors
/// [`NotRunnable`] with all obstacles.
pub fn check(
    blueprint: &Blueprint,
    spawner: Option<&Doc>,
    has_script: &dyn Fn(&str) -> bool,
) -> Result<OrbitSpec, NotRunnable> {
    let mut obstacles = Vec::new();
    let mut agents = Vec::with_capacity(blueprint.agents().len());
    for declared in blueprint.agents() {
        let name = declared.get("name").and_then(Doc::as_str);
        let name = name.unwrap_or_default();
        let definition = match spawner {
            Some(spawner) if name == SPAWNER => spawner,
            _ => declared,
        };
        agents.extend(agent::read(name, definition, has_script, &mut obstacles));
    }
    let declared: Vec<&str> = blueprint
        .agents()
        .iter()
        .filter_map(|agent| agent.get("name").and_then(Doc::as_str))
        .collect();
    if spawner.is_some() && !declared.contains(&SPAWNER) {
        let declared = declared.iter().map(|name| (*name).to_owned()).collect();
        obstacles.push(Obstacle::NoSpawner { declared });
    }
    let flow = flow::read(blueprint.flow(), &declared, &mut obstacles);
    match flow {
        Some(flow) if obstacles.is_empty() => Ok(OrbitSpec { flow, agents }),
        _ => Err(NotRunnable::new(obstacles)),
    }
}
