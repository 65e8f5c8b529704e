//! The errors of programs that run as steps.

use thiserror::Error;

/// A permanent failure of a step of kind `subprocess`.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// The program is missing, or cannot be executed.
    #[error("program {program} cannot be started: {problem}")]
    NotStarted {
        /// The program.
        program: String,
        /// The message of the system.
        problem: String,
    },
    /// The program exited with a status other than 0.
    #[error("program {program} ended with status {status}{}", tail(.stderr))]
    Status {
        /// The program.
        program: String,
        /// The status.
        status: i32,
        /// The last lines of its stderr.
        stderr: String,
    },
    /// A signal terminated the program.
    #[error("program {program} was ended by signal {signal}{}", tail(.stderr))]
    Signal {
        /// The program.
        program: String,
        /// The signal's number.
        signal: i32,
        /// The last lines of its stderr.
        stderr: String,
    },
    /// The output exceeded the limit.
    #[error("program {program} wrote more than {limit_kib} KiB to stdout")]
    TooMuch {
        /// The program.
        program: String,
        /// The limit.
        limit_kib: usize,
    },
    /// The output is not a single JSON value.
    #[error("the stdout of program {program} is not one JSON value: {problem}{}", tail(.stderr))]
    NoJson {
        /// The program.
        program: String,
        /// The problem and its position.
        problem: String,
        /// The last lines of its stderr.
        stderr: String,
    },
    /// The program exceeded the time limit of its agent.
    #[error("program {program} did not end within {limit_ms} ms, the agent's spec.timeout_ms")]
    Timeout {
        /// The program.
        program: String,
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// The guard process of the program was terminated by another process.
    #[error("program {program}: its guard process was killed")]
    Unwatched {
        /// The program.
        program: String,
    },
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() {
        "; it wrote nothing to stderr".to_owned()
    } else {
        format!("; stderr ends: {stderr}")
    }
}
