//! Prunes issues after the retention period, one at a time, oldest first. Log entries, commits and
//! documents are never removed.

use std::time::Duration;

use redis::cmd;
use serde::Serialize;

use crate::domain::issue_ref::IssueRef;
use crate::ids::{BlueprintId, IssueId};
use crate::store::queue::issue_block::NOBODY;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::whole_ms::whole_ms;

/// The number of issues in one round trip.
const BATCH: usize = 100;

#[derive(Serialize)]
struct PruneArg {
    age_ms: u64,
}

impl Shard {
    /// Returns true for one caller per interval `every`: that caller prunes.
    ///
    /// # Errors
    /// [`StoreError`]. The turn may be taken nevertheless; the next one follows after `every`.
    pub async fn take_prune_turn(&self, every: Duration) -> Result<bool, StoreError> {
        self.take_turn("prune turn", self.keys.pruned(), every)
            .await
    }

    /// Removes every issue whose decision is older than `age`. Returns the number of removed
    /// issues.
    ///
    /// Cancel safety: a dropped call loses nothing. Any number of callers can run it at any time.
    ///
    /// # Errors
    /// [`StoreError`]. Removed issues stay removed.
    pub async fn prune_issues(&self, age: Duration) -> Result<u64, StoreError> {
        let age_ms = whole_ms(age);
        // A decision is never older than its submission, so younger issues need no check.
        let newest = self.server_ms().await?.saturating_sub(age_ms);
        let (mut pruned, mut kept) = (0, 0);
        loop {
            let mut range = cmd("ZRANGEBYSCORE");
            range.arg(self.keys.issues()).arg("-inf").arg(newest);
            range.arg("LIMIT").arg(kept).arg(BATCH);
            let ids: Vec<String> = self.handle.command("prune list", &range).await?;
            let is_last = ids.len() < BATCH;
            for issue in self.targets_of(&ids).await? {
                match issue {
                    Some(issue) if self.prune_issue(&issue, age_ms).await? => pruned += 1,
                    // It stays in the list, and the next issues follow it.
                    _ => kept += 1,
                }
            }
            if is_last {
                return Ok(pruned);
            }
        }
    }

    /// Returns each issue with its Blueprint; `None` for an issue that no longer exists.
    async fn targets_of(&self, ids: &[String]) -> Result<Vec<Option<IssueRef>>, StoreError> {
        let ids: Vec<Option<IssueId>> = ids.iter().map(|id| IssueId::parse(id).ok()).collect();
        let mut pipeline = redis::pipe();
        for id in ids.iter().flatten() {
            let field = pipeline.cmd("HGET").arg(self.keys.issue(id));
            field.arg("blueprint_id");
        }
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let targets: Vec<Option<String>> = self.handle.pipeline("prune read", &pipeline).await?;
        let mut targets = targets.into_iter();
        let found = ids.into_iter().map(|id| {
            let issue_id = id?;
            let target = targets.next().flatten()?;
            Some(IssueRef {
                blueprint_id: BlueprintId::parse(&target).ok()?,
                issue_id,
            })
        });
        Ok(found.collect())
    }

    /// Returns true if this call removes the issue.
    async fn prune_issue(&self, issue: &IssueRef, age_ms: u64) -> Result<bool, StoreError> {
        let reply = self
            .issue_script(&script::PRUNE_ISSUE, issue, NOBODY, &PruneArg { age_ms })
            .await?;
        match reply.outcome() {
            "pruned" => Ok(true),
            "kept" | "gone" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }
}
