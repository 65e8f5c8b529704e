//! Calls for one shard: the shard of the Blueprint or of the issue. Each call forwards to the
//! method of [`Shard`](crate::store::redis::shard::Shard) with the same name. That method documents
//! its result and its errors.

use crate::blueprint::Blueprint;
use crate::domain::commit::{BlueprintSummary, Commit};
use crate::domain::enhance_log::{LogEntry, SpawnerUsage};
use crate::domain::history::HistoryEntry;
use crate::domain::issue::{Authority, Issue, NewIssue};
use crate::domain::issue_ref::IssueRef;
use crate::domain::setting::EnhanceSetting;
use crate::domain::version_selector::VersionSelector;
use crate::ids::{BlueprintId, IssueId, SettingId, Version, VersionPrefix, WorkerId};
use crate::store::blueprints::archive::ArchiveOutcome;
use crate::store::blueprints::put::{ExpectedHead, PutOutcome};
use crate::store::blueprints::read::StoredBlueprint;
use crate::store::blueprints::transfer::Import;
use crate::store::codec::paging::{Page, PageRequest};
use crate::store::issues::pointers::Pointed;
use crate::store::queue::cancel::CancelOutcome;
use crate::store::queue::claim::{ClaimMode, ClaimOutcome, Claimed};
use crate::store::queue::issue_block::Lease;
use crate::store::queue::release::{Release, ReleaseOutcome};
use crate::store::queue::return_element::ReturnOutcome;
use crate::store::queue::settle::{NextClaim, SettleOutcome, Settlement};
use crate::store::queue::step_cache::{CacheOutcome, CachedStep, CostOutcome};
use crate::store::queue::submit::SubmitOutcome;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;

/// Calls for issues.
impl Store {
    /// Forwards to [`Shard::submit`](crate::store::redis::shard::Shard::submit). With several
    /// shards, it first writes a pointer from the id to its Blueprint's shard.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be accepted nevertheless, unless the error excludes it.
    pub async fn submit(&self, new: &NewIssue) -> Result<SubmitOutcome, StoreError> {
        match self.point(new.issue_id(), new.blueprint_id()).await? {
            Pointed::Here => self.shard_of(new.blueprint_id()).submit(new).await,
            Pointed::Elsewhere => Ok(SubmitOutcome::Conflict),
        }
    }

