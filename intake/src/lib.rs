//! The gRPC edge of Draftsman: it takes issues in, answers what became of them, and keeps
//! Blueprints, settings and the enhance log within reach. It runs no flow and no Lua, and it keeps
//! nothing: everything is in the store, so any number of intakes can stand side by side.
//!
//! A request passes three rooms. A service file reads it through `convert.rs` (wire to
//! domain, every wrong field named at once), asks the store, and turns what comes back into the
//! answer; whatever goes wrong is a `RequestError`, and `status.rs` alone knows which gRPC status
//! that is. `page.rs` cuts lists into pages, `watch.rs` turns Redis events into streams, and
//! `readiness.rs` knows whether Redis is there.
//! Before all of them, `door.rs` bounds connections and `gate.rs` looks at each call's token (`tokens.rs`, `scopes.rs`).
//!
//! The program calls [`Args::into_config`] and [`run`]; tests and `draftsman up` call [`bind`] to
//! learn the port first and then [`Server::serve`].

// A number that does not fit is an error or the largest that does, and is never cut.
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
mod scope;
mod server;
mod settings;

#[cfg(test)]
mod tests;

pub use self::config::{Args, Config};
pub use self::server::{Server, StartError, bind, run};
