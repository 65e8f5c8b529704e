//! Prints the trial of an orbit that belongs to a write.

use std::io;

use proto::v1::Trial;
use serde_json::{Value, json};

use crate::output;

/// Prints that an orbit in use was not tried, and the reason. Prints nothing otherwise.
///
/// # Errors
/// Errors of standard output.
pub(crate) fn show(trial: i32, detail: &str) -> io::Result<()> {
    match Trial::try_from(trial) {
        Ok(Trial::NotTried) => {
            let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
            output::line(output::warning(format_args!(
                "the orbit was not tried: {detail}"
            )))
        }
        _ => Ok(()),
    }
}

/// Returns the outcome as JSON; `null` if the write concerns no orbit in use.
pub(crate) fn json(trial: i32, detail: &str) -> Value {
    match Trial::try_from(trial) {
        Ok(Trial::Passed) => json!({ "outcome": "passed" }),
        Ok(Trial::NotTried) => json!({ "outcome": "not_tried", "detail": detail }),
        _ => Value::Null,
    }
}
