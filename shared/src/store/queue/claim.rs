//! Claiming an issue: the lease, and what the worker needs to start.

use crate::domain::issue_ref::IssueRef;
use crate::domain::trace_parent::TraceParent;
use crate::ids::{BlueprintId, Version, WorkerId};
use crate::store::codec;
use crate::store::queue::issue_block::{Lease, head_args};
use crate::store::redis::error::StoreError;
use crate::store::redis::reply::Reply;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

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
pub enum ClaimMode {
    /// It does: an issue that crashed its worker more often than this is not for it.
    Shared {
        /// How many crashes are borne.
        shared_run_limit: u32,
    },
    /// It runs nothing else until this issue is through.
    Exclusive,
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

impl Shard {
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
        claim_mode: ClaimMode,
    ) -> Result<ClaimOutcome, StoreError> {
        let mut keys = self.block(issue, worker.as_str());
        keys.push(self.keys.blueprint(&issue.blueprint_id));
        keys.push(self.keys.documents(&issue.blueprint_id));
        keys.push(self.keys.fence());
        keys.push(self.keys.settings_counter());
        keys.push(self.keys.orbits());
        let log = codec::failed_log_draft(&issue.issue_id, &issue.blueprint_id, None, "");
        let mut reply = self
            .handle
            .script(&script::CLAIM_ISSUE, &keys, |call| {
                head_args(call, issue);
                call.arg(worker.as_str()).arg(nonce).arg(lease_ms);
                call.arg(known.map(Version::as_str).unwrap_or_default())
                    .arg(&log);
                match claim_mode {
                    ClaimMode::Shared { shared_run_limit } => call.arg(shared_run_limit),
                    ClaimMode::Exclusive => call.arg("alone"),
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
}

/// What a script tells the worker that has leased an issue (`lib/grant.lua`, `told_to_worker`).
pub(crate) fn read_claimed(
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

pub(crate) fn read_head(reply: &mut Reply, blueprint: &BlueprintId) -> Result<Head, StoreError> {
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
