//! The axes that are no scripts.

use shared::domain::axis_options::{JSON_SCHEMA, LLM_JUDGE};

/// The axes that are no script.
pub(super) const NATIVE_AXES: [&str; 2] = [JSON_SCHEMA, LLM_JUDGE];
