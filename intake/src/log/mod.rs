//! `EnhanceLogService`: the enhance log.

pub(crate) mod convert;
pub(crate) mod service;
