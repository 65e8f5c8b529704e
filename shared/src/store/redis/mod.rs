//! Access to Redis: connections, keys, scripts, and the check of the server.

pub mod error;
pub mod finding;
pub mod handle;
pub mod keys;
pub mod memory;
pub mod memory_reading;
pub mod pop_handle;
pub mod script;
pub mod server;
pub mod server_check;
pub mod store;

mod connection;
mod locator;
pub(crate) mod reply;
pub(crate) mod shard;
