//! Settles an issue: one script performs all writes of a decision.

use std::sync::Arc;

use serde::Serialize;

use crate::blueprint::Blueprint;
use crate::domain::commit::Epoch;
use crate::domain::enhance_log::LogEntry;
use crate::domain::issue::IssueState;
use crate::domain::issue_ref::IssueRef;
use crate::domain::proposal::{ReviewPolicy, StoredPatch};
use crate::ids::{IssueId, Version};
use crate::store::codec;
use crate::store::queue::claim::{Claimed, Head, read_claimed, read_head};
use crate::store::queue::issue_block::Lease;
use crate::store::redis::error::StoreError;
use crate::store::redis::reply::Reply;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::whole_ms::whole_ms;

/// A verified change that needs a review.
#[derive(Debug)]
pub struct NewProposal {
    /// The new content.
    pub blueprint: Arc<Blueprint>,
    /// The sequence number of the head that it is based on.
    pub expected_seq: u64,
    /// SHA-256 of the patch's canonical JSON.
    pub patch_hash: String,
    /// The attempt.
    pub epoch: Epoch,
    /// The log entry, as if it were applied.
    pub log: LogEntry,
    /// Why a person has to decide; at least one.
    pub reasons: Vec<String>,
    /// The patch, for another head.
    pub patch: StoredPatch,
    /// The rules of the review.
    pub policy: ReviewPolicy,
    /// The settings counter of the run.
    pub settings_counter: u64,
}

impl NewProposal {
    /// Returns the reason of the issue.
    pub fn reason(&self) -> String {
        format!("needs a review: {}", self.reasons.join("; "))
    }
}

/// How a leased issue is decided, with everything that the store writes about it. The store sets
/// `attempt` and `ts_ms` of the log entry.
#[derive(Debug)]
pub enum Settlement {
    /// A new version of the target.
    Applied {
        /// The new content.
        blueprint: Arc<Blueprint>,
        /// The sequence number of the head that it is based on.
        expected_seq: u64,
        /// The settings counter that the run's settings were read at. If the target is an orbit,
        /// the run has tried the content with these settings.
        settings_counter: u64,
        /// SHA-256 of the patch's canonical JSON.
        patch_hash: String,
        /// The attempt.
        epoch: Epoch,
        /// The log entry.
        log: LogEntry,
    },
    /// A verified change that waits for the decision of a person.
    Review(Box<NewProposal>),
    /// A verifier denied the change to this head.
    Denied {
        /// The sequence number of the verified head.
        expected_seq: u64,
        /// The issue's reason.
        reason: String,
        /// The log entry.
        log: LogEntry,
    },
    /// No decision was possible.
    Failed {
        /// True for the dead list: no retries are left.
        dead: bool,
        /// The kind of the failure, for logs; not stored.
        kind: &'static str,
        /// The issue's reason.
        reason: String,
        /// The log entry.
        log: LogEntry,
    },
}

impl Settlement {
    /// Returns the log entry.
    pub fn log(&self) -> &LogEntry {
        match self {
            Settlement::Applied { log, .. }
            | Settlement::Denied { log, .. }
            | Settlement::Failed { log, .. } => log,
            Settlement::Review(proposal) => &proposal.log,
        }
    }

    /// Returns the document of the new head; `None` if the head stays.
    pub fn blueprint(&self) -> Option<&Arc<Blueprint>> {
        match self {
            Settlement::Applied { blueprint, .. } => Some(blueprint),
            Settlement::Review(_) | Settlement::Denied { .. } | Settlement::Failed { .. } => None,
        }
    }
}

/// A settle's request for the next issue of the queue.
#[derive(Debug, Clone, Copy)]
pub struct NextClaim<'a> {
    /// The nonce of the next lease: new for each settlement, the same when the call is repeated.
    pub nonce: &'a str,
    /// The duration of the lease, in milliseconds.
    pub lease_ms: u64,
    /// A version of the target whose document the caller will have. The reply omits that document.
    pub known: Option<&'a Version>,
    /// True to skip the next issue while another queue waits in `pending`.
    pub yields: bool,
}

