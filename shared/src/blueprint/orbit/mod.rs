//! Whether a Blueprint can run as an orbit, and what it is if it can.
//!
//! A target is a document and is stored whatever its flow says. An orbit must be understood to the last step.
//! [`check`] is the only validator: it is called before a write that would be the orbit of a setting, by the axis
//! `orbit`, and by a worker before it runs one. It returns an [`OrbitSpec`], from which a worker makes agents
//! without a second opinion, or every obstacle at once.
//!
//! What only one worker knows stays an error of the run: the programs that it allows, and the keys of its models.
//!
//! ```text
//! agent.rs     agents[]: kind and spec          flow.rs      the flow.ir node
//! models.rs    providers of models              scripts.rs   names of scripts
//! obstacle.rs  what is wrong, in words
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

/// A Blueprint that can run.
#[derive(Debug, Clone, PartialEq)]
pub struct OrbitSpec {
    /// The flow. Every step names one of `agents`, and every place that is written to is a path.
    pub flow: Node,
    /// The declared agents in the document's order, with the setting's spawner in its place.
    pub agents: Vec<OrbitAgent>,
}

impl OrbitSpec {
    /// The position of the agent of this name.
    pub fn agent_index(&self, name: &str) -> Option<usize> {
        self.agents.iter().position(|agent| agent.name == name)
    }
}

/// Checks that `blueprint` can run and returns it in a form that does. A setting's `spawner` replaces the agent
/// [`SPAWNER`], which is then not looked at. `has_script` tells whether an agent of kind `lua` can name a script.
///
/// # Errors
/// [`NotRunnable`] with everything that is in the way.
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
