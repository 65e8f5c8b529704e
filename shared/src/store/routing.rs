//! What is asked of one shard: the one that has the Blueprint, or the issue. Each call does what the
//! method of the same name of [`Shard`](crate::store::redis::shard::Shard) does, which says what it returns and how it fails.

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

/// Of issues.
impl Store {
    /// See [`Shard::submit`](crate::store::redis::shard::Shard::submit). With several shards an id is first pointed at its Blueprint's shard.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says so, the issue may have been accepted all the same.
    pub async fn submit(&self, new: &NewIssue) -> Result<SubmitOutcome, StoreError> {
        match self.point(new.issue_id(), new.blueprint_id()).await? {
            Pointed::Here => self.shard_of(new.blueprint_id()).submit(new).await,
            Pointed::Elsewhere => Ok(SubmitOutcome::Conflict),
        }
    }

    /// See [`Shard::cancel_issue`](crate::store::redis::shard::Shard::cancel_issue).
    ///
    /// # Errors
    /// [`StoreError`]; the issue may have been cancelled all the same.
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

    /// See [`Shard::issue`](crate::store::redis::shard::Shard::issue).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored form is damaged.
    pub async fn issue(&self, id: &IssueId) -> Result<Option<Issue>, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.issue(id).await,
            None => Ok(None),
        }
    }

    /// See [`Shard::is_pruned`](crate::store::redis::shard::Shard::is_pruned).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn is_pruned(&self, id: &IssueId) -> Result<bool, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.is_pruned(id).await,
            None => Ok(false),
        }
    }

    /// See [`Shard::log_entry`](crate::store::redis::shard::Shard::log_entry).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored form is damaged.
    pub async fn log_entry(&self, id: &IssueId) -> Result<Option<LogEntry>, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.log_entry(id).await,
            None => Ok(None),
        }
    }

    /// See [`Shard::claim`](crate::store::redis::shard::Shard::claim).
    ///
    /// # Errors
    /// [`StoreError`]; the lease may have been granted all the same.
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

    /// See [`Shard::settle`](crate::store::redis::shard::Shard::settle).
    ///
    /// # Errors
    /// [`StoreError`]; the issue may have been decided all the same.
    pub async fn settle(
        &self,
        lease: &Lease,
        settlement: &Settlement<'_>,
    ) -> Result<SettleOutcome, StoreError> {
        let shard = self.shard_of(&lease.issue.blueprint_id);
        shard.settle(lease, settlement).await
    }

    /// See [`Shard::settle_and_claim_next`](crate::store::redis::shard::Shard::settle_and_claim_next).
    ///
    /// # Errors
    /// [`StoreError`]; the issue may have been decided all the same, and the next one leased.
    pub async fn settle_and_claim_next(
        &self,
        lease: &Lease,
        settlement: &Settlement<'_>,
        next: &NextClaim<'_>,
    ) -> Result<(SettleOutcome, Option<Box<Claimed>>), StoreError> {
        let shard = self.shard_of(&lease.issue.blueprint_id);
        shard.settle_and_claim_next(lease, settlement, next).await
    }

    /// See [`Shard::release`](crate::store::redis::shard::Shard::release).
    ///
    /// # Errors
    /// [`StoreError`]; it may have been given back all the same.
    pub async fn release(
        &self,
        lease: &Lease,
        why: &Release,
    ) -> Result<ReleaseOutcome, StoreError> {
        self.shard_of(&lease.issue.blueprint_id)
            .release(lease, why)
            .await
    }

    /// See [`Shard::return_element`](crate::store::redis::shard::Shard::return_element).
    ///
    /// # Errors
    /// [`StoreError`]; it may have been given back all the same.
    pub async fn return_element(
        &self,
        issue: &IssueRef,
        worker: &str,
    ) -> Result<ReturnOutcome, StoreError> {
        self.shard_of(&issue.blueprint_id)
            .return_element(issue, worker)
            .await
    }

    /// See [`Shard::cache_step`](crate::store::redis::shard::Shard::cache_step).
    ///
    /// # Errors
    /// [`StoreError`]; it may have been kept all the same.
    pub async fn cache_step(
        &self,
        lease: &Lease,
        asked: &str,
        step: &CachedStep,
    ) -> Result<CacheOutcome, StoreError> {
        let shard = self.shard_of(&lease.issue.blueprint_id);
        shard.cache_step(lease, asked, step).await
    }

    /// See [`Shard::cached_step`](crate::store::redis::shard::Shard::cached_step).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored form is damaged.
    pub async fn cached_step(
        &self,
        issue: &IssueRef,
        asked: &str,
    ) -> Result<(Option<CachedStep>, SpawnerUsage), StoreError> {
        let shard = self.shard_of(&issue.blueprint_id);
        shard.cached_step(issue, asked).await
    }

    /// See [`Shard::note_cost`](crate::store::redis::shard::Shard::note_cost).
    ///
    /// # Errors
    /// [`StoreError`]; it may have been noted all the same.
    pub async fn note_cost(
        &self,
        lease: &Lease,
        cost: &SpawnerUsage,
    ) -> Result<CostOutcome, StoreError> {
        let shard = self.shard_of(&lease.issue.blueprint_id);
        shard.note_cost(lease, cost).await
    }
}

