//! The background loops of a worker, one file for each role.

pub(crate) mod activity_counter;
pub(crate) mod auditor;
mod background_loop;
pub(crate) mod consumer;
pub(crate) mod heartbeat;
pub(crate) mod listener;
pub(crate) mod orbit_watcher;
pub(crate) mod previewer;
pub(crate) mod promoter;
pub(crate) mod pruner;
pub(crate) mod reaper;
pub(crate) mod review_expirer;
pub(crate) mod running_previews;
