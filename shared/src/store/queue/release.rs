//! Returns a leased issue to its queue without a decision.

use serde::Serialize;

use crate::store::queue::issue_block::Lease;
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

#[derive(Serialize)]
struct ReleaseArg<'a> {
    token: &'a str,
    mode: &'static str,
    delay_ms: Option<u64>,
    reason: Option<&'a str>,
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
        let (mode, delay_ms, reason) = match release {
            Release::Shutdown => ("shutdown", None, None),
            Release::Fault { delay_ms, reason } => ("fault", Some(*delay_ms), Some(&**reason)),
            Release::Busy { delay_ms, reason } => ("busy", Some(*delay_ms), Some(&**reason)),
        };
        let arg = ReleaseArg {
            token: &lease.token,
            mode,
            delay_ms,
            reason,
        };
        let holder = lease.worker_id.as_str();
        let reply = self
            .issue_script(&script::RELEASE_ISSUE, &lease.issue, holder, &arg)
            .await?;
        match reply.outcome() {
            "ok" => Ok(ReleaseOutcome::Released),
            "stale" => Ok(ReleaseOutcome::Stale),
            _ => Err(reply.unknown()),
        }
    }
}
