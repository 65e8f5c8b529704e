//! What a write says of the trial of its orbit.

use std::io;

use proto::v1::Trial;
use serde_json::{Value, json};

use crate::output;

/// Prints that an orbit in use was not tried, and why; nothing if it was, or if none is in use.
///
/// # Errors
/// What standard output said.
pub(crate) fn show(trial: i32, detail: &str) -> io::Result<()> {
    match Trial::try_from(trial) {
        Ok(Trial::NotTried) => {
            let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
            output::line(format_args!("the orbit was not tried: {detail}"))
        }
        _ => Ok(()),
    }
}

/// The outcome as JSON; `null` if no orbit is in use.
pub(crate) fn json(trial: i32, detail: &str) -> Value {
    match Trial::try_from(trial) {
        Ok(Trial::Passed) => json!({ "outcome": "passed" }),
        Ok(Trial::NotTried) => json!({ "outcome": "not_tried", "detail": detail }),
        _ => Value::Null,
    }
}
