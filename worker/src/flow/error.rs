//! What can go wrong in a flow, and which of it a flow may decide about itself.

use std::time::Duration;

use flow_ir_core::EvalError;
use shared::blueprint::DocumentError;
use shared::blueprint::orbit::{NotRunnable, Obstacle};
use thiserror::Error;

use crate::flow::program_error::ProgramError;

/// Why a script did not do its work.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// The directory of scripts, or a file in it, cannot be read.
    #[error("script directory {path}: cannot be read")]
    Read {
        /// The path.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file whose name cannot be a script's.
    #[error(
        "script file {path:?}: a script's name is made of A-Z a-z 0-9 . _ - and begins with a letter or digit"
    )]
    FileName {
        /// The path.
        path: String,
    },
    /// Two files of one directory whose names are the same script's.
    #[error(
        "script files {one} and {other}: dashes and underscores are the same in a script's name; remove one of them"
    )]
    Twice {
        /// The path of one.
        one: String,
        /// The path of the other.
        other: String,
    },
    /// Scripts that do not compile: every one of them, in the order of their names.
    #[error("{} not compile: {}", do_or_does(.problems.len()), .problems.join("; "))]
    Compile {
        /// What Lua says to each, with file and line.
        problems: Vec<String>,
    },
    /// A script raised an error, or returned what is no JSON.
    #[error("script {script}: {message}")]
    Raised {
        /// The script.
        script: String,
        /// File, line and message.
        message: String,
    },
    /// A script wanted more memory than the sandbox gives.
    #[error("script {script}: more than {limit_mib} MiB of memory wanted")]
    Memory {
        /// The script.
        script: String,
        /// The limit.
        limit_mib: usize,
    },
    /// The sandbox itself could not be set up.
    #[error("the Lua sandbox could not be set up: {message}")]
    Sandbox {
        /// What Lua says.
        message: String,
    },
}

fn do_or_does(n: usize) -> String {
    if n == 1 {
        "1 script does".into()
    } else {
        format!("{n} scripts do")
    }
}

/// Why a step did not return.
#[derive(Debug, Error)]
pub enum StepError {
    /// A script failed: for good.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// A program failed: for good.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// An agent of another kind failed for good.
    #[error("{message}")]
    Permanent {
        /// What to look at or change.
        message: String,
    },
    /// A fault that may pass: the issue goes back to the queue.
    #[error("{message}")]
    Passing {
        /// What happened.
        message: String,
        /// How long the other side asked to wait.
        retry_after: Option<Duration>,
    },
    /// As many runs of the agent go on as may: the issue goes back to the queue, which counts as no retry.
    #[error("{message}")]
    Busy {
        /// Which agent, and how many.
        message: String,
    },
    /// The ceiling or a cancel stopped it.
    #[error("stopped by the ceiling or a cancel")]
    Interrupted,
}

/// Why a flow came to no decision.
#[derive(Debug, Error)]
pub enum FlowError {
    /// The orbit cannot run.
    #[error("orbit {orbit}: {source}{}", own_scripts(.source, .scripts))]
    NotRunnable {
        /// The orbit.
        orbit: String,
        /// The scripts of this worker.
        scripts: Vec<String>,
        /// Everything that is in the way.
        source: NotRunnable,
    },
    /// The model of an agent cannot be asked.
    #[error("agent {agent:?}: {field} {problem}")]
    AgentField {
        /// The agent.
        agent: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A provider of models that is not there.
    #[error("agent {agent:?}: unknown provider {provider:?}; there are {}", list(.known))]
    UnknownProvider {
        /// The agent.
        agent: String,
        /// The provider.
        provider: String,
        /// The providers there are.
        known: Vec<String>,
    },
    /// A program that this worker does not run.
    #[error("agent {agent:?}: program {program:?} is not allowed; DRAFTSMAN_SUBPROCESS_ALLOW of this worker allows {}", list(.allowed))]
    ProgramNotAllowed {
        /// The agent.
        agent: String,
        /// The program.
        program: String,
        /// Those that are allowed.
        allowed: Vec<String>,
    },
    /// An option of an axis that cannot be used.
    #[error("the setting's axis_options.{option} {problem}")]
    AxisOptions {
        /// The axis and the option.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A step failed.
    #[error("step {step:?}: {source}")]
    Step {
        /// The step's `ref`.
        step: String,
        /// Why.
        source: StepError,
    },
    /// An expression or a node met a value that it cannot work with.
    #[error("flow: {0}")]
    Eval(#[from] EvalError),
    /// `$.commit` is not as it must be.
    #[error("commit shape: {field} {problem}")]
    CommitShape {
        /// The field, from `$.commit` on.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A document could not be read or written.
    #[error("serialisation: {0}")]
    Document(#[from] DocumentError),
    /// The setting's ceiling was reached.
    #[error(
        "ceiling exceeded: the flow did not end within {secs} s; raise the setting's ttl_secs or look for a step that hangs"
    )]
    Ceiling {
        /// The ceiling.
        secs: u64,
    },
    /// It was called off.
    #[error("cancelled")]
    Cancelled,
}

impl FlowError {
    /// True if the same flow may well succeed later, so that the issue is worth another attempt.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            FlowError::Step {
                source: StepError::Passing { .. } | StepError::Busy { .. },
                ..
            }
        )
    }

    /// True if the issue only has to wait: no retry is counted.
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            FlowError::Step {
                source: StepError::Busy { .. },
                ..
            }
        )
    }

    /// How long to wait at least before the next attempt, if somebody said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            FlowError::Step {
                source: StepError::Passing { retry_after, .. },
                ..
            } => *retry_after,
            _ => None,
        }
    }

    /// True for what a flow can decide about itself: a step that failed for good, an expression
    /// that has no value. Everything else ends the evaluation.
    pub(super) fn is_caught_by_try(&self) -> bool {
        match self {
            FlowError::Eval(_) => true,
            FlowError::Step { source, .. } => {
                matches!(
                    source,
                    StepError::Script(_) | StepError::Program(_) | StepError::Permanent { .. }
                )
            }
            _ => false,
        }
    }
}

/// What a worker adds where it lacks a script.
fn own_scripts(why: &NotRunnable, scripts: &[String]) -> String {
    let lacks_script = |obstacle: &Obstacle| matches!(obstacle, Obstacle::UnknownScript { .. });
    if why.obstacles().iter().any(lacks_script) {
        format!("; this worker has: {}", list(scripts))
    } else {
        String::new()
    }
}

/// `a, b, c`, or `none`.
fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}
