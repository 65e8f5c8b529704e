//! `EnhanceLogService`: the log of decisions.

pub(crate) mod convert;
pub(crate) mod service;
