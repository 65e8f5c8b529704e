//! `EnhanceLogService`: the enhance log.

pub(crate) mod activity;
pub(crate) mod convert;
pub(crate) mod service;
