//! The axes that are implemented in Rust only.

use shared::domain::axis_options::{JSON_SCHEMA, LLM_JUDGE};

/// The names of the axes without a script.
pub(super) const NATIVE_AXES: [&str; 2] = [JSON_SCHEMA, LLM_JUDGE];
