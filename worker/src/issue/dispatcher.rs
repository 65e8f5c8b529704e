//! The shared state of all dispatches, and the types that their parts exchange.
//!
//! `dispatch.rs` takes one issue from claim to settlement. `claim.rs`, `settle.rs` and
//! `release.rs` contain the calls of the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::blueprint::Blueprint;
use shared::ids::WorkerId;
use shared::store::{Claimed, Head, IssueRef, Store};

use crate::flow::FlowHost;
use crate::flow::flow_threads::FlowThreads;
use crate::issue::documents::DocumentCache;
use crate::issue::leases::Leases;
use crate::issue::orbits::Orbits;
use crate::issue::progress::Progress;
use crate::metrics::Metrics;

/// The shared state of all dispatches.
pub(crate) struct Dispatcher {
    pub(crate) store: Store,
    pub(crate) worker_id: WorkerId,
    pub(crate) leases: Arc<Leases>,
    pub(crate) orbits: Orbits,
    pub(crate) host: Arc<FlowHost>,
    /// Runs flows and other long work on documents.
    pub(crate) flows: Arc<FlowThreads>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) documents: DocumentCache,
    pub(crate) progress: Progress,
    pub(crate) lease: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) max_retries: u32,
}

/// The start of a dispatch.
pub(crate) enum DispatchStart {
    /// A popped element that is not claimed yet.
    Popped(IssueRef),
    /// An issue that the settle of the previous issue has handed over.
    HandedOver(Box<Granted>),
}

impl DispatchStart {
    /// The issue.
    pub(crate) fn issue(&self) -> &IssueRef {
        match self {
            DispatchStart::Popped(issue) => issue,
            DispatchStart::HandedOver(granted) => &granted.claimed.lease.issue,
        }
    }
}

/// A granted lease.
pub(crate) struct Granted {
    /// The lease and the data of its issue.
    pub(crate) claimed: Claimed,
    /// The cached document whose version was sent with the claim. If it is the head, the store did
    /// not send the document. The cache may contain another version by now.
    pub(crate) known: Option<Arc<Blueprint>>,
    /// The earliest possible start of the lease.
    pub(crate) asked: Instant,
}

/// The claim was refused because this worker runs other issues. The issue is still in the worker's
/// own list.
pub(crate) struct NeedsExclusiveRun;

/// The settlement was refused because the head has changed, or the settings of an orbit. The worker
/// keeps the lease.
pub(crate) struct HeadMoved {
    pub(crate) head: Head,
    pub(crate) settings_counter: u64,
}

/// Returns a nonce that identifies a repeated claim.
pub(crate) fn new_nonce() -> String {
    format!("{:016x}", fastrand::u64(..))
}
