//! What the edge does to the queue: accepts an issue, and calls one off.

use crate::domain::bundled::BUNDLED_ORBITS;
use crate::domain::issue::{Issue, IssueState, NewIssue};
use crate::domain::issue_ref::IssueRef;
use crate::domain::trace_parent::TraceParent;
use crate::ids::{BlueprintId, IssueId, SettingId};
use crate::store::codec::{self, damaged};
use crate::store::queue::issue_block::{NOBODY, head_args};
use crate::store::redis::error::StoreError;
use crate::store::redis::reply::Reply;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// It is stored and queued.
    Accepted(Issue),
    /// The same issue is there already.
    Existed(Issue),
    /// Another issue has this id.
    Conflict,
    /// No such Blueprint.
    UnknownTarget,
    /// The Blueprint is archived.
    Archived,
    /// The target is an orbit, and the caller is not an admin.
    OrbitNeedsAdmin {
        /// The setting that names it; `None`: a bundled orbit, which no setting need name.
        setting_id: Option<SettingId>,
    },
    /// The id was decided and pruned.
    Pruned,
    /// Redis has used too much of its memory to take more in.
    MemoryFull {
        /// Bytes used.
        used: u64,
        /// Bytes allowed.
        max: u64,
    },
}

/// What tells a script whether a Blueprint is a bundled orbit. No setting need name one: who switches to it trusts
/// that it is what was bundled.
pub(crate) fn bundled_flag(id: &BlueprintId) -> &'static str {
    if BUNDLED_ORBITS.contains(&id.as_str()) {
        "1"
    } else {
        ""
    }
}

/// The setting that an answer names; `None` if it names none.
pub(crate) fn read_setting_id(reply: &mut Reply) -> Result<Option<SettingId>, StoreError> {
    let name: String = reply.take()?;
    if name.is_empty() {
        return Ok(None);
    }
    let id = SettingId::parse(&name).map_err(|e| damaged("orbits", &name, e))?;
    Ok(Some(id))
}

impl Shard {
    /// Stores an issue and queues it. Repeating it with the same content is safe.
    ///
    /// # Errors
    /// [`StoreError`]; unless it says so, the issue may have been accepted all the same.
    pub async fn submit(&self, new: &NewIssue) -> Result<SubmitOutcome, StoreError> {
        if let Some((used, max)) = self.memory_pressure().await? {
            return Ok(SubmitOutcome::MemoryFull { used, max });
        }
        let issue = IssueRef {
            blueprint_id: new.blueprint_id().clone(),
            issue_id: new.issue_id().clone(),
        };
        let mut keys = self.block(&issue, NOBODY);
        keys.push(self.keys.issues());
        keys.push(self.keys.issues_of(&issue.blueprint_id));
        keys.push(self.keys.blueprint(&issue.blueprint_id));
        keys.push(self.keys.orbits());
        keys.push(self.keys.settings_counter());
        let retry_of = new.retry_of().map(IssueId::as_str).unwrap_or_default();
        let trace = new.trace().map(TraceParent::as_str).unwrap_or_default();
        let mut reply = self
            .handle
            .script(&script::SUBMIT_ISSUE, &keys, |call| {
                head_args(call, &issue);
                call.arg(new.intent()).arg(retry_of).arg(trace);
                call.arg(new.authority().as_str());
                call.arg(bundled_flag(&issue.blueprint_id));
            })
            .await?;
        match reply.outcome() {
            "accepted" => {
                let now: u64 = reply.take()?;
                Ok(SubmitOutcome::Accepted(Issue {
                    issue_id: issue.issue_id,
                    blueprint_id: issue.blueprint_id,
                    intent: new.intent().to_owned(),
                    state: IssueState::Pending,
                    reason: String::new(),
                    cause: None,
                    new_version: None,
                    attempt: 0,
                    worker_id: String::new(),
                    retry_of: new.retry_of().cloned(),
                    submitted_at_ms: now,
                    updated_at_ms: now,
                    revision: 1,
                }))
            }
            "existed" => {
                let fields = reply.take_fields()?;
                Ok(SubmitOutcome::Existed(codec::issue(
                    &issue.issue_id,
                    &fields,
                    reply.take()?,
                )?))
            }
            "conflict" => Ok(SubmitOutcome::Conflict),
            "decided" => Ok(SubmitOutcome::Pruned),
            "unknown_target" => Ok(SubmitOutcome::UnknownTarget),
            "archived" => Ok(SubmitOutcome::Archived),
            "orbit_needs_admin" => Ok(SubmitOutcome::OrbitNeedsAdmin {
                setting_id: read_setting_id(&mut reply)?,
            }),
            _ => Err(reply.unknown()),
        }
    }
}
