//! `BlueprintService`: documents, versions and whole histories.

pub(crate) mod convert;
pub(crate) mod service;
mod transfer;
mod versions;
pub(crate) mod watch;
pub(crate) mod write;
