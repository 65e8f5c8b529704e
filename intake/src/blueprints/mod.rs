//! `BlueprintService`: documents, versions and whole histories.

mod channels;
mod consumers;
pub(crate) mod convert;
pub(crate) mod service;
mod transfer;
mod versions;
pub(crate) mod watch;
pub(crate) mod write;
