//! Claims an issue: grants the lease and returns the input of the worker.

use serde::Serialize;

use crate::domain::actor::Actor;
use crate::domain::issue_ref::IssueRef;
use crate::domain::proposal::StoredPatch;
use crate::domain::trace_parent::TraceParent;
use crate::ids::{BlueprintId, Version, WorkerId};
use crate::store::codec;
use crate::store::queue::issue_block::Lease;
use crate::store::redis::error::StoreError;
use crate::store::redis::reply::Reply;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The head of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of its newest commit.
    pub seq: u64,
    /// The version of its content.
    pub version: Version,
    /// The canonical YAML; `None` if the caller already has it.
    pub document: Option<String>,
}

/// A claimed issue with all data that the worker needs.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The lease.
    pub lease: Lease,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The number of retries after transient faults.
    pub retries: u32,
    /// The requested change.
    pub intent: String,
    /// The time of acceptance, Redis time.
    pub submitted_at_ms: u64,
    /// The time of the claim, Redis time.
    pub claimed_at_ms: u64,
    /// The settings counter. If it changed, read settings and orbits again.
    pub settings_counter: u64,
    /// The target's head.
    pub head: Head,
    /// The trace of the issue.
    pub trace: Option<TraceParent>,
    /// The actor that submitted it; `None` in data of releases without actors.
    pub submitted_by: Option<Actor>,
    /// The patch of its proposal, if the approval of that found another head. The change is
    /// verified on the present head and goes to review again.
    pub stored_patch: Option<StoredPatch>,
}

/// Whether a worker runs other issues beside the claimed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimMode {
    /// The worker runs other issues. It cannot claim an issue whose deaths exceed the limit.
    Shared {
        /// The maximum number of worker deaths of an issue in shared runs.
        shared_run_limit: u32,
    },
    /// The worker runs nothing else until this issue ends.
    Exclusive,
}

/// The outcome of a claim.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// This worker holds the issue.
    Claimed(Box<Claimed>),
    /// The issue is terminal or not the head of its queue. Nothing to do.
    Gone,
    /// The element is not in this worker's list.
    NotMine,
    /// This worker holds the issue under another nonce.
    Held,
    /// The queue is paused.
    Parked,
    /// The Blueprint is archived. The issue is decided.
    Archived,
    /// The Blueprint has become an orbit, and no admin submitted the issue. The issue is decided.
    OrbitNeedsAdmin,
    /// The issue needs an exclusive run. It remains in this worker's list.
    MustBeAlone,
}

#[derive(Serialize)]
struct ClaimArg<'a> {
    nonce: &'a str,
    lease_ms: u64,
    known_version: Option<&'a str>,
    log: String,
    shared_run_limit: Option<u32>,
}

impl Shard {
    /// Converts a popped element to a lease of this worker. If the reply is lost, repeat the call
    /// with the same `nonce`.
    ///
    /// `known` is a version of the target whose document the caller has. The reply omits that
    /// document.
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
        let arg = ClaimArg {
            nonce,
            lease_ms,
            known_version: known.map(Version::as_str),
            log: codec::failed_log_draft(&issue.issue_id, &issue.blueprint_id, None, None),
            shared_run_limit: match claim_mode {
                ClaimMode::Shared { shared_run_limit } => Some(shared_run_limit),
                ClaimMode::Exclusive => None,
            },
        };
        let mut reply = self
            .issue_script(&script::CLAIM_ISSUE, issue, worker.as_str(), &arg)
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

/// Reads the reply of `told_to_worker` in `include/grant.lua`.
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
        submitted_by: codec::read_actor(
            "issue",
            issue.issue_id.as_str(),
            &reply.take::<String>()?,
        )?,
        stored_patch: match reply.take::<String>()?.as_str() {
            "" => None,
            text => Some(codec::stored_patch(&issue.issue_id, text)?),
        },
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
