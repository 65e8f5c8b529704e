//! Finds the shard of an issue by its id alone, for the calls that do not name its Blueprint.
//!
//! With several shards, an issue is in the shard of its Blueprint, which its id does not contain.
//! So the shard of the issue's own id holds a pointer `issue_id → blueprint_id`. It is written
//! before the issue is submitted. A crash in between leaves a pointer without an issue, which
//! counts as no issue.
//!
//! Such a pointer must not block its id forever. Another Blueprint can take it over once it is
//! older than any submission in progress. Until then the id counts as used. The pointer of a
//! decided issue remains, even after a prune: it locates the log entry.

use redis::cmd;

use crate::domain::actor::Actor;
use crate::domain::enhance_log::LogEntry;
use crate::domain::issue::{Caller, Issue, NewIssue};
use crate::domain::proposal::Approval;
use crate::ids::{BlueprintId, IssueId};
use crate::store::queue::cancel::CancelOutcome;
use crate::store::queue::submit::SubmitOutcome;
use crate::store::redis::error::StoreError;
use crate::store::redis::keys::shard_of;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::store::reviews::approve::ApproveOutcome;
use crate::store::reviews::decline::DeclineOutcome;
use crate::store::reviews::read::ProposalLookup;

/// The age from which a pointer without an issue can be taken over. All calls of its submission
/// have timed out by then.
const TAKEN_OVER_AFTER_MS: u64 = 60_000;

/// The outcome of pointing an id at a Blueprint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pointed {
    /// The id points to this Blueprint, by this or an earlier call.
    Here,
    /// The id points to another Blueprint and must continue to do so.
    Elsewhere,
}

impl Store {
    /// Accepts an issue as [`Shard::submit`]. With several shards, it first points the id to the
    /// Blueprint's shard.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be accepted nevertheless, unless the error excludes it.
    pub async fn submit(&self, new: &NewIssue) -> Result<SubmitOutcome, StoreError> {
        match self.point(new.issue_id(), new.blueprint_id()).await? {
            Pointed::Here => self.of(new.blueprint_id()).submit(new).await,
            Pointed::Elsewhere => Ok(SubmitOutcome::Conflict),
        }
    }

    /// Cancels an issue as [`Shard::cancel_issue`].
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be cancelled nevertheless.
    pub async fn cancel_issue(
        &self,
        id: &IssueId,
        caller: impl Into<Caller>,
    ) -> Result<CancelOutcome, StoreError> {
        match self.of_issue(id).await? {
            Some(shard) => shard.cancel_issue(id, caller).await,
            None => Ok(CancelOutcome::NotFound),
        }
    }

    /// Returns the proposal of an issue in review.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn proposal(&self, id: &IssueId) -> Result<ProposalLookup, StoreError> {
        match self.of_issue(id).await? {
            Some(shard) => shard.proposal(id).await,
            None => Ok(ProposalLookup::NotFound),
        }
    }

    /// Commits the document that the approval names, on the head that it names; otherwise commits
    /// nothing. If the reply is lost, repeat the call: it has the same outcome.
    ///
    /// # Errors
    /// [`StoreError`]. The document may be committed nevertheless.
    pub async fn approve_issue(
        &self,
        id: &IssueId,
        approval: &Approval,
    ) -> Result<ApproveOutcome, StoreError> {
        let Some(shard) = self.of_issue(id).await? else {
            return Ok(ApproveOutcome::NotFound);
        };
        let outcome = shard.approve_issue(id, approval).await?;
        if let ApproveOutcome::Approved(issue) = &outcome {
            self.tell_of_orbit(shard, &issue.blueprint_id).await?;
        }
        Ok(outcome)
    }

    /// Rejects an issue in review. Repeating it is safe: the first decline stays recorded.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be declined nevertheless.
    pub async fn decline_issue(
        &self,
        id: &IssueId,
        reason: &str,
        by: &Actor,
    ) -> Result<DeclineOutcome, StoreError> {
        match self.of_issue(id).await? {
            Some(shard) => shard.decline_issue(id, reason, by).await,
            None => Ok(DeclineOutcome::NotFound),
        }
    }

    /// Returns an issue as [`Shard::issue`].
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn issue(&self, id: &IssueId) -> Result<Option<Issue>, StoreError> {
        match self.of_issue(id).await? {
            Some(shard) => shard.issue(id).await,
            None => Ok(None),
        }
    }

    /// Returns true for a pruned issue, as [`Shard::is_pruned`].
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn is_pruned(&self, id: &IssueId) -> Result<bool, StoreError> {
        match self.of_issue(id).await? {
            Some(shard) => shard.is_pruned(id).await,
            None => Ok(false),
        }
    }

    /// Returns the log entry of an issue as [`Shard::log_entry`].
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn log_entry(&self, id: &IssueId) -> Result<Option<LogEntry>, StoreError> {
        match self.of_issue(id).await? {
            Some(shard) => shard.log_entry(id).await,
            None => Ok(None),
        }
    }

    /// Returns the shard of the issue with this id; `None` if no shard can have it.
    async fn of_issue(&self, id: &IssueId) -> Result<Option<&Shard>, StoreError> {
        if !self.is_sharded() {
            return Ok(Some(self.home()));
        }
        if let Some(to) = self.pointer(id).await? {
            return Ok(Some(self.of(&to)));
        }
        // A failover may have lost the pointer but not the issue.
        for shard in self.shards() {
            if shard.knows(id).await? {
                return Ok(Some(shard));
            }
        }
        Ok(None)
    }

    /// Points an id to a Blueprint's shard before the issue is submitted there.
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
            let there = self.of(&other);
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

    /// Returns the shard with the pointer of this id.
    fn pointing(&self, id: &IssueId) -> &Shard {
        &self.shards[shard_of(id.as_str(), self.shards.len())]
    }
}

/// Returns the Blueprint of a pointer `<blueprint_id>|<written ms>`.
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
