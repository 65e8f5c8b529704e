//! The stored forms: JSON and hash fields with a version, and their conversion to domain types.
//!
//! Decoding is strict: a missing or mistyped field is an error with its name, never a default.

mod channels;
mod commit;
mod format;
mod issue;
mod log;
pub(crate) mod paging;
mod proposal;
mod settings;

pub(crate) use self::settings::{setting, setting_draft};

pub(crate) use self::channels::{
    channel, channel_draft, channel_move, channel_whole, consumer, move_draft, move_whole,
    report_draft,
};
pub(crate) use self::commit::{commit, commit_draft, commit_whole};
pub(crate) use self::format::{FORMAT, check_format, damaged, from_json, read_actor, to_json};
pub(crate) use self::issue::issue;
pub(crate) use self::log::{
    StoredUsage, StoredVerdict, failed_log_draft, log_draft, log_entry, proposed_log_draft,
};
pub(crate) use self::proposal::{proposal, stored_patch, stored_patch_draft};
