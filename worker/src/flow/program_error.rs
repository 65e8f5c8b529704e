//! Why a program did not do a step's work.

use thiserror::Error;

/// A step of kind `subprocess` that failed for good.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// It is not there, or cannot be run.
    #[error("program {program} cannot be started: {problem}")]
    NotStarted {
        /// The program.
        program: String,
        /// What the system says.
        problem: String,
    },
    /// It ended with a status other than 0.
    #[error("program {program} ended with status {status}{}", tail(.stderr))]
    Status {
        /// The program.
        program: String,
        /// The status.
        status: i32,
        /// The last lines that it wrote to stderr.
        stderr: String,
    },
    /// A signal ended it.
    #[error("program {program} was ended by signal {signal}{}", tail(.stderr))]
    Signal {
        /// The program.
        program: String,
        /// The signal's number.
        signal: i32,
        /// The last lines that it wrote to stderr.
        stderr: String,
    },
    /// It wrote more than is read.
    #[error("program {program} wrote more than {limit_kib} KiB to stdout")]
    TooMuch {
        /// The program.
        program: String,
        /// The limit.
        limit_kib: usize,
    },
    /// What it wrote is not one JSON value.
    #[error("program {program} wrote to stdout what is not one JSON value: {problem}{}", tail(.stderr))]
    NoJson {
        /// The program.
        program: String,
        /// What is wrong, and where.
        problem: String,
        /// The last lines that it wrote to stderr.
        stderr: String,
    },
    /// It ran for longer than its agent gives it.
    #[error("program {program} did not end within {limit_ms} ms, the agent's spec.timeout_ms")]
    Timeout {
        /// The program.
        program: String,
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// The process that watches over it was ended by somebody.
    #[error("program {program}: the process that watches over it was ended from outside")]
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