/// Of Blueprints.
impl Store {
    /// See [`Shard::put_blueprint`](crate::store::redis::shard::Shard::put_blueprint).
    ///
    /// # Errors
    /// [`StoreError`]; it may have been written all the same (repeating it is then `Unchanged`).
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

    /// Tells the other shards of a written orbit.
    pub(crate) async fn tell_of_write(
        &self,
        shard: &Shard,
        id: &BlueprintId,
        outcome: &PutOutcome,
    ) -> Result<(), StoreError> {
        // Unchanged may be the repetition of a call that died before it had told the others.
        let is_written = matches!(outcome, PutOutcome::Created(_) | PutOutcome::Unchanged(_));
        if is_written && self.is_sharded() && shard.is_orbit(id).await? {
            self.orbit_was_written(id).await?;
        }
        Ok(())
    }

    /// See [`Shard::blueprint`](crate::store::redis::shard::Shard::blueprint).
    ///
    /// # Errors
    /// As there.
    pub async fn blueprint(
        &self,
        id: &BlueprintId,
        selector: &VersionSelector,
    ) -> Result<Option<StoredBlueprint>, StoreError> {
        self.shard_of(id).blueprint(id, selector).await
    }

    /// See [`Shard::summary`](crate::store::redis::shard::Shard::summary).
    ///
    /// # Errors
    /// As there.
    pub async fn summary(&self, id: &BlueprintId) -> Result<Option<BlueprintSummary>, StoreError> {
        self.shard_of(id).summary(id).await
    }

    /// See [`Shard::list_commits`](crate::store::redis::shard::Shard::list_commits).
    ///
    /// # Errors
    /// As there.
    pub async fn list_commits(
        &self,
        id: &BlueprintId,
        page: &PageRequest,
    ) -> Result<Option<Page<Commit>>, StoreError> {
        self.shard_of(id).list_commits(id, page).await
    }

    /// See [`Shard::commits_by_prefix`](crate::store::redis::shard::Shard::commits_by_prefix).
    ///
    /// # Errors
    /// As there.
    pub async fn commits_by_prefix(
        &self,
        id: &BlueprintId,
        prefix: &VersionPrefix,
        limit: usize,
    ) -> Result<Option<Vec<Commit>>, StoreError> {
        self.shard_of(id).commits_by_prefix(id, prefix, limit).await
    }

    /// See [`Shard::set_archived`](crate::store::redis::shard::Shard::set_archived).
    ///
    /// # Errors
    /// [`StoreError`]; it may have been done all the same.
    pub async fn set_archived(
        &self,
        id: &BlueprintId,
        archived: bool,
    ) -> Result<ArchiveOutcome, StoreError> {
        self.shard_of(id).set_archived(id, archived).await
    }

    /// See [`Shard::head_seq`](crate::store::redis::shard::Shard::head_seq).
    ///
    /// # Errors
    /// As there.
    pub async fn head_seq(&self, id: &BlueprintId) -> Result<Option<u64>, StoreError> {
        self.shard_of(id).head_seq(id).await
    }

    /// See [`Shard::history`](crate::store::redis::shard::Shard::history).
    ///
    /// # Errors
    /// As there.
    pub async fn history(
        &self,
        id: &BlueprintId,
        from: u64,
        to: u64,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        self.shard_of(id).history(id, from, to).await
    }

    /// See [`Shard::begin_import`](crate::store::redis::shard::Shard::begin_import).
    ///
    /// # Errors
    /// As there.
    pub async fn begin_import(&self, id: &BlueprintId) -> Result<Option<Import>, StoreError> {
        self.shard_of(id).begin_import(id).await
    }
}

/// Of settings, which the home shard has.
impl Store {
    /// See [`Shard::setting`](crate::store::redis::shard::Shard::setting).
    ///
    /// # Errors
    /// As there.
    pub async fn setting(&self, id: &SettingId) -> Result<Option<EnhanceSetting>, StoreError> {
        self.home().setting(id).await
    }

    /// See [`Shard::list_settings`](crate::store::redis::shard::Shard::list_settings).
    ///
    /// # Errors
    /// As there.
    pub async fn list_settings(&self) -> Result<Vec<EnhanceSetting>, StoreError> {
        self.home().list_settings().await
    }
}
