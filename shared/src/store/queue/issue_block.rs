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

use serde::Serialize;

use crate::domain::issue_ref::IssueRef;
use crate::ids::{BlueprintId, WorkerId};
use crate::store::redis::error::StoreError;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::Script;
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

/// The argument of a script with `include/keys.lua`: a map with these fields and those of `own`.
#[derive(Serialize)]
struct ScriptArg<'a, T> {
    blueprint_id: &'a str,
    issue_id: &'a str,
    holder: &'a str,
    #[serde(flatten)]
    own: &'a T,
}

impl Shard {
    /// Runs a script of an issue. `holder` is the worker of the processing list, or [`NOBODY`].
    /// `own` has the fields that the header of the script names; `None` is nil.
    pub(crate) async fn issue_script(
        &self,
        script: &Script,
        issue: &IssueRef,
        holder: &str,
        own: &impl Serialize,
    ) -> Result<Reply, StoreError> {
        let (blueprint, issue_id) = (&issue.blueprint_id, issue.issue_id.as_str());
        self.queue_script(script, blueprint, issue_id, holder, own, None)
            .await
    }

    /// Runs a script as [`Shard::issue_script`], for a queue that can be empty: [`NO_HEAD`]
    /// replaces the id of its head. `document` is a second argument: packed into the first one, a
    /// large document would be copied once more.
    pub(crate) async fn queue_script(
        &self,
        script: &Script,
        blueprint: &BlueprintId,
        head: &str,
        holder: &str,
        own: &impl Serialize,
        document: Option<&str>,
    ) -> Result<Reply, StoreError> {
        let arg = rmp_serde::to_vec_named(&ScriptArg {
            blueprint_id: blueprint.as_str(),
            issue_id: head,
            holder,
            own,
        })
        .expect("arguments are maps of texts and numbers");
        let keys = [self.keys.backlog(blueprint)];
        self.handle
            .script(script, &keys, |call| {
                call.arg(arg).arg(document);
            })
            .await
    }
}