    /// Forwards to [`Shard::cancel_issue`](crate::store::redis::shard::Shard::cancel_issue).
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be cancelled nevertheless.
    pub async fn cancel_issue(
        &self,
        id: &IssueId,
        authority: Authority,
    ) -> Result<CancelOutcome, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.cancel_issue(id, authority).await,
            None => Ok(CancelOutcome::NotFound),
        }
    }

    /// Forwards to [`Shard::issue`](crate::store::redis::shard::Shard::issue).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn issue(&self, id: &IssueId) -> Result<Option<Issue>, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.issue(id).await,
            None => Ok(None),
        }
    }

    /// Forwards to [`Shard::is_pruned`](crate::store::redis::shard::Shard::is_pruned).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn is_pruned(&self, id: &IssueId) -> Result<bool, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.is_pruned(id).await,
            None => Ok(false),
        }
    }

    /// Forwards to [`Shard::log_entry`](crate::store::redis::shard::Shard::log_entry).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn log_entry(&self, id: &IssueId) -> Result<Option<LogEntry>, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.log_entry(id).await,
            None => Ok(None),
        }
    }

    /// Forwards to [`Shard::claim`](crate::store::redis::shard::Shard::claim).
    ///
    /// # Errors
    /// [`StoreError`]. The lease may be granted nevertheless.
    pub async fn claim(
        &self,
        issue: &IssueRef,
        worker: &WorkerId,
        nonce: &str,
        lease_ms: u64,
        known: Option<&Version>,
        claim_mode: ClaimMode,
    ) -> Result<ClaimOutcome, StoreError> {
        let shard = self.shard_of(&issue.blueprint_id);
        shard
            .claim(issue, worker, nonce, lease_ms, known, claim_mode)
            .await
    }

    /// Forwards to [`Shard::settle`](crate::store::redis::shard::Shard::settle).
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be decided nevertheless.
    pub async fn settle(
        &self,
        lease: &Lease,
        settlement: &Settlement,
    ) -> Result<SettleOutcome, StoreError> {
        let shard = self.shard_of(&lease.issue.blueprint_id);
        shard.settle(lease, settlement).await
    }

    /// Forwards to
    /// [`Shard::settle_and_claim_next`](crate::store::redis::shard::Shard::settle_and_claim_next).
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be decided nevertheless, and the next one leased.
    pub async fn settle_and_claim_next(
        &self,
        lease: &Lease,
        settlement: &Settlement,
        next: &NextClaim<'_>,
    ) -> Result<(SettleOutcome, Option<Box<Claimed>>), StoreError> {
        let shard = self.shard_of(&lease.issue.blueprint_id);
        shard.settle_and_claim_next(lease, settlement, next).await
    }

    /// Forwards to [`Shard::release`](crate::store::redis::shard::Shard::release).
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be released nevertheless.
    pub async fn release(
        &self,
        lease: &Lease,
        why: &Release,
    ) -> Result<ReleaseOutcome, StoreError> {
        self.shard_of(&lease.issue.blueprint_id)
            .release(lease, why)
            .await
    }

    /// Forwards to [`Shard::return_element`](crate::store::redis::shard::Shard::return_element).
    ///
    /// # Errors
    /// [`StoreError`]. The element may be returned nevertheless.
    pub async fn return_element(
        &self,
        issue: &IssueRef,
        worker: &str,
    ) -> Result<ReturnOutcome, StoreError> {
        self.shard_of(&issue.blueprint_id)
            .return_element(issue, worker)
            .await
    }

    /// Forwards to [`Shard::cache_step`](crate::store::redis::shard::Shard::cache_step).
    ///
    /// # Errors
    /// [`StoreError`]. The output may be cached nevertheless.
    pub async fn cache_step(
        &self,
        lease: &Lease,
        asked: &str,
        step: &CachedStep,
    ) -> Result<CacheOutcome, StoreError> {
        let shard = self.shard_of(&lease.issue.blueprint_id);
        shard.cache_step(lease, asked, step).await
    }

    /// Forwards to [`Shard::cached_step`](crate::store::redis::shard::Shard::cached_step).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn cached_step(
        &self,
        issue: &IssueRef,
        asked: &str,
    ) -> Result<(Option<CachedStep>, SpawnerUsage), StoreError> {
        let shard = self.shard_of(&issue.blueprint_id);
        shard.cached_step(issue, asked).await
    }

    /// Forwards to [`Shard::note_cost`](crate::store::redis::shard::Shard::note_cost).
    ///
    /// # Errors
    /// [`StoreError`]. The cost may be recorded nevertheless.
    pub async fn note_cost(
        &self,
        lease: &Lease,
        cost: &SpawnerUsage,
    ) -> Result<CostOutcome, StoreError> {
        let shard = self.shard_of(&lease.issue.blueprint_id);
        shard.note_cost(lease, cost).await
    }
}

/// Calls for Blueprints.
impl Store {
    /// Forwards to [`Shard::put_blueprint`](crate::store::redis::shard::Shard::put_blueprint).
    ///
    /// # Errors
    /// [`StoreError`]. The document may be written nevertheless. A repeated call then returns
    /// `Unchanged`.
    pub async fn put_blueprint(
        &self,
        blueprint: &Blueprint,
        expected: ExpectedHead,
        rationale: &str,
    ) -> Result<PutOutcome, StoreError> {
        let shard = self.shard_of(blueprint.id());
        let outcome = shard.put_blueprint(blueprint, expected, rationale).await?;
        self.tell_of_write(shard, blueprint.id(), &outcome).await?;
        Ok(outcome)
    }

