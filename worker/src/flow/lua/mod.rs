//! Lua: scripts that run steps, in sandboxed machines that are used again.
//!
//! - [`sandbox`] builds a machine: what a script can reach, and the hook that stops it;
//! - [`host`] is the table `host`, what Draftsman offers to scripts;
//! - [`view`] shows documents to Lua without converting them, [`convert`] goes back;
//! - [`pool`] lends machines out and runs a script on one, [`threads`] are what long scripts, and
//!   all that are not bundled, run on.

mod convert;
mod host;
pub(crate) mod pool;
mod sandbox;
mod threads;
mod view;
