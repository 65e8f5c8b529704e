//! Giving a leased issue back undecided.

use crate::store::queue::issue_block::{Lease, head_args};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// Why a leased issue is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// The worker ends: at once, and the attempt does not count.
    Shutdown,
    /// A fault that may pass.
    Fault {
        /// How long the issue waits, in milliseconds.
        delay_ms: u64,
        /// The error.
        reason: String,
    },
    /// Something that the issue needs is in use: it waits, and no retry is counted.
    Busy {
        /// How long the issue waits, in milliseconds.
        delay_ms: u64,
        /// What is in use.
        reason: String,
    },
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// It is given back.
    Released,
    /// It was not this caller's any more, which is as good.
    Stale,
}

impl Shard {
    /// Gives a leased issue back undecided. Repeating it is safe.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been given back all the same.
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
