//! `IntakeService`: submitting, watching, previewing, reviewing and cancelling issues.

pub(crate) mod convert;
pub(crate) mod preview;
mod review;
pub(crate) mod service;
mod submission;
mod understanding;
mod waiting;
pub(crate) mod watch;
