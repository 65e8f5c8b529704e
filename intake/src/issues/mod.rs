//! `IntakeService`: submitting, watching, previewing and cancelling issues.

pub(crate) mod convert;
pub(crate) mod preview;
pub(crate) mod service;
mod submission;
mod understanding;
mod waiting;
pub(crate) mod watch;
