//! What Draftsman's programs have in common: documents and their versions, the
//! domain's plain types, and the one place that speaks to Redis.
//!
//! This crate knows nothing of gRPC, of Lua scripts that change documents, or of the
//! environment, and it never spawns a task except where a subscription needs a pump
//! that its owner starts.

// A number that does not fit is an error or the largest that does, and is never cut.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod axis_options;
pub mod blueprint;
pub mod commit;
pub mod config;
pub mod enhance_log;
pub mod error;
pub mod fail_point;
pub mod history;
pub mod id_pattern;
pub mod ids;
pub mod issue;
pub mod json_schema;
pub mod preview;
pub mod program;
mod redis_url;
pub mod setting;
pub mod single_flight;
pub mod step;
pub mod store;
#[cfg(test)]
mod strangers;
pub mod telemetry;
pub mod version_selector;
pub mod whole_ms;
