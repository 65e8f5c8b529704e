//! Settles an issue: one script performs all writes of a decision.

use std::sync::Arc;

use crate::blueprint::Blueprint;
use crate::domain::commit::Epoch;
use crate::domain::enhance_log::LogEntry;
use crate::domain::issue::IssueState;
use crate::domain::issue_ref::IssueRef;
use crate::ids::{IssueId, Version};
use crate::store::blueprints::label_rank;
use crate::store::codec;
use crate::store::queue::claim::{Claimed, Head, read_claimed, read_head};
use crate::store::queue::issue_block::{Lease, head_args};
use crate::store::redis::error::StoreError;
use crate::store::redis::reply::Reply;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

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
        /// SHA-256 of the patch's canonical JSON.
        patch_hash: String,
        /// The attempt.
        epoch: Epoch,
        /// The log entry.
        log: LogEntry,
    },
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
        }
    }

    /// Returns the new document; `None` if the issue is rejected.
    pub fn blueprint(&self) -> Option<&Arc<Blueprint>> {
        match self {
            Settlement::Applied { blueprint, .. } => Some(blueprint),
            Settlement::Denied { .. } | Settlement::Failed { .. } => None,
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
    /// The issue is decided, now or by an earlier call with this token.
    Settled(IssueState),
    /// The caller no longer holds the issue.
    Stale,
    /// The head has changed. The caller keeps the lease.
    MovedHead(Head),
    /// The Blueprint was archived in the meantime. The issue is decided.
    Archived,
    /// The Blueprint has become an orbit, and no admin submitted the issue. The issue is decided.
    OrbitNeedsAdmin,
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
        let issue = &lease.issue;
        let mut keys = self.block(issue, lease.worker_id.as_str());
        keys.push(self.keys.blueprint(&issue.blueprint_id));
        keys.push(self.keys.documents(&issue.blueprint_id));
        keys.push(self.keys.fence());
        keys.push(self.keys.settings_counter());
        keys.push(self.keys.orbits());
        keys.push(self.keys.commits(&issue.blueprint_id));
        keys.push(self.keys.newest(&issue.blueprint_id));
        keys.push(self.keys.labels(&issue.blueprint_id));
        keys.push(self.keys.ranks(&issue.blueprint_id));
        let log = settlement.log();
        let log_json = codec::log_draft(log);
        let (mut archived_log, mut rank) = (String::new(), String::new());
        if !matches!(settlement, Settlement::Failed { .. }) {
            archived_log = codec::failed_log_draft(
                &issue.issue_id,
                &issue.blueprint_id,
                Some(&log.intent),
                &log.prev_hash,
            );
        }
        let mut reply = self
            .handle
            .script(&script::SETTLE_ISSUE, &keys, |call| {
                head_args(call, issue);
                call.arg(&lease.token);
                match settlement {
                    Settlement::Applied {
                        blueprint,
                        expected_seq,
                        patch_hash,
                        epoch,
                        ..
                    } => {
                        let label = blueprint.version_label().unwrap_or_default();
                        let commit = codec::commit_draft(
                            blueprint.version(),
                            label,
                            &log.rationale,
                            patch_hash,
                            Some(&issue.issue_id),
                            Some(epoch),
                        );
                        call.arg("applied")
                            .arg("")
                            .arg(&log_json)
                            .arg(*expected_seq);
                        call.arg(blueprint.version().as_str())
                            .arg(&**blueprint.canonical_yaml())
                            .arg(commit)
                            .arg(label);
                        rank = label_rank::rank(label);
                    }
                    Settlement::Denied {
                        expected_seq,
                        reason,
                        ..
                    } => {
                        call.arg("denied")
                            .arg(reason)
                            .arg(&log_json)
                            .arg(*expected_seq);
                        call.arg("").arg("").arg("").arg("");
                    }
                    Settlement::Failed { dead, reason, .. } => {
                        call.arg(if *dead { "dead" } else { "failed" })
                            .arg(reason)
                            .arg(&log_json)
                            .arg(0);
                        call.arg("").arg("").arg("").arg("");
                    }
                }
                call.arg(&archived_log).arg(rank);
                match next {
                    Some(next) => call
                        .arg(next.nonce)
                        .arg(next.lease_ms)
                        .arg(next.known.map(Version::as_str).unwrap_or_default())
                        .arg(if next.yields { "1" } else { "" }),
                    None => call.arg("").arg("").arg("").arg(""),
                };
            })
            .await?;
        match reply.outcome() {
            "ok" => {
                let state: String = reply.take()?;
                let Some(state) = IssueState::parse(&state) else {
                    return Err(reply.unknown());
                };
                let _new_version: String = reply.take()?;
                let next = read_next(&mut reply, lease)?;
                Ok((SettleOutcome::Settled(state), next))
            }
            "stale" => Ok((SettleOutcome::Stale, None)),
            "moved_head" => {
                let head = read_head(&mut reply, &issue.blueprint_id)?;
                Ok((SettleOutcome::MovedHead(head), None))
            }
            "archived" => Ok((SettleOutcome::Archived, None)),
            "orbit_needs_admin" => Ok((SettleOutcome::OrbitNeedsAdmin, None)),
            _ => Err(reply.unknown()),
        }
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
