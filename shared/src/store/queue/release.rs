//! Returns a leased issue to its queue without a decision.

use crate::store::queue::issue_block::{Lease, head_args};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The reason for the release of a leased issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// The worker shuts down. The issue is available at once, and the attempt does not count.
    Shutdown,
    /// A transient fault.
    Fault {
        /// The delay in milliseconds.
        delay_ms: u64,
        /// The error.
        reason: String,
    },
    /// A resource of the issue is in use. The issue is delayed, and no retry counts.
    Busy {
        /// The delay in milliseconds.
        delay_ms: u64,
        /// The resource in use.
        reason: String,
    },
}

/// The outcome of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// The issue is released.
    Released,
    /// The caller no longer holds the issue. This counts as success.
    Stale,
}

impl Shard {
    /// Releases a leased issue without a decision. Repeating it is safe.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be released nevertheless.
    pub async fn release(
        &self,
        lease: &Lease,
        release: &Release,
    ) -> Result<ReleaseOutcome, StoreError> {
        let keys = self.block(&lease.issue, lease.worker_id.as_str());
        let reply = self
            .handle
            .script(&script::RELEASE_ISSUE, &keys, |call| {
                head_args(call, &lease.issue);
                call.arg(&lease.token);
                match release {
                    Release::Shutdown => call.arg("shutdown").arg(0).arg(""),
                    Release::Fault { delay_ms, reason } => {
                        call.arg("fault").arg(*delay_ms).arg(reason)
                    }
                    Release::Busy { delay_ms, reason } => {
                        call.arg("busy").arg(*delay_ms).arg(reason)
                    }
                };
            })
            .await?;
        match reply.outcome() {
            "ok" => Ok(ReleaseOutcome::Released),
            "stale" => Ok(ReleaseOutcome::Stale),
            _ => Err(reply.unknown()),
        }
    }
}
