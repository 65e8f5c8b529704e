//! `SettingService`: settings.

pub(crate) mod convert;
mod options;
pub(crate) mod read_setting;
pub(crate) mod service;
