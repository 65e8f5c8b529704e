//! The console: the web page of Draftsman.
//!
//! It is a gRPC client of intake and has no rights of its own: every call has the token of the
//! person who signed in. Every page is complete HTML without JavaScript; one small script keeps the
//! live parts current.

// A conversion that could truncate a number must fail or saturate instead.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod app;
mod assets;
mod calls;
mod edge;
mod failure;
mod pages;
mod server;
mod view;

pub use crate::edge::hosts::{Hosts, InvalidHost};
pub use crate::server::{Config, Server, StartError, bind};
