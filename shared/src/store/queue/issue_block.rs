//! The queue: how an issue goes from accepted to decided, once, whatever dies on the way.
//!
//! # Who holds what
//!
//! Every Blueprint has a queue of its own, its *backlog*, in the order of acceptance. Only a
//! queue's head can be worked on, and the record `places` says where it is:
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
//! A settle that asks for it leases the next head to the same worker instead of placing it: the queue stays *leased*.
//!
//! *ready* means that its element `<blueprint_id>/<issue_id>` is in `pending` or in exactly
//! one processing list. Whatever a worker pops is therefore free to run; two issues of one
//! Blueprint are never worked on at once, and a long queue starves nobody.
//!
//! # What each failure leaves behind, and who repairs it
//!
//! * A worker dies between pop and claim: the element lies in its processing list, the place
//!   says ready. A reaper finds the dead worker's list and gives the element back
//!   ([`Shard::return_element`]); no attempt is counted.
//! * The reply of a pop gets lost: the same, but the worker lives. Its heartbeat lists elements
//!   that no lease has, and the consumer claims them as if popped.
//! * A worker dies after the claim: the lease runs out and a reaper delays the issue. One that goes on
//!   crashing its workers is claimed alone, so that its neighbours do not pay for it, and is decided
//!   once it has crashed as often as is allowed, the last time alone.
//! * A worker dies after a settle that has leased the next issue to it: the same as after a claim.
//! * A worker stalls past its lease and comes back: its token is not the issue's any more, so
//!   whatever it still says answers `stale`. Tokens come from a counter that only rises plus
//!   the claimer's nonce, so no two claims ever share one.
//! * A reply of claim, settle, release or cancel gets lost: the caller repeats the call under
//!   the same nonce, token or id and gets the answer that it missed.
//! * Redis itself loses something, or a script is wrong: a queue's place may be untrue, and nothing would
//!   ever move it. An audit looks at each queue once a minute ([`Shard::audit_queues`]) and mends it.

use crate::domain::issue_ref::IssueRef;
use crate::ids::{BlueprintId, WorkerId};
use crate::store::redis::keys::{EVENTS_CHANNEL, issue_channel};
use crate::store::redis::shard::Shard;

/// The right to decide an issue, until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The issue.
    pub issue: IssueRef,
    /// The worker that holds it.
    pub worker_id: WorkerId,
    /// The fencing token.
    pub token: String,
}

/// No worker's processing list is meant.
pub(crate) const NOBODY: &str = "-";
/// What stands for the head of a queue that has none; no id can be spelled so.
pub(crate) const NO_HEAD: &str = "-";

impl Shard {
    pub(crate) fn block(&self, issue: &IssueRef, holder: &str) -> Vec<String> {
        self.keys
            .issue_block(&issue.blueprint_id, &issue.issue_id, holder)
    }
}

/// The arguments that every script of an issue begins with.
pub(crate) fn head_args(call: &mut redis::ScriptInvocation<'_>, issue: &IssueRef) {
    head_args_of(call, &issue.blueprint_id, issue.issue_id.as_str());
}

/// As [`head_args`], for a queue that may have no head.
pub(crate) fn head_args_of(
    call: &mut redis::ScriptInvocation<'_>,
    blueprint: &BlueprintId,
    issue: &str,
) {
    call.arg(blueprint.as_str()).arg(issue);
    call.arg(EVENTS_CHANNEL).arg(issue_channel(issue));
}
