//! Pruning: issues that were decided long ago are removed, one at a time and oldest first. What
//! they came to stays: log entries, commits and documents are never removed.

use std::time::Duration;

use redis::cmd;

use crate::domain::issue_ref::IssueRef;
use crate::ids::{BlueprintId, IssueId};
use crate::store::queue::issue_block::{NOBODY, head_args};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::whole_ms::whole_ms;

/// How many issues are read in one round trip.
const BATCH: usize = 100;

impl Shard {
    /// True for one caller in each `every`: the one that is to prune.
    ///
    /// # Errors
    /// [`StoreError`]; the turn may have been taken all the same, and comes again.
    pub async fn take_prune_turn(&self, every: Duration) -> Result<bool, StoreError> {
        self.take_turn("prune turn", self.keys.pruned(), every)
            .await
    }

    /// Removes every issue that was decided longer ago than `age`, and returns how many those were.
    ///
    /// Safe to run at any time, by any number of callers, and to drop half-way.
    ///
    /// # Errors
    /// [`StoreError`]; what was removed stays removed.
    pub async fn prune_issues(&self, age: Duration) -> Result<u64, StoreError> {
        let age_ms = whole_ms(age);
        // Nothing is decided before it is submitted, so no younger one need be looked at.
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
                    // It stays where it is in the list: the next ones come behind it.
                    _ => kept += 1,
                }
            }
            if is_last {
                return Ok(pruned);
            }
        }
    }

    /// Each issue with its Blueprint; `None` for one that is gone.
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

    /// True if it is removed by this call.
    async fn prune_issue(&self, issue: &IssueRef, age_ms: u64) -> Result<bool, StoreError> {
        let mut keys = self.block(issue, NOBODY);
        keys.push(self.keys.issues());
        keys.push(self.keys.issues_of(&issue.blueprint_id));
        let reply = self
            .handle
            .script(&script::PRUNE_ISSUE, &keys, |call| {
                head_args(call, issue);
                call.arg(age_ms);
            })
            .await?;
        match reply.outcome() {
            "pruned" => Ok(true),
            "kept" | "gone" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }
}
