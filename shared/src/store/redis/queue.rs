//! The queue: how an issue goes from accepted to decided, once, whatever dies on the way.
//!
//! # Who holds what
//!
//! Every Blueprint has a queue of its own, its *backlog*, in the order of acceptance. Only a
//! queue's head can be worked on, and the record `places` says where it is:
//!
//! ```text
//!            submit                BRPOPLPUSH + claim
//!   none ───────────────▶ ready ───────────────────────▶ leased
//!    ▲                    ▲ │ ▲                          │ │ │
//!    │  decided, queue    │ │ └── shutdown gives back ───┘ │ │
//!    │  empty             │ └ paused ▶ parked ▶ resumed    │ │
//!    │                    └── due ── delayed ◀─ fault, ────┘ │
//!    │                               lease ran out           │
//!    └───────── settle, cancel, reap to dead ◀───────────────┘  (then the next head is placed)
//! ```
//!
//! A settle that asks for it leases the next head to the same worker instead of placing it: the queue stays *leased*.
//!
//! *ready* means that its element `<blueprint_id>/<issue_id>` is in `pending` or in exactly
//! one processing list. Whatever a worker pops is therefore free to run; two issues of one
//! Blueprint are never worked on at once, and a long queue starves nobody.
//!
//! # What each failure leaves behind, and who repairs it
//!
//! * A worker dies between pop and claim: the element lies in its processing list, the place
//!   says ready. A reaper finds the dead worker's list and gives the element back
//!   ([`Shard::return_element`]); no attempt is counted.
//! * The reply of a pop gets lost: the same, but the worker lives. Its heartbeat lists elements
//!   that no lease has, and the consumer claims them as if popped.
//! * A worker dies after the claim: the lease runs out and a reaper delays the issue. One that goes on
//!   crashing its workers is claimed alone, so that its neighbours do not pay for it, and is decided
//!   once it has crashed as often as is allowed, the last time alone.
//! * A worker dies after a settle that has leased the next issue to it: the same as after a claim.
//! * A worker stalls past its lease and comes back: its token is not the issue's any more, so
//!   whatever it still says answers `stale`. Tokens come from a counter that only rises plus
//!   the claimer's nonce, so no two claims ever share one.
//! * A reply of claim, settle, release or cancel gets lost: the caller repeats the call under
//!   the same nonce, token or id and gets the answer that it missed.
//! * Redis itself loses something, or a script is wrong: a queue's place may be untrue, and nothing would
//!   ever move it. An audit looks at each queue once a minute ([`Shard::audit_queues`]) and mends it.

use super::Shard;
use super::error::StoreError;
use super::keys::{EVENTS_CHANNEL, issue_channel};
use super::reply::Reply;
use super::{label_rank, script, stored};
use crate::blueprint::Blueprint;
use crate::commit::Epoch;
use crate::enhance_log::LogEntry;
use crate::ids::{BlueprintId, IssueId, Version, WorkerId};
use crate::issue::IssueState;
use crate::telemetry::trace::TraceParent;

/// An issue and its queue: the element `<blueprint_id>/<issue_id>`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssueRef {
    /// The target.
    pub blueprint_id: BlueprintId,
    /// The issue.
    pub issue_id: IssueId,
}

impl IssueRef {
    /// Takes an element apart; `None` if it is none.
    pub fn parse(element: &str) -> Option<IssueRef> {
        let (blueprint, issue) = element.split_once('/')?;
        Some(IssueRef {
            blueprint_id: BlueprintId::parse(blueprint).ok()?,
            issue_id: IssueId::parse(issue).ok()?,
        })
    }

    /// The element.
    pub fn element(&self) -> String {
        format!("{}/{}", self.blueprint_id, self.issue_id)
    }
}

/// The right to decide an issue, until the lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The issue.
    pub issue: IssueRef,
    /// The worker that holds it.
    pub worker_id: WorkerId,
    /// The fencing token.
    pub token: String,
}

/// A target's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of its newest commit.
    pub seq: u64,
    /// Its content.
    pub version: Version,
    /// The canonical YAML; `None` if the caller said that it has it.
    pub document: Option<String>,
}

/// All that a worker needs for a claimed issue.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The lease.
    pub lease: Lease,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How often it was put off for a passing fault.
    pub retries: u32,
    /// What should change.
    pub intent: String,
    /// When it was accepted, Redis time.
    pub submitted_at_ms: u64,
    /// When it was claimed, Redis time.
    pub claimed_at_ms: u64,
    /// The settings counter: settings and orbits are to be read again if it moved.
    pub settings_counter: u64,
    /// The target's head.
    pub head: Head,
    /// The trace that it is a part of.
    pub trace: Option<TraceParent>,
}

/// Whether a worker runs other issues beside the one that it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// It does: an issue that crashed its worker more often than this is not for it.
    Others {
        /// How many crashes are borne.
        bearable_crashes: u32,
    },
    /// It runs nothing else until this issue is through.
    Alone,
}

