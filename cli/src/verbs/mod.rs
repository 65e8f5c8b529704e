//! The verbs, in one file per group.

pub(crate) mod approval;
pub(crate) mod backup;
mod blueprint_watch;
pub(crate) mod blueprints;
pub(crate) mod certs;
pub(crate) mod channels;
pub(crate) mod console;
pub(crate) mod consumers;
pub(crate) mod context;
pub(crate) mod decision;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod follow;
pub(crate) mod fork;
mod history_file;
mod issue_list;
mod issue_lookup;
mod issue_progress;
pub(crate) mod issues;
pub(crate) mod log;
pub(crate) mod near_miss;
pub(crate) mod preview;
pub(crate) mod probe;
mod question;
pub(crate) mod queue;
mod renamed;
pub(crate) mod retry;
pub(crate) mod review;
mod setting_file;
pub(crate) mod settings;
pub(crate) mod stats;
pub(crate) mod sync;
pub(crate) mod top;
pub(crate) mod transfer;
mod trial;
mod use_model;
mod use_orbit;
pub(crate) mod verify;
mod version_lookup;
pub(crate) mod versions;
pub(crate) mod waiting;

/// Largest page of a list.
const MAX_PAGE: usize = 1000;

/// Returns the page size for a list of which `wanted` more items are needed.
fn page_size(wanted: usize) -> i32 {
    i32::try_from(wanted.clamp(1, MAX_PAGE)).unwrap_or(i32::MAX)
}