/// The outcome of a settlement.
#[derive(Debug, PartialEq, Eq)]
pub enum SettleOutcome {
    /// The issue is decided or in review, now or by an earlier call with this token.
    Settled(IssueState),
    /// The caller no longer holds the issue.
    Stale,
    /// The head has changed, or the target is an orbit and the settings have changed. The caller
    /// keeps the lease and runs the issue again.
    MovedHead {
        /// The present head.
        head: Head,
        /// The present settings counter.
        settings_counter: u64,
    },
    /// The Blueprint was archived in the meantime. The issue is decided.
    Archived,
    /// The Blueprint has become an orbit, and no admin submitted the issue. The issue is decided.
    OrbitNeedsAdmin,
}

/// The fields of `settle.lua`.
#[derive(Default, Serialize)]
struct SettleArg<'a> {
    token: &'a str,
    kind: &'static str,
    reason: &'a str,
    log: String,
    expected_seq: Option<u64>,
    settings_counter: Option<u64>,
    refused_log: Option<String>,
    version: Option<&'a str>,
    commit: Option<String>,
    label: Option<&'a str>,
    proposal: Option<ProposalArg>,
    next: Option<NextArg<'a>>,
}

#[derive(Serialize)]
struct ProposalArg {
    reasons: String,
    patch: String,
    ttl_ms: u64,
    expiry_reason: String,
    allow_self_review: bool,
}

/// Returns the part of `arg` that commits a change, now or after a review.
fn with_change<'a>(
    arg: SettleArg<'a>,
    issue: &IssueRef,
    blueprint: &'a Blueprint,
    expected_seq: u64,
    patch_hash: &str,
    epoch: &Epoch,
    log: &LogEntry,
) -> SettleArg<'a> {
    let label = blueprint.version_label().unwrap_or_default();
    SettleArg {
        expected_seq: Some(expected_seq),
        version: Some(blueprint.version().as_str()),
        label: Some(label),
        commit: Some(codec::commit_draft(
            blueprint.version(),
            label,
            &log.rationale,
            patch_hash,
            Some(&issue.issue_id),
            Some(epoch),
            // The script adds the author.
            None,
        )),
        ..arg
    }
}

#[derive(Serialize)]
struct NextArg<'a> {
    nonce: &'a str,
    lease_ms: u64,
    known_version: Option<&'a str>,
    yields: bool,
}

impl Shard {
    /// Decides a leased issue. If the reply is lost, repeat the call with the same lease.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be decided nevertheless.
    pub async fn settle(
        &self,
        lease: &Lease,
        settlement: &Settlement,
    ) -> Result<SettleOutcome, StoreError> {
        let (outcome, _) = self.settle_as(lease, settlement, None).await?;
        Ok(outcome)
    }

    /// Decides a leased issue as [`Shard::settle`] and then leases the queue's next issue to the
    /// same worker. It leases an issue only if a claim would grant it now.
    ///
    /// If the reply is lost, repeat the call with the same lease and the same `next`. The reply
    /// contains the same lease while it exists.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be decided nevertheless, and the next one leased.
    pub async fn settle_and_claim_next(
        &self,
        lease: &Lease,
        settlement: &Settlement,
        next: &NextClaim<'_>,
    ) -> Result<(SettleOutcome, Option<Box<Claimed>>), StoreError> {
        self.settle_as(lease, settlement, Some(next)).await
    }