    /// Notifies the other shards of a written orbit.
    pub(crate) async fn tell_of_write(
        &self,
        shard: &Shard,
        id: &BlueprintId,
        outcome: &PutOutcome,
    ) -> Result<(), StoreError> {
        // Unchanged can be the repetition of a call that died before it notified the other shards.
        let is_written = matches!(outcome, PutOutcome::Created(_) | PutOutcome::Unchanged(_));
        if is_written && self.is_sharded() && shard.is_orbit(id).await? {
            self.orbit_was_written(id).await?;
        }
        Ok(())
    }

    /// Forwards to [`Shard::blueprint`](crate::store::redis::shard::Shard::blueprint).
    ///
    /// # Errors
    /// As the forwarded call.
    pub async fn blueprint(
        &self,
        id: &BlueprintId,
        selector: &VersionSelector,
    ) -> Result<Option<StoredBlueprint>, StoreError> {
        self.shard_of(id).blueprint(id, selector).await
    }

    /// Forwards to [`Shard::summary`](crate::store::redis::shard::Shard::summary).
    ///
    /// # Errors
    /// As the forwarded call.
    pub async fn summary(&self, id: &BlueprintId) -> Result<Option<BlueprintSummary>, StoreError> {
        self.shard_of(id).summary(id).await
    }

    /// Forwards to [`Shard::list_commits`](crate::store::redis::shard::Shard::list_commits).
    ///
    /// # Errors
    /// As the forwarded call.
    pub async fn list_commits(
        &self,
        id: &BlueprintId,
        page: &PageRequest,
    ) -> Result<Option<Page<Commit>>, StoreError> {
        self.shard_of(id).list_commits(id, page).await
    }

    /// Forwards to
    /// [`Shard::commits_by_prefix`](crate::store::redis::shard::Shard::commits_by_prefix).
    ///
    /// # Errors
    /// As the forwarded call.
    pub async fn commits_by_prefix(
        &self,
        id: &BlueprintId,
        prefix: &VersionPrefix,
        limit: usize,
    ) -> Result<Option<Vec<Commit>>, StoreError> {
        self.shard_of(id).commits_by_prefix(id, prefix, limit).await
    }

    /// Forwards to [`Shard::set_archived`](crate::store::redis::shard::Shard::set_archived).
    ///
    /// # Errors
    /// [`StoreError`]. The change may be done nevertheless.
    pub async fn set_archived(
        &self,
        id: &BlueprintId,
        archived: bool,
    ) -> Result<ArchiveOutcome, StoreError> {
        self.shard_of(id).set_archived(id, archived).await
    }

    /// Forwards to [`Shard::head_seq`](crate::store::redis::shard::Shard::head_seq).
    ///
    /// # Errors
    /// As the forwarded call.
    pub async fn head_seq(&self, id: &BlueprintId) -> Result<Option<u64>, StoreError> {
        self.shard_of(id).head_seq(id).await
    }

    /// Forwards to [`Shard::history`](crate::store::redis::shard::Shard::history).
    ///
    /// # Errors
    /// As the forwarded call.
    pub async fn history(
        &self,
        id: &BlueprintId,
        from: u64,
        to: u64,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        self.shard_of(id).history(id, from, to).await
    }

    /// Forwards to [`Shard::begin_import`](crate::store::redis::shard::Shard::begin_import).
    ///
    /// # Errors
    /// As the forwarded call.
    pub async fn begin_import(&self, id: &BlueprintId) -> Result<Option<Import>, StoreError> {
        self.shard_of(id).begin_import(id).await
    }
}

/// Calls for settings, which are in the home shard.
impl Store {
    /// Forwards to [`Shard::setting`](crate::store::redis::shard::Shard::setting).
    ///
    /// # Errors
    /// As the forwarded call.
    pub async fn setting(&self, id: &SettingId) -> Result<Option<EnhanceSetting>, StoreError> {
        self.home().setting(id).await
    }

    /// Forwards to [`Shard::list_settings`](crate::store::redis::shard::Shard::list_settings).
    ///
    /// # Errors
    /// As the forwarded call.
    pub async fn list_settings(&self) -> Result<Vec<EnhanceSetting>, StoreError> {
        self.home().list_settings().await
    }
}
