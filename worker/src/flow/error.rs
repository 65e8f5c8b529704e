//! The errors of flows, and which of them a `try` node catches.

use std::time::Duration;

use flow_ir_core::EvalError;
use shared::blueprint::DocumentError;
use shared::blueprint::orbit::{NotRunnable, Obstacle};
use shared::store::StoreError;
use thiserror::Error;

use crate::flow::program_error::ProgramError;

/// An error of a script.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// The directory of scripts, or a file in it, cannot be read.
    #[error("script directory {path}: cannot be read")]
    Read {
        /// The path.
        path: String,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file name is not a valid script name.
    #[error(
        "script file {path:?}: a script's name is made of A-Z a-z 0-9 . _ - and begins with a letter or digit"
    )]
    FileName {
        /// The path.
        path: String,
    },
    /// Two files of one directory have the same script name.
    #[error(
        "script files {one} and {other}: dashes and underscores are the same in a script's name; remove one of them"
    )]
    Twice {
        /// The path of the first file.
        one: String,
        /// The path of the second file.
        other: String,
    },
    /// Scripts do not compile; contains all of them, in the order of their names.
    #[error("{} not compile: {}", do_or_does(.problems.len()), .problems.join("; "))]
    Compile {
        /// The message of Lua for each, with file and line.
        problems: Vec<String>,
    },
    /// A script raised an error, or returned a value that cannot be converted to JSON.
    #[error("script {script}: {message}")]
    Raised {
        /// The script.
        script: String,
        /// The file, the line and the message.
        message: String,
    },
    /// A script exceeded the memory limit of the sandbox.
    #[error("script {script}: exceeded the memory limit of {limit_mib} MiB")]
    Memory {
        /// The script.
        script: String,
        /// The limit.
        limit_mib: usize,
    },
    /// The sandbox could not be created.
    #[error("the Lua sandbox could not be set up: {message}")]
    Sandbox {
        /// The message of Lua.
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

/// An error of a step.
#[derive(Debug, Error)]
pub enum StepError {
    /// A script failed permanently.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// A program failed permanently.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// An agent of another kind failed permanently.
    #[error("{message}")]
    Permanent {
        /// The message, which names what to check or change.
        message: String,
    },
    /// A temporary fault: the issue goes back to the queue.
    #[error("{message}")]
    Transient {
        /// The message.
        message: String,
        /// The delay that the remote service asked for.
        retry_after: Option<Duration>,
    },
    /// The agent is at its concurrency limit: the issue goes back to the queue. This does not count
    /// as a retry.
    #[error("{message}")]
    Busy {
        /// The message, which names the agent and its limit.
        message: String,
    },
    /// The time limit or a cancellation stopped the step.
    #[error("stopped by the time limit or a cancellation")]
    Interrupted,
}

/// The reason why a flow reached no decision.
#[derive(Debug, Error)]
pub enum FlowError {
    /// The orbit is not runnable.
    #[error("orbit {orbit}: {source}{}", own_scripts(.source, .scripts))]
    NotRunnable {
        /// The orbit.
        orbit: String,
        /// The scripts of this worker.
        scripts: Vec<String>,
        /// All obstacles.
        source: NotRunnable,
    },
    /// The model of an agent is not usable.
    #[error("agent {agent:?}: {field} {problem}")]
    AgentField {
        /// The agent.
        agent: String,
        /// The field.
        field: &'static str,
        /// The problem with the field.
        problem: String,
    },
    /// The provider of models is unknown.
    #[error("agent {agent:?}: unknown provider {provider:?}; there are {}", list(.known))]
    UnknownProvider {
        /// The agent.
        agent: String,
        /// The provider.
        provider: String,
        /// The known providers.
        known: Vec<String>,
    },
    /// The program is not allowed on this worker.
    #[error("agent {agent:?}: program {program:?} is not allowed; DRAFTSMAN_SUBPROCESS_ALLOW of this worker allows {}", list(.allowed))]
    ProgramNotAllowed {
        /// The agent.
        agent: String,
        /// The program.
        program: String,
        /// The allowed programs.
        allowed: Vec<String>,
    },
    /// An option of an axis is not usable.
    #[error("the setting's axis_options.{option} {problem}")]
    AxisOptions {
        /// The axis and the option.
        option: &'static str,
        /// The problem with the option.
        problem: String,
    },
    /// A step failed.
    #[error("step {step:?}: {source}")]
    Step {
        /// The step's `ref`.
        step: String,
        /// The error of the step.
        source: StepError,
    },
    /// An expression or a node received a value that it does not support.
    #[error("flow: {0}")]
    Eval(#[from] EvalError),
    /// `$.commit` is invalid.
    #[error("commit shape: {field} {problem}")]
    CommitShape {
        /// The path of the field, starting at `$.commit`.
        field: String,
        /// The problem with the field.
        problem: String,
    },
    /// The stored patch of a proposal cannot be read.
    #[error("stored patch of the proposal is damaged: {0}")]
    StoredPatch(String),
    /// A document could not be read or written.
    #[error("serialisation: {0}")]
    Document(#[from] DocumentError),
    /// The time limit of the setting was reached.
    #[error(
        "time limit exceeded: the flow did not end within {secs} s; raise the setting's ttl_secs or look for a step that hangs"
    )]
    TimeLimit {
        /// The time limit in seconds.
        secs: u64,
    },
    /// A temporary fault before the first step: the issue goes back to the queue.
    #[error("{message}")]
    Transient {
        /// The message.
        message: String,
    },
    /// The document of the head is damaged.
    #[error(transparent)]
    Head(#[from] StoreError),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl FlowError {
    /// Returns the kind of the error, for logs. The text of an error may quote the intent or the
    /// document, which logs never contain.
    pub fn kind(&self) -> &'static str {
        match self {
            FlowError::NotRunnable { .. } => "not_runnable",
            FlowError::Transient { .. } => "transient",
            FlowError::Head(_) => "head",
            FlowError::AgentField { .. } => "agent_field",
            FlowError::UnknownProvider { .. } => "unknown_provider",
            FlowError::ProgramNotAllowed { .. } => "program_not_allowed",
            FlowError::AxisOptions { .. } => "axis_options",
            FlowError::Step { source, .. } => match source {
                StepError::Script(_) => "script",
                StepError::Program(_) => "program",
                StepError::Permanent { .. } => "agent",
                StepError::Transient { .. } | StepError::Busy { .. } => "transient",
                StepError::Interrupted => "interrupted",
            },
            FlowError::Eval(_) => "evaluation",
            FlowError::CommitShape { .. } => "commit_shape",
            FlowError::StoredPatch(_) => "stored_patch",
            FlowError::Document(_) => "document",
            FlowError::TimeLimit { .. } => "time_limit",
            FlowError::Cancelled => "cancelled",
        }
    }

    /// True if the fault is temporary, so that another attempt may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            FlowError::Transient { .. }
                | FlowError::Step {
                    source: StepError::Transient { .. } | StepError::Busy { .. },
                    ..
                }
        )
    }

    /// True if the issue only has to wait; this does not count as a retry.
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            FlowError::Step {
                source: StepError::Busy { .. },
                ..
            }
        )
    }

    /// Returns the minimum delay before the next attempt, if the remote service asked for one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            FlowError::Step {
                source: StepError::Transient { retry_after, .. },
                ..
            } => *retry_after,
            _ => None,
        }
    }

    /// True if a `try` node catches this error: a permanent failure of a step, or an expression
    /// without a value. All other errors end the evaluation.
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

/// Returns the list of this worker's scripts if one is missing.
fn own_scripts(why: &NotRunnable, scripts: &[String]) -> String {
    let lacks_script = |obstacle: &Obstacle| matches!(obstacle, Obstacle::UnknownScript { .. });
    if why.obstacles().iter().any(lacks_script) {
        format!("; this worker has: {}", list(scripts))
    } else {
        String::new()
    }
}

/// Returns the names as `a, b, c`, or `none`.
fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}
