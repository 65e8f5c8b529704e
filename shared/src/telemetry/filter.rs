//! The log filter of the configuration.

use crate::config::problem::BadValue;
use crate::telemetry;

/// Parses a log filter for [`telemetry::init`].
///
/// # Errors
/// [`BadValue`] if the filter is empty or does not parse.
pub fn parse_log_filter(text: &str) -> Result<String, BadValue> {
    let expected =
        "a level (error, warn, info, debug, trace, off) or directives like warn,intake=debug";
    if text.trim().is_empty() {
        return Err(BadValue::new(text, expected));
    }
    match telemetry::parse_filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(BadValue::new(text, expected)),
    }
}
