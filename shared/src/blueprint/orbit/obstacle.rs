//! What keeps a Blueprint from being an orbit.

use std::fmt;

use thiserror::Error;

use crate::blueprint::orbit::kinds::{KIND_ALIASES, KINDS, SPAWNER};
use crate::blueprint::orbit::models::PROVIDERS;
use crate::blueprint::orbit::scripts::BUNDLED_SCRIPTS;

/// The most obstacles that a message lists.
const MAX_LISTED: usize = 10;

/// Everything that keeps a Blueprint from being an orbit: at least one obstacle, the flow's last.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct NotRunnable {
    obstacles: Vec<Obstacle>,
}

impl NotRunnable {
    pub(super) fn new(obstacles: Vec<Obstacle>) -> Self {
        Self { obstacles }
    }

    /// The obstacles.
    pub fn obstacles(&self) -> &[Obstacle] {
        &self.obstacles
    }

    /// True if each obstacle is in the definition of the spawner, or is that there is no such agent.
    pub fn is_about_spawner(&self) -> bool {
        self.obstacles.iter().all(|obstacle| match obstacle {
            Obstacle::NoSpawner { .. } => true,
            other => other.agent() == Some(SPAWNER),
        })
    }

    /// True if each obstacle is wrong whatever scripts and agents there are: a kind or a field of an agent.
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
        // Once, however many agents lack one.
        if self.obstacles.iter().any(Obstacle::is_about_provider) {
            write!(f, "; known providers are: {}", PROVIDERS.join(", "))?;
        }
        Ok(())
    }
}

/// One thing that is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Obstacle {
    /// The flow is not valid flow.ir.
    #[error("flow is not valid flow.ir: {problem}")]
    Flow {
        /// What flow.ir says about it.
        problem: String,
    },
    /// A step names an agent that is not declared.
    #[error("flow: step {step:?} names no declared agent; declared are: {}", list(.declared))]
    UndeclaredAgent {
        /// The step's `ref`.
        step: String,
        /// The names of the declared agents.
        declared: Vec<String>,
    },
    /// A place that is written to is not a path.
    #[error("flow: {place} must be a path, such as {{op: path, at: $.applied}}")]
    NotAPath {
        /// The place: `step "committer".out`.
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
    /// Nothing in the flow can write the decision.
    #[error(
        "flow: nothing writes $.commit, so no issue could be decided; let its last step write there, as the committer of enhance-default does"
    )]
    NeverCommits,
    /// There is no agent that a setting's spawner could replace.
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
        /// Its kind, if it has one.
        given: Option<String>,
    },
    /// A field of an agent is missing or invalid.
    #[error("agent {agent:?} of kind {kind}: {field} {problem}")]
    Field {
        /// The agent.
        agent: String,
        /// Its kind.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// An agent names a script that is not known.
    #[error(
        "agent {agent:?} names the script {script:?}, which is not known; bundled are: {}; a worker whose \
         DRAFTSMAN_LUA_DIR has it makes it known while it runs",
        BUNDLED_SCRIPTS.join(", ")
    )]
    UnknownScript {
        /// The agent.
        agent: String,
        /// The script's name.
        script: String,
    },
    /// An agent names no provider of models, and its model does not tell one.
    #[error(
        "agent {agent:?} of kind {kind}: spec.provider is missing, and the model {model:?} does not tell it"
    )]
    NoProvider {
        /// The agent.
        agent: String,
        /// Its kind.
        kind: &'static str,
        /// The model.
        model: String,
    },
    /// An agent names a provider of models that does not exist.
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

    /// The agent whose definition is to blame, if one is.
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
