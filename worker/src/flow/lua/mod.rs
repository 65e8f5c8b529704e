//! Lua: runs scripts as steps, in sandboxed interpreters that are reused.
//!
//! - [`sandbox`] builds an interpreter: the names that a script can reach, and the hook that stops
//!   it.
//! - [`host`] is the table `host`, the functions that Draftsman offers to scripts.
//! - [`view`] shows documents to Lua without a conversion; [`convert`] converts values back.
//! - [`pool`] manages the interpreters and runs scripts on them.
//! - [`threads`] run long scripts, and all scripts if some are custom.

mod convert;
mod host;
pub(crate) mod pool;
mod sandbox;
mod threads;
mod view;