    async fn settle_as(
        &self,
        lease: &Lease,
        settlement: &Settlement,
        next: Option<&NextClaim<'_>>,
    ) -> Result<(SettleOutcome, Option<Box<Claimed>>), StoreError> {
        let (issue, log) = (&lease.issue, settlement.log());
        let mut arg = SettleArg {
            token: &lease.token,
            log: codec::log_draft(log),
            next: next.map(|next| NextArg {
                nonce: next.nonce,
                lease_ms: next.lease_ms,
                known_version: next.known.map(Version::as_str),
                yields: next.yields,
            }),
            ..SettleArg::default()
        };
        let (mut document, review_reason) = (None, review_reason(settlement));
        match settlement {
            Settlement::Applied {
                blueprint,
                expected_seq,
                settings_counter,
                patch_hash,
                epoch,
                ..
            } => {
                document = Some(&**blueprint.canonical_yaml());
                arg = with_change(arg, issue, blueprint, *expected_seq, patch_hash, epoch, log);
                arg.kind = "applied";
                arg.settings_counter = Some(*settings_counter);
            }
            Settlement::Review(new) => {
                let NewProposal {
                    blueprint,
                    expected_seq,
                    patch_hash,
                    epoch,
                    ..
                } = &**new;
                document = Some(&**blueprint.canonical_yaml());
                arg = with_change(arg, issue, blueprint, *expected_seq, patch_hash, epoch, log);
                arg.kind = "review";
                arg.settings_counter = Some(new.settings_counter);
                arg.reason = &review_reason;
                arg.log = codec::proposed_log_draft(log);
                arg.proposal = Some(ProposalArg {
                    reasons: codec::to_json(&new.reasons),
                    patch: codec::stored_patch_draft(&new.patch),
                    ttl_ms: new.policy.ttl().map_or(0, whole_ms),
                    expiry_reason: new.policy.expiry_reason(),
                    allow_self_review: new.policy.allow_self_review,
                });
            }
            Settlement::Denied {
                expected_seq,
                reason,
                ..
            } => {
                arg.kind = "denied";
                arg.expected_seq = Some(*expected_seq);
                arg.reason = reason;
            }
            Settlement::Failed { dead, reason, .. } => {
                arg.kind = if *dead { "dead" } else { "failed" };
                arg.reason = reason;
            }
        }
        if arg.expected_seq.is_some() {
            arg.refused_log = Some(codec::failed_log_draft(
                &issue.issue_id,
                &issue.blueprint_id,
                Some(&log.intent),
                log.prev_hash.as_ref(),
            ));
        }
        let (blueprint, id) = (&issue.blueprint_id, issue.issue_id.as_str());
        let holder = lease.worker_id.as_str();
        let mut reply = self
            .queue_script(&script::SETTLE_ISSUE, blueprint, id, holder, &arg, document)
            .await?;
        match reply.outcome() {
            "ok" => {
                let state: String = reply.take()?;
                let Some(state) = IssueState::parse(&state) else {
                    return Err(reply.unknown());
                };
                let next = read_next(&mut reply, lease)?;
                Ok((SettleOutcome::Settled(state), next))
            }
            "stale" => Ok((SettleOutcome::Stale, None)),
            "moved_head" => {
                let head = read_head(&mut reply, &issue.blueprint_id)?;
                let settings_counter = reply.take()?;
                let moved = SettleOutcome::MovedHead {
                    head,
                    settings_counter,
                };
                Ok((moved, None))
            }
            "archived" => Ok((SettleOutcome::Archived, None)),
            "orbit_needs_admin" => Ok((SettleOutcome::OrbitNeedsAdmin, None)),
            _ => Err(reply.unknown()),
        }
    }
}

/// Returns the reason of an issue that goes to review; otherwise an empty text.
fn review_reason(settlement: &Settlement) -> String {
    match settlement {
        Settlement::Review(proposal) => proposal.reason(),
        _ => String::new(),
    }
}

/// Reads the issue that a settle handed over to the holder of `lease`; `None` if it handed over
/// none.
fn read_next(reply: &mut Reply, lease: &Lease) -> Result<Option<Box<Claimed>>, StoreError> {
    if reply.is_empty() {
        return Ok(None);
    }
    let name: String = reply.take()?;
    let issue = IssueRef {
        blueprint_id: lease.issue.blueprint_id.clone(),
        issue_id: IssueId::parse(&name).map_err(|e| codec::damaged("backlog", &name, e))?,
    };
    let claimed = read_claimed(reply, issue, &lease.worker_id)?;
    Ok(Some(Box::new(claimed)))
}
