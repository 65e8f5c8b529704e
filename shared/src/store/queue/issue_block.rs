//! The queue: each accepted issue is decided exactly once, despite crashes and lost replies.
//!
//! # Places of a queue's head
//!
//! Every Blueprint has its own queue, its *backlog*, in the order of acceptance. Workers process
//! only the head of a queue. The record `places` holds the place of that head:
//!
//! ```text
//!            submit                BRPOPLPUSH + claim
//!   none ───────────────▶ ready ───────────────────────▶ leased
//!    ▲                    ▲ │ ▲                          │ │ │
//!    │  decided, queue    │ │ └── shutdown gives back ───┘ │ │
//!    │  empty             │ └ paused ▶ parked ▶ resumed    │ │
//!    │                    └── due ── delayed ◀─ fault, ────┘ │
//!    │                               lease ran out           │
//!    └───────── settle, cancel, reap to dead ◀───────────────┘  (then the next head is placed)
//! ```
//!
//! On request, a settle leases the next head to the same worker instead of placing it. The queue
//! then stays *leased*.
//!
//! *ready* means that the head's element `<blueprint_id>/<issue_id>` is in `pending` or in exactly
//! one processing list. So every popped element is free to run. Two issues of one Blueprint never
//! run at once, and a long queue does not starve others.
//!
//! # Failures and their repair
//!
//! * A worker dies between pop and claim. The element stays in its processing list, and the place
//!   stays ready. A reaper finds the dead worker's list and returns the element
//!   ([`Shard::return_element`]). It counts no attempt.
//! * The reply of a pop is lost, but the worker is alive. Its heartbeat lists elements without a
//!   lease, and the consumer claims them as popped elements.
//! * A worker dies after the claim. The lease expires, and a reaper delays the issue. An issue that
//!   repeatedly kills its workers runs exclusively, which protects other issues. It is decided
//!   after the maximum number of deaths, the last one in an exclusive run.
//! * A worker dies after a settle that leased the next issue to it. The repair is the same as after
//!   a claim.
//! * A worker stalls beyond its lease and continues. Its token is stale, so each of its calls
//!   returns `stale`. A token combines a monotonic counter with the claimer's nonce, so no two
//!   claims share one.
//! * A reply of claim, settle, release or cancel is lost. The caller repeats the call with the same
//!   nonce, token or id and receives the same result.
//! * Redis loses data, or a script has a defect. The place of a queue can then be wrong and block
//!   it. An audit checks each queue once a minute ([`Shard::audit_queues`]) and repairs it.

use crate::domain::issue_ref::IssueRef;
use crate::ids::{BlueprintId, WorkerId};
use crate::store::redis::keys::{EVENTS_CHANNEL, issue_channel};
use crate::store::redis::shard::Shard;

/// The right to decide an issue until the lease expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The issue.
    pub issue: IssueRef,
    /// The worker that holds it.
    pub worker_id: WorkerId,
    /// The fencing token.
    pub token: String,
}

/// The placeholder for a call without a processing list.
pub(crate) const NOBODY: &str = "-";
/// The placeholder for the head of an empty queue. It is not a valid id.
pub(crate) const NO_HEAD: &str = "-";

impl Shard {
    pub(crate) fn block(&self, issue: &IssueRef, holder: &str) -> Vec<String> {
        self.keys
            .issue_block(&issue.blueprint_id, &issue.issue_id, holder)
    }
}

/// Adds the arguments that the scripts of an issue share.
pub(crate) fn head_args(call: &mut redis::ScriptInvocation<'_>, issue: &IssueRef) {
    head_args_of(call, &issue.blueprint_id, issue.issue_id.as_str());
}

/// Adds the same arguments as [`head_args`], for a queue that can be empty.
pub(crate) fn head_args_of(
    call: &mut redis::ScriptInvocation<'_>,
    blueprint: &BlueprintId,
    issue: &str,
) {
    call.arg(blueprint.as_str()).arg(issue);
    call.arg(EVENTS_CHANNEL).arg(issue_channel(issue));
}
