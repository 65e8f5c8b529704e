//! The domain: issues, commits, settings, previews and the decision log, as plain types.

pub mod activity;
pub mod actor;
pub mod axis_options;
pub mod bundled;
pub mod channel;
pub mod channel_history;
pub mod commit;
pub mod consumer;
pub mod enhance_log;
pub mod history;
pub mod id_pattern;
pub mod issue;
pub mod issue_ref;
pub mod preview;
pub mod progress;
pub mod proposal;
pub mod setting;
pub mod trace_parent;
pub mod version_selector;
pub mod waiting;
