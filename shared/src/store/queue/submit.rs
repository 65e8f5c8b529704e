//! Submits an issue.

use serde::Serialize;

use crate::domain::bundled::BUNDLED_ORBITS;
use crate::domain::issue::{Issue, IssueState, NewIssue};
use crate::domain::issue_ref::IssueRef;
use crate::domain::trace_parent::TraceParent;
use crate::ids::{BlueprintId, IssueId, SettingId};
use crate::store::codec::{self, damaged};
use crate::store::queue::issue_block::NOBODY;
use crate::store::redis::error::StoreError;
use crate::store::redis::reply::Reply;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// The issue is stored and queued.
    Accepted(Issue),
    /// The same issue already exists.
    Existed(Issue),
    /// Another issue has this id.
    Conflict,
    /// The Blueprint does not exist.
    UnknownTarget,
    /// The Blueprint is archived.
    Archived,
    /// The target is an orbit, and the caller is not an admin.
    OrbitNeedsAdmin {
        /// The setting that names it as its orbit; `None` for a bundled orbit that no setting
        /// names.
        setting_id: Option<SettingId>,
    },
    /// The issue with this id was decided and pruned.
    Pruned,
    /// Redis uses too much of its memory to accept more issues.
    MemoryFull {
        /// Used memory in bytes.
        used: u64,
        /// Available memory in bytes.
        max: u64,
    },
}

/// Returns true for a bundled orbit. It needs protection even if no setting names it: a later
/// switch to it relies on its original content.
pub(crate) fn is_bundled(id: &BlueprintId) -> bool {
    BUNDLED_ORBITS.contains(&id.as_str())
}

/// Reads the setting that a reply names; `None` if it names none.
pub(crate) fn read_setting_id(reply: &mut Reply) -> Result<Option<SettingId>, StoreError> {
    let name: String = reply.take()?;
    if name.is_empty() {
        return Ok(None);
    }
    let id = SettingId::parse(&name).map_err(|e| damaged("orbits", &name, e))?;
    Ok(Some(id))
}

#[derive(Serialize)]
struct SubmitArg<'a> {
    intent: &'a str,
    retry_of: Option<&'a str>,
    trace: Option<&'a str>,
    authority: &'static str,
    is_bundled: bool,
    submitted_by: &'a str,
}

impl Shard {
    /// Stores an issue and queues it. Repeating it with the same content is safe.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be accepted nevertheless, unless the error excludes it.
    pub async fn submit(&self, new: &NewIssue) -> Result<SubmitOutcome, StoreError> {
        if let Some((used, max)) = self.memory_pressure().await? {
            return Ok(SubmitOutcome::MemoryFull { used, max });
        }
        let issue = IssueRef {
            blueprint_id: new.blueprint_id().clone(),
            issue_id: new.issue_id().clone(),
        };
        let arg = SubmitArg {
            intent: new.intent(),
            retry_of: new.retry_of().map(IssueId::as_str),
            trace: new.trace().map(TraceParent::as_str),
            authority: new.authority().as_str(),
            is_bundled: is_bundled(&issue.blueprint_id),
            submitted_by: new.submitter().as_str(),
        };
        let mut reply = self
            .issue_script(&script::SUBMIT_ISSUE, &issue, NOBODY, &arg)
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
                    submitted_by: Some(new.submitter().clone()),
                    decided_by: None,
                    submitted_at_ms: now,
                    joined_at_ms: now,
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
