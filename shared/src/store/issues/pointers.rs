//! Where an issue is, when only its id is known.
//!
//! With several shards an issue lies in the shard of its Blueprint, and its id does not say which
//! that is. So a pointer `issue_id → blueprint_id` is kept in the shard that the issue's own id
//! belongs to, and written before the issue is submitted: whoever dies in between leaves a pointer
//! to nothing, which counts as no issue.
//!
//! Such a pointer must not keep its id for ever. Another Blueprint may take it over once it is older than any
//! submission can still be under way; until then the id counts as taken. The pointer of a decided issue
//! stays, also when the issue is pruned: its log entry is found by it.

use redis::cmd;

use crate::ids::{BlueprintId, IssueId};
use crate::store::redis::error::StoreError;
use crate::store::redis::keys::shard_of;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;

/// A submission that has not reached its shard after this time never will: its calls have long timed out.
const TAKEN_OVER_AFTER_MS: u64 = 60_000;

/// What became of pointing an id at a Blueprint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pointed {
    /// It points there, now or since before.
    Here,
    /// It points at another Blueprint, and has to.
    Elsewhere,
}

impl Store {
    /// The shard that has the issue of this id; `None` if none can have it.
    pub(crate) async fn shard_of_issue(&self, id: &IssueId) -> Result<Option<&Shard>, StoreError> {
        if !self.is_sharded() {
            return Ok(Some(self.home()));
        }
        if let Some(to) = self.pointer(id).await? {
            return Ok(Some(self.shard_of(&to)));
        }
        // A failover may have lost the pointer and not the issue.
        for shard in self.shards() {
            if shard.knows(id).await? {
                return Ok(Some(shard));
            }
        }
        Ok(None)
    }

    /// Points an id at a Blueprint's shard, before the issue is submitted there.
    pub(crate) async fn point(
        &self,
        id: &IssueId,
        to: &BlueprintId,
    ) -> Result<Pointed, StoreError> {
        if !self.is_sharded() {
            return Ok(Pointed::Here);
        }
        let shard = self.pointing(id);
        let (mut seen, mut takes_over) = (String::new(), false);
        loop {
            let mut reply = shard
                .handle
                .script(&script::POINT_ISSUE, &[shard.keys.ids()], |call| {
                    call.arg(id.as_str()).arg(to.as_str());
                    call.arg(if takes_over { seen.as_str() } else { "" });
                })
                .await?;
            match reply.outcome() {
                "ok" => return Ok(Pointed::Here),
                "elsewhere" => {}
                _ => return Err(reply.unknown()),
            }
            let (value, age_ms): (String, u64) = (reply.take()?, reply.take()?);
            let Some(other) = target(&value) else {
                return Err(damaged(id, &value));
            };
            let there = self.shard_of(&other);
            let is_taken = age_ms < TAKEN_OVER_AFTER_MS
                || there.issue(id).await?.is_some()
                || there.log_entry(id).await?.is_some();
            if is_taken {
                return Ok(Pointed::Elsewhere);
            }
            (seen, takes_over) = (value, true);
        }
    }

    async fn pointer(&self, id: &IssueId) -> Result<Option<BlueprintId>, StoreError> {
        let shard = self.pointing(id);
        let get = cmd("HGET")
            .arg(shard.keys.ids())
            .arg(id.as_str())
            .to_owned();
        let value: Option<String> = shard.handle.command("pointer", &get).await?;
        let read = |value: String| target(&value).ok_or_else(|| damaged(id, &value));
        value.map(read).transpose()
    }

    /// The shard that has the pointer of this id.
    fn pointing(&self, id: &IssueId) -> &Shard {
        &self.shards[shard_of(id.as_str(), self.shards.len())]
    }
}

/// The Blueprint that `<blueprint_id>|<written ms>` points at.
fn target(value: &str) -> Option<BlueprintId> {
    BlueprintId::parse(value.split_once('|')?.0).ok()
}

fn damaged(id: &IssueId, value: &str) -> StoreError {
    StoreError::Damaged {
        what: "pointer",
        id: id.to_string(),
        problem: format!("{value:?} names no blueprint"),
    }
}
