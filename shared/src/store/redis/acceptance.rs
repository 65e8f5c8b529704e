//! What the edge does to the queue: accepts an issue, and calls one off.

use std::collections::HashMap;

use super::Shard;
use super::error::StoreError;
use super::keys::CANCEL_CHANNEL;
use super::queue::{IssueRef, NOBODY, head_args};
use super::reply::Reply;
use super::stored::damaged;
use super::{script, stored};
use crate::enhance_log::LogEntry;
use crate::ids::{BlueprintId, IssueId, SettingId};
use crate::issue::{Authority, Issue, IssueState, NewIssue, RejectionCause};
use crate::setting::BUNDLED_ORBITS;
use crate::telemetry::trace::TraceParent;

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

/// What became of a cancellation.
#[derive(Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// Called off, now or earlier.
    Cancelled(Issue),
    /// Otherwise terminal.
    Decided(Issue),
    /// No such issue.
    NotFound,
    /// The issue's target is an orbit, and the caller is not an admin.
    OrbitNeedsAdmin {
        /// The target.
        blueprint_id: BlueprintId,
        /// The setting that names it; `None`: a bundled orbit, which no setting need name.
        setting_id: Option<SettingId>,
    },
}

/// What tells a script whether a Blueprint is a bundled orbit. No setting need name one: who switches to it trusts
/// that it is what was bundled.
pub(super) fn bundled_flag(id: &BlueprintId) -> &'static str {
    if BUNDLED_ORBITS.contains(&id.as_str()) {
        "1"
    } else {
        ""
    }
}

/// The setting that an answer names; `None` if it names none.
pub(super) fn read_setting_id(reply: &mut Reply) -> Result<Option<SettingId>, StoreError> {
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
            .link
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
                Ok(SubmitOutcome::Existed(stored::issue(
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

    /// Calls an issue off in whatever state it is, on this authority. Repeating it is safe.
    ///
    /// # Errors
    /// [`StoreError`]; the issue may have been cancelled all the same.
    pub async fn cancel_issue(
        &self,
        id: &IssueId,
        authority: Authority,
    ) -> Result<CancelOutcome, StoreError> {
        loop {
            let Some(found) = self.issue(id).await? else {
                return Ok(CancelOutcome::NotFound);
            };
            let issue = IssueRef {
                blueprint_id: found.blueprint_id.clone(),
                issue_id: id.clone(),
            };
            let holder = if found.worker_id.is_empty() {
                NOBODY
            } else {
                &found.worker_id
            };
            let log = stored::log_draft(&LogEntry {
                issue_id: id.clone(),
                blueprint_id: found.blueprint_id.clone(),
                prev_hash: String::new(),
                new_hash: String::new(),
                intent: found.intent.clone(),
                rationale: String::new(),
                verdicts: Vec::new(),
                cause: Some(RejectionCause::Cancelled),
                reasons: vec!["cancelled".to_owned()],
                attempt: 0,
                patch_json: String::new(),
                ts_ms: 0,
                usage: Default::default(),
                unusable_reply: String::new(),
            });
            let mut keys = self.block(&issue, holder);
            keys.push(self.keys.orbits());
            let mut reply = self
                .link
                .script(&script::CANCEL_ISSUE, &keys, |call| {
                    head_args(call, &issue);
                    call.arg(&found.worker_id).arg(&log).arg(CANCEL_CHANNEL);
                    call.arg(authority.as_str());
                    call.arg(bundled_flag(&issue.blueprint_id));
                })
                .await?;
            let issue_from =
                |fields: HashMap<String, String>| stored::issue(id, &fields, found.intent.clone());
            return match reply.outcome() {
                "ok" | "again" => Ok(CancelOutcome::Cancelled(issue_from(reply.take_fields()?)?)),
                "decided" => Ok(CancelOutcome::Decided(issue_from(reply.take_fields()?)?)),
                "not_found" => Ok(CancelOutcome::NotFound),
                "orbit_needs_admin" => Ok(CancelOutcome::OrbitNeedsAdmin {
                    blueprint_id: issue.blueprint_id,
                    setting_id: read_setting_id(&mut reply)?,
                }),
                // A worker claimed it between the read and the script: look again.
                "moved" => continue,
                _ => Err(reply.unknown()),
            };
        }
    }
}
