//! What Draftsman's programs have in common: documents and their versions, the
//! domain's plain types, and the one place that speaks to Redis.
//!
//! This crate knows nothing of gRPC, of Lua scripts that change documents, or of the
//! environment, and it never spawns a task except where a subscription needs a pump
//! that its owner starts.

// A number that does not fit is an error or the largest that does, and is never cut.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod blueprint;
pub mod config;
pub mod domain;
pub mod error;
pub mod fail_point;
pub mod ids;
pub mod program;
pub mod single_flight;
pub mod store;
pub mod telemetry;
pub mod whole_ms;
