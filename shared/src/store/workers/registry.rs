//! The registry of workers: their heartbeats, and the leftovers of dead ones.

use redis::cmd;

use crate::domain::issue_ref::IssueRef;
use crate::ids::WorkerId;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::workers::heartbeat::REMEMBERED_MS;

/// The time without a heartbeat after which a worker counts as dead. The heartbeat interval is 5 s.
pub(crate) const GONE_MS: u64 = 60_000;

impl Shard {
    /// Removes a worker at its regular end. Its processing list must be empty.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable. The worker is then removed after an hour.
    pub async fn forget_worker(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("ZREM")
            .arg(self.keys.workers())
            .arg(worker.as_str());
        pipeline
            .cmd("HDEL")
            .arg(self.keys.worker_load())
            .arg(worker.as_str());
        pipeline
            .cmd("HDEL")
            .arg(self.keys.worker_scripts())
            .arg(worker.as_str());
        pipeline
            .cmd("HDEL")
            .arg(self.keys.worker_versions())
            .arg(worker.as_str());
        let _: (u32, u32, u32, u32) = self.handle.pipeline("forget worker", &pipeline).await?;
        Ok(())
    }

    /// Returns every registered worker, including those that died in the last hour.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub(crate) async fn registered_workers(&self) -> Result<Vec<String>, StoreError> {
        let range = cmd("ZRANGE")
            .arg(self.keys.workers())
            .arg(0)
            .arg(-1)
            .to_owned();
        self.handle.command("workers", &range).await
    }

    /// Returns workers without a heartbeat for `silent_ms`.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn silent_workers(&self, silent_ms: u64) -> Result<Vec<WorkerId>, StoreError> {
        let before = self.server_ms().await?.saturating_sub(silent_ms);
        let range = cmd("ZRANGEBYSCORE")
            .arg(self.keys.workers())
            .arg("-inf")
            .arg(before)
            .to_owned();
        let names: Vec<String> = self.handle.command("silent workers", &range).await?;
        Ok(names
            .iter()
            .filter_map(|n| WorkerId::parse(n).ok())
            .collect())
    }

    /// Removes workers without a heartbeat for an hour and without leftovers.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn forget_old_workers(&self) -> Result<(), StoreError> {
        for worker in self.silent_workers(REMEMBERED_MS).await? {
            if self.processing(worker.as_str()).await?.is_empty() {
                self.forget_worker(&worker).await?;
            }
        }
        Ok(())
    }

    /// Returns true if a worker has a lease of this issue, expired or not.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn has_lease(&self, issue: &IssueRef) -> Result<bool, StoreError> {
        let score = cmd("ZSCORE")
            .arg(self.keys.leases())
            .arg(issue.element())
            .to_owned();
        let ends_at: Option<f64> = self.handle.command("lease", &score).await?;
        Ok(ends_at.is_some())
    }
}
