//! The gRPC server of Draftsman: accepts issues, returns their decisions, and gives access to
//! Blueprints, settings and the enhance log.
//!
//! It runs no flow and no Lua, and has no state of its own: everything is in the store. So any
//! number of intakes can run side by side.
//!
//! `connection_limit.rs` limits connections. `auth_layer.rs` checks the token of each call
//! (`tokens.rs`, `rpc.rs`). A service file then validates the request through a `convert`
//! module, calls the store, and converts the result. Failures are a `RequestError`; only
//! `status.rs` maps it to a gRPC status. `paging.rs` splits lists into pages, `watch/` turns Redis
//! events into streams, and `readiness.rs` tracks whether Redis is usable.
//!
//! The program calls [`Args::into_config`] and [`run`]. Tests and `draftsman up` call [`bind`] to
//! learn the port first and then [`Server::serve`].

// A conversion that could truncate a number must fail or saturate instead.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod backend;
mod blueprints;
mod config;
mod convert;
mod edge;
mod error;
mod issues;
mod log;
mod metrics;
mod orbit_trial;
mod paging;
mod queue_metrics;
mod readiness;
mod rpc;
mod scope;
mod server;
mod settings;
mod subscription;
mod watching;

#[cfg(test)]
mod tests;

pub use self::config::{Args, Config};
pub use self::server::{Server, StartError, bind, run};
