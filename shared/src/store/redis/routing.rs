//! What is asked of one shard: the one that has the Blueprint, or the issue. Each call does what the
//! method of the same name of [`Shard`](super::Shard) does, which says what it returns and how it fails.

use super::acceptance::{CancelOutcome, SubmitOutcome};
use super::archive::ArchiveOutcome;
use super::blueprints::{ExpectedHead, PutOutcome, StoredBlueprint};
use super::error::StoreError;
use super::issues::{Page, PageRequest};
use super::pointers::Pointed;
use super::queue::{
    ClaimOutcome, Claimed, Company, IssueRef, Lease, NextClaim, SettleOutcome, Settlement,
};
use super::recovery::ReturnOutcome;
use super::release::{Release, ReleaseOutcome};
use super::steps::{CostOutcome, PaidStep, RememberOutcome};
use super::transfer::Import;
use super::{Shard, Store};
use crate::blueprint::Blueprint;
use crate::commit::{BlueprintSummary, Commit};
use crate::enhance_log::{LogEntry, SpawnerUsage};
use crate::history::HistoryEntry;
use crate::ids::{BlueprintId, IssueId, SettingId, Version, VersionPrefix, WorkerId};
use crate::issue::{Authority, Issue, NewIssue};
use crate::setting::EnhanceSetting;
use crate::version_selector::VersionSelector;

/// Of issues.
impl Store {
    /// See [`Shard::submit`](super::Shard::submit). With several shards an id is first pointed at its Blueprint's shard.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says so, the issue may have been accepted all the same.
    pub async fn submit(&self, new: &NewIssue) -> Result<SubmitOutcome, StoreError> {
        match self.point(new.issue_id(), new.blueprint_id()).await? {
            Pointed::Here => self.shard_of(new.blueprint_id()).submit(new).await,
            Pointed::Elsewhere => Ok(SubmitOutcome::Conflict),
        }
    }

    /// See [`Shard::cancel_issue`](super::Shard::cancel_issue).
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

    /// See [`Shard::issue`](super::Shard::issue).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored form is damaged.
    pub async fn issue(&self, id: &IssueId) -> Result<Option<Issue>, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.issue(id).await,
            None => Ok(None),
        }
    }

    /// See [`Shard::is_pruned`](super::Shard::is_pruned).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn is_pruned(&self, id: &IssueId) -> Result<bool, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.is_pruned(id).await,
            None => Ok(false),
        }
    }

    /// See [`Shard::log_entry`](super::Shard::log_entry).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored form is damaged.
    pub async fn log_entry(&self, id: &IssueId) -> Result<Option<LogEntry>, StoreError> {
        match self.shard_of_issue(id).await? {
            Some(shard) => shard.log_entry(id).await,
            None => Ok(None),
        }
    }

    /// See [`Shard::claim`](super::Shard::claim).
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
        company: Company,
    ) -> Result<ClaimOutcome, StoreError> {
        let shard = self.shard_of(&issue.blueprint_id);
        shard
            .claim(issue, worker, nonce, lease_ms, known, company)
            .await
    }

    /// See [`Shard::settle`](super::Shard::settle).
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

    /// See [`Shard::settle_and_claim_next`](super::Shard::settle_and_claim_next).
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

    /// See [`Shard::release`](super::Shard::release).
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

    /// See [`Shard::return_element`](super::Shard::return_element).
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

    /// See [`Shard::remember_step`](super::Shard::remember_step).
    ///
    /// # Errors
    /// [`StoreError`]; it may have been kept all the same.
    pub async fn remember_step(
        &self,
        lease: &Lease,
        asked: &str,
        step: &PaidStep,
    ) -> Result<RememberOutcome, StoreError> {
        let shard = self.shard_of(&lease.issue.blueprint_id);
        shard.remember_step(lease, asked, step).await
    }

    /// See [`Shard::remembered_step`](super::Shard::remembered_step).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored form is damaged.
    pub async fn remembered_step(
        &self,
        issue: &IssueRef,
        asked: &str,
    ) -> Result<(Option<PaidStep>, SpawnerUsage), StoreError> {
        let shard = self.shard_of(&issue.blueprint_id);
        shard.remembered_step(issue, asked).await
    }

    /// See [`Shard::note_cost`](super::Shard::note_cost).
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
    /// See [`Shard::put_blueprint`](super::Shard::put_blueprint).
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
    pub(super) async fn tell_of_write(
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

    /// See [`Shard::blueprint`](super::Shard::blueprint).
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

    /// See [`Shard::summary`](super::Shard::summary).
    ///
    /// # Errors
    /// As there.
    pub async fn summary(&self, id: &BlueprintId) -> Result<Option<BlueprintSummary>, StoreError> {
        self.shard_of(id).summary(id).await
    }

    /// See [`Shard::list_commits`](super::Shard::list_commits).
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

    /// See [`Shard::commits_by_prefix`](super::Shard::commits_by_prefix).
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

    /// See [`Shard::set_archived`](super::Shard::set_archived).
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

    /// See [`Shard::head_seq`](super::Shard::head_seq).
    ///
    /// # Errors
    /// As there.
    pub async fn head_seq(&self, id: &BlueprintId) -> Result<Option<u64>, StoreError> {
        self.shard_of(id).head_seq(id).await
    }

    /// See [`Shard::history`](super::Shard::history).
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

    /// See [`Shard::begin_import`](super::Shard::begin_import).
    ///
    /// # Errors
    /// As there.
    pub async fn begin_import(&self, id: &BlueprintId) -> Result<Option<Import>, StoreError> {
        self.shard_of(id).begin_import(id).await
    }
}

/// Of settings, which the home shard has.
impl Store {
    /// See [`Shard::setting`](super::Shard::setting).
    ///
    /// # Errors
    /// As there.
    pub async fn setting(&self, id: &SettingId) -> Result<Option<EnhanceSetting>, StoreError> {
        self.home().setting(id).await
    }

    /// See [`Shard::list_settings`](super::Shard::list_settings).
    ///
    /// # Errors
    /// As there.
    pub async fn list_settings(&self) -> Result<Vec<EnhanceSetting>, StoreError> {
        self.home().list_settings().await
    }
}
