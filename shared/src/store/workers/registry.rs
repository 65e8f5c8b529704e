//! Workers as the store knows them: their heartbeats, and what dead ones left behind.

use redis::cmd;

use crate::domain::issue_ref::IssueRef;
use crate::ids::WorkerId;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::workers::heartbeat::REMEMBERED_MS;

/// A worker that was not heard of for this long counts as gone: it beats every five seconds.
pub(crate) const GONE_MS: u64 = 60_000;

impl Shard {
    /// Takes a worker that ends in order off the list. Its processing list must be empty.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away; it is then forgotten in an hour.
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
        let _: (u32, u32, u32) = self.handle.pipeline("forget worker", &pipeline).await?;
        Ok(())
    }

    /// Every worker that is registered, the dead of the last hour among them.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub(crate) async fn registered_workers(&self) -> Result<Vec<String>, StoreError> {
        let range = cmd("ZRANGE")
            .arg(self.keys.workers())
            .arg(0)
            .arg(-1)
            .to_owned();
        self.handle.command("workers", &range).await
    }

    /// Workers that were not heard of for `silent_ms`.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
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

    /// Forgets workers that were silent for an hour and left nothing.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn forget_old_workers(&self) -> Result<(), StoreError> {
        for worker in self.silent_workers(REMEMBERED_MS).await? {
            if self.processing(worker.as_str()).await?.is_empty() {
                self.forget_worker(&worker).await?;
            }
        }
        Ok(())
    }

    /// Whether some worker has a lease of this issue, run out or not.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn has_lease(&self, issue: &IssueRef) -> Result<bool, StoreError> {
        let score = cmd("ZSCORE")
            .arg(self.keys.leases())
            .arg(issue.element())
            .to_owned();
        let ends_at: Option<f64> = self.handle.command("lease", &score).await?;
        Ok(ends_at.is_some())
    }
}
