//! Code that Draftsman's programs share: documents and their versions, the plain types of the
//! domain, and the Redis store.
//!
//! This crate does not use gRPC, does not run Lua scripts that change documents, and does not read
//! the environment. It spawns a task only where a subscription needs a pump, and the owner of the
//! subscription starts that pump.

// A number that does not fit is an error or saturates. It is never truncated.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod blueprint;
pub mod certificate;
pub mod config;
pub mod domain;
pub mod error;
pub mod fail_point;
pub mod ids;
pub mod intent;
pub mod prefix;
pub mod program;
pub mod single_flight;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod whole_ms;