/// What became of a claim.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// The issue is this worker's.
    Claimed(Box<Claimed>),
    /// Terminal, or not its queue's head: there is nothing to do.
    Gone,
    /// Not in this worker's list.
    NotMine,
    /// This worker has it under another nonce.
    Held,
    /// Paused.
    Parked,
    /// Its Blueprint is archived; it was decided.
    Archived,
    /// Its Blueprint has become an orbit, and an admin did not file it; it was decided.
    OrbitNeedsAdmin,
    /// It is to be claimed alone; it is still in this worker's list.
    MustBeAlone,
}

/// How an issue is decided.
#[derive(Debug)]
pub enum Decision<'a> {
    /// A new version of the target.
    Applied {
        /// The content.
        blueprint: &'a Blueprint,
        /// The head that it was made from.
        expected_seq: u64,
        /// SHA-256 of the patch's canonical JSON.
        patch_hash: &'a str,
        /// The attempt.
        epoch: &'a Epoch,
    },
    /// A verifier said no, of what this head would have become.
    Denied {
        /// The head that was judged.
        expected_seq: u64,
    },
    /// It could not be decided.
    Failed {
        /// Onto the dead list: its retries are used up.
        dead: bool,
    },
}

/// A decision and what is kept of it.
#[derive(Debug)]
pub struct Settlement<'a> {
    /// How it is decided.
    pub decision: Decision<'a>,
    /// The issue's reason; empty when applied.
    pub reason: &'a str,
    /// The log entry; `attempt` and `ts_ms` are the store's.
    pub log: &'a LogEntry,
}

/// What a settle asks for beside its decision: to have the queue's next issue at once.
#[derive(Debug, Clone, Copy)]
pub struct NextClaim<'a> {
    /// As the nonce of a claim: a new one for each settlement, the same when the call is repeated.
    pub nonce: &'a str,
    /// The lease, in milliseconds.
    pub lease_ms: u64,
    /// A version of the target whose document the caller will have: it is not sent again.
    pub known: Option<&'a Version>,
    /// The next issue is not wanted while another queue waits in `pending`.
    pub yields: bool,
}

/// What became of a settlement.
#[derive(Debug, PartialEq, Eq)]
pub enum SettleOutcome {
    /// Decided, now or by an earlier call with this token.
    Settled(IssueState),
    /// Not this caller's to decide any more.
    Stale,
    /// The head is another one; the lease is kept.
    MovedHead(Head),
    /// The Blueprint was archived meanwhile; the issue was decided.
    Archived,
    /// The Blueprint has become an orbit meanwhile, and an admin did not file the issue; it was decided.
    OrbitNeedsAdmin,
}

/// No worker's processing list is meant.
pub(super) const NOBODY: &str = "-";
/// What stands for the head of a queue that has none; no id can be spelled so.
pub(super) const NO_HEAD: &str = "-";

impl Shard {
    pub(super) fn block(&self, issue: &IssueRef, holder: &str) -> Vec<String> {
        self.keys
            .issue_block(&issue.blueprint_id, &issue.issue_id, holder)
    }

