//! Reads the elements and leases that the reaper and the promoter process.

use redis::cmd;

use crate::domain::issue_ref::IssueRef;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

impl Shard {
    /// Returns the elements of a worker's processing list.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn processing(&self, worker: &str) -> Result<Vec<IssueRef>, StoreError> {
        let range = cmd("LRANGE")
            .arg(self.keys.processing(worker))
            .arg(0)
            .arg(-1)
            .to_owned();
        let elements: Vec<String> = self.handle.command("processing", &range).await?;
        Ok(elements.iter().filter_map(|e| IssueRef::parse(e)).collect())
    }

    /// Returns up to `n` expired leases.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn expired_leases(&self, n: usize) -> Result<Vec<IssueRef>, StoreError> {
        self.due(self.keys.leases(), n).await
    }

    /// Returns up to `n` delayed issues that are due.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn due_issues(&self, n: usize) -> Result<Vec<IssueRef>, StoreError> {
        self.due(self.keys.delayed(), n).await
    }

    pub(crate) async fn due(&self, index: String, n: usize) -> Result<Vec<IssueRef>, StoreError> {
        let now = self.server_ms().await?;
        let range = cmd("ZRANGEBYSCORE")
            .arg(index)
            .arg("-inf")
            .arg(now)
            .arg("LIMIT")
            .arg(0)
            .arg(n)
            .to_owned();
        let elements: Vec<String> = self.handle.command("due", &range).await?;
        Ok(elements.iter().filter_map(|e| IssueRef::parse(e)).collect())
    }
}
