//! Obstacles that prevent a Blueprint from running as an orbit.

use std::fmt;

use thiserror::Error;

use crate::blueprint::orbit::kinds::{KIND_ALIASES, KINDS, SPAWNER};
use crate::blueprint::orbit::models::PROVIDERS;
use crate::blueprint::orbit::scripts::BUNDLED_SCRIPTS;

/// The maximum number of obstacles in a message.
const MAX_LISTED: usize = 10;

/// All obstacles of a Blueprint: at least one, those of the flow last.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct NotRunnable {
    obstacles: Vec<Obstacle>,
}

impl NotRunnable {
    pub(super) fn new(obstacles: Vec<Obstacle>) -> Self {
        Self { obstacles }
    }

    /// Returns the obstacles.
    pub fn obstacles(&self) -> &[Obstacle] {
        &self.obstacles
    }

    /// Returns true if all obstacles concern the spawner: its definition is invalid or missing.
    pub fn is_about_spawner(&self) -> bool {
        self.obstacles.iter().all(|obstacle| match obstacle {
            Obstacle::NoSpawner { .. } => true,
            other => other.agent() == Some(SPAWNER),
        })
    }

    /// Returns true if all obstacles concern a kind or a field of an agent, independent of
    /// available scripts and agents.
    pub fn is_malformed_agent(&self) -> bool {
        self.obstacles.iter().all(|obstacle| {
            matches!(
                obstacle,
                Obstacle::UnknownKind { .. } | Obstacle::Field { .. } | Obstacle::NoProvider { .. }
            )
        })
    }
}

impl fmt::Display for NotRunnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, obstacle) in self.obstacles.iter().take(MAX_LISTED).enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{obstacle}")?;
        }
        match self.obstacles.len().saturating_sub(MAX_LISTED) {
            0 => {}
            more => write!(f, "; and {more} more")?,
        }
        // Once for all agents without a provider.
        if self.obstacles.iter().any(Obstacle::is_about_provider) {
            write!(f, "; known providers are: {}", PROVIDERS.join(", "))?;
        }
        Ok(())
    }
}

/// One obstacle.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Obstacle {
    /// The flow is not valid flow.ir.
    #[error("flow is not valid flow.ir: {problem}")]
    Flow {
        /// The error of the flow.ir parser.
        problem: String,
    },
    /// A step names an undeclared agent.
    #[error("flow: step {step:?} names no declared agent; declared are: {}", list(.declared))]
    UndeclaredAgent {
        /// The step's `ref`.
        step: String,
        /// The names of the declared agents.
        declared: Vec<String>,
    },
    /// A write target is not a path.
    #[error("flow: {place} must be a path, such as {{op: path, at: $.applied}}")]
    NotAPath {
        /// The place, for example `step "committer".out`.
        place: String,
    },
    /// An expression calls a function of the host.
    #[error(
        "flow: call_extern {name:?} cannot be called, because no functions are registered here; compute the value in a step"
    )]
    CallExtern {
        /// The function's `ref`.
        name: String,
    },
    /// No node of the flow can write the decision.
    #[error(
        "flow: nothing writes $.commit, so no issue could be decided; let its last step write there, as the committer of enhance-default does"
    )]
    NeverCommits,
    /// The setting's spawner has no agent to replace.
    #[error("no agent is named {SPAWNER:?}, which the setting's spawner replaces; declared are: {}", list(.declared))]
    NoSpawner {
        /// The names of the declared agents.
        declared: Vec<String>,
    },
    /// An agent's kind is missing or unknown.
    #[error("agent {agent:?} has {}; known kinds are: {}", kind(.given), kinds())]
    UnknownKind {
        /// The agent.
        agent: String,
        /// The given kind, if present.
        given: Option<String>,
    },
    /// A field of an agent is missing or invalid.
    #[error("agent {agent:?} of kind {kind}: {field} {problem}")]
    Field {
        /// The agent.
        agent: String,
        /// The kind of the agent.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// The description of the problem.
        problem: String,
    },
    /// An agent names an unknown script.
    #[error(
        "agent {agent:?} names the script {script:?}, which is not known; bundled are: {}; a worker whose \
         DRAFTSMAN_LUA_DIR has it makes it known while it runs",
        BUNDLED_SCRIPTS.join(", ")
    )]
    UnknownScript {
        /// The agent.
        agent: String,
        /// The name of the script.
        script: String,
    },
    /// An agent names no provider, and its model does not imply one.
    #[error(
        "agent {agent:?} of kind {kind}: spec.provider is missing, and the model {model:?} does not determine it"
    )]
    NoProvider {
        /// The agent.
        agent: String,
        /// The kind of the agent.
        kind: &'static str,
        /// The model.
        model: String,
    },
    /// An agent names an unknown provider.
    #[error("agent {agent:?}: unknown provider {provider:?}")]
    UnknownProvider {
        /// The agent.
        agent: String,
        /// The provider.
        provider: String,
    },
}

impl Obstacle {
    fn is_about_provider(&self) -> bool {
        matches!(
            self,
            Obstacle::NoProvider { .. } | Obstacle::UnknownProvider { .. }
        )
    }

    /// Returns the agent with the invalid definition, if any.
    pub fn agent(&self) -> Option<&str> {
        match self {
            Obstacle::UnknownKind { agent, .. }
            | Obstacle::Field { agent, .. }
            | Obstacle::UnknownScript { agent, .. }
            | Obstacle::NoProvider { agent, .. }
            | Obstacle::UnknownProvider { agent, .. } => Some(agent),
            Obstacle::Flow { .. }
            | Obstacle::UndeclaredAgent { .. }
            | Obstacle::NotAPath { .. }
            | Obstacle::CallExtern { .. }
            | Obstacle::NeverCommits
            | Obstacle::NoSpawner { .. } => None,
        }
    }
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

fn kinds() -> String {
    let aliases = KIND_ALIASES.map(|(alias, kind)| format!("{alias} (runs as {kind})"));
    format!("{}, {}", KINDS.join(", "), aliases.join(", "))
}