    /// Makes a popped element this worker's lease. Repeat it with the same `nonce` if the reply is lost.
    ///
    /// `known` is a version of the target whose document the caller has: it is not sent again.
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
        let mut keys = self.block(issue, worker.as_str());
        keys.push(self.keys.blueprint(&issue.blueprint_id));
        keys.push(self.keys.documents(&issue.blueprint_id));
        keys.push(self.keys.fence());
        keys.push(self.keys.settings_counter());
        keys.push(self.keys.orbits());
        let log = stored::failed_log_draft(&issue.issue_id, &issue.blueprint_id, None, "");
        let mut reply = self
            .link
            .script(&script::CLAIM_ISSUE, &keys, |call| {
                head_args(call, issue);
                call.arg(worker.as_str()).arg(nonce).arg(lease_ms);
                call.arg(known.map(Version::as_str).unwrap_or_default())
                    .arg(&log);
                match company {
                    Company::Others { bearable_crashes } => call.arg(bearable_crashes),
                    Company::Alone => call.arg("alone"),
                };
            })
            .await?;
        match reply.outcome() {
            "ok" | "again" => {
                let claimed = read_claimed(&mut reply, issue.clone(), worker)?;
                Ok(ClaimOutcome::Claimed(Box::new(claimed)))
            }
            "gone" => Ok(ClaimOutcome::Gone),
            "not_mine" => Ok(ClaimOutcome::NotMine),
            "held" => Ok(ClaimOutcome::Held),
            "parked" => Ok(ClaimOutcome::Parked),
            "archived" => Ok(ClaimOutcome::Archived),
            "orbit_needs_admin" => Ok(ClaimOutcome::OrbitNeedsAdmin),
            "alone" => Ok(ClaimOutcome::MustBeAlone),
            _ => Err(reply.unknown()),
        }
    }

    /// Decides a leased issue. Repeat it with the same lease if the reply is lost.
    ///
    /// # Errors
    /// [`StoreError`]; the issue may have been decided all the same.
    pub async fn settle(
        &self,
        lease: &Lease,
        settlement: &Settlement<'_>,
    ) -> Result<SettleOutcome, StoreError> {
        let (outcome, _) = self.settle_as(lease, settlement, None).await?;
        Ok(outcome)
    }

    /// As [`Shard::settle`]. Once the issue is decided, the queue's next issue becomes a lease of the same worker, if
    /// it waits and a claim would grant it now. Repeat it with the same lease and the same `next` if the reply is
    /// lost: the answer holds the same lease while that stands.
    ///
    /// # Errors
    /// [`StoreError`]; the issue may have been decided all the same, and the next one leased.
    pub async fn settle_and_claim_next(
        &self,
        lease: &Lease,
        settlement: &Settlement<'_>,
        next: &NextClaim<'_>,
    ) -> Result<(SettleOutcome, Option<Box<Claimed>>), StoreError> {
        self.settle_as(lease, settlement, Some(next)).await
    }

    async fn settle_as(
        &self,
        lease: &Lease,
        settlement: &Settlement<'_>,
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
        let log = settlement.log;
        let log_json = stored::log_draft(log);
        let (mut archived_log, mut rank) = (String::new(), String::new());
        if !matches!(settlement.decision, Decision::Failed { .. }) {
            archived_log = stored::failed_log_draft(
                &issue.issue_id,
                &issue.blueprint_id,
                Some(&log.intent),
                &log.prev_hash,
            );
        }
        let mut reply = self
            .link
            .script(&script::SETTLE_ISSUE, &keys, |call| {
                head_args(call, issue);
                call.arg(&lease.token);
                match &settlement.decision {
                    Decision::Applied {
                        blueprint,
                        expected_seq,
                        patch_hash,
                        epoch,
                    } => {
                        let label = blueprint.version_label().unwrap_or_default();
                        let commit = stored::commit_draft(
                            blueprint.version(),
                            label,
                            &log.rationale,
                            patch_hash,
                            Some(&issue.issue_id),
                            Some(epoch),
                        );
                        call.arg("applied")
                            .arg(settlement.reason)
                            .arg(&log_json)
                            .arg(*expected_seq);
                        call.arg(blueprint.version().as_str())
                            .arg(&**blueprint.canonical_yaml())
                            .arg(commit)
                            .arg(label);
                        rank = label_rank::rank(label);
                    }
                    Decision::Denied { expected_seq } => {
                        call.arg("denied")
                            .arg(settlement.reason)
                            .arg(&log_json)
                            .arg(*expected_seq);
                        call.arg("").arg("").arg("").arg("");
                    }
                    Decision::Failed { dead } => {
                        call.arg(if *dead { "dead" } else { "failed" })
                            .arg(settlement.reason)
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

/// The arguments that every script of an issue begins with.
pub(super) fn head_args(call: &mut redis::ScriptInvocation<'_>, issue: &IssueRef) {
    head_args_of(call, &issue.blueprint_id, issue.issue_id.as_str());
}

/// As [`head_args`], for a queue that may have no head.
pub(super) fn head_args_of(
    call: &mut redis::ScriptInvocation<'_>,
    blueprint: &BlueprintId,
    issue: &str,
) {
    call.arg(blueprint.as_str()).arg(issue);
    call.arg(EVENTS_CHANNEL).arg(issue_channel(issue));
}

/// What a script tells the worker that has leased an issue (`lib/grant.lua`, `told_to_worker`).
fn read_claimed(
    reply: &mut Reply,
    issue: IssueRef,
    worker: &WorkerId,
) -> Result<Claimed, StoreError> {
    let token = reply.take()?;
    Ok(Claimed {
        attempt: reply.take()?,
        retries: reply.take()?,
        submitted_at_ms: reply.take()?,
        intent: reply.take()?,
        claimed_at_ms: reply.take()?,
        settings_counter: reply.take()?,
        head: read_head(reply, &issue.blueprint_id)?,
        trace: TraceParent::parse(&reply.take::<String>()?),
        lease: Lease {
            issue,
            worker_id: worker.clone(),
            token,
        },
    })
}

/// The issue that a settle has handed over to the holder of `lease`; `None` if it has not.
fn read_next(reply: &mut Reply, lease: &Lease) -> Result<Option<Box<Claimed>>, StoreError> {
    if reply.is_empty() {
        return Ok(None);
    }
    let name: String = reply.take()?;
    let issue = IssueRef {
        blueprint_id: lease.issue.blueprint_id.clone(),
        issue_id: IssueId::parse(&name).map_err(|e| stored::damaged("backlog", &name, e))?,
    };
    let claimed = read_claimed(reply, issue, &lease.worker_id)?;
    Ok(Some(Box::new(claimed)))
}

fn read_head(reply: &mut Reply, blueprint: &BlueprintId) -> Result<Head, StoreError> {
    let seq = reply.take()?;
    let version: String = reply.take()?;
    let document: String = reply.take()?;
    let version = Version::parse(&version).map_err(|e| StoreError::Damaged {
        what: "head",
        id: blueprint.to_string(),
        problem: e.to_string(),
    })?;
    Ok(Head {
        seq,
        version,
        document: Some(document).filter(|d| !d.is_empty()),
    })
}
