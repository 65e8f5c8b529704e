//! Cancels an issue.

use std::collections::HashMap;

use serde::Serialize;

use crate::domain::enhance_log::LogEntry;
use crate::domain::issue::{Caller, Issue, RejectionCause};
use crate::domain::issue_ref::IssueRef;
use crate::ids::{BlueprintId, IssueId, SettingId};
use crate::store::codec;
use crate::store::queue::issue_block::NOBODY;
use crate::store::queue::submit::{is_bundled, read_setting_id};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome of a cancellation.
#[derive(Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The issue is cancelled, now or by an earlier call.
    Cancelled(Issue),
    /// The issue has another terminal state.
    Decided(Issue),
    /// The issue does not exist.
    NotFound,
    /// The issue's target is an orbit, and the caller is not an admin.
    OrbitNeedsAdmin {
        /// The target.
        blueprint_id: BlueprintId,
        /// The setting that names it as its orbit; `None` for a bundled orbit that no setting
        /// names.
        setting_id: Option<SettingId>,
    },
}

#[derive(Serialize)]
struct CancelArg<'a> {
    log: &'a str,
    authority: &'static str,
    is_bundled: bool,
    decided_by: &'a str,
}

impl Shard {
    /// Cancels an issue in any state, under the authority of the caller. Repeating it is safe: the
    /// first canceller stays recorded.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be cancelled nevertheless.
    pub async fn cancel_issue(
        &self,
        id: &IssueId,
        caller: impl Into<Caller>,
    ) -> Result<CancelOutcome, StoreError> {
        let caller = caller.into();
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
            let log = codec::log_draft(&LogEntry {
                issue_id: id.clone(),
                blueprint_id: found.blueprint_id.clone(),
                prev_hash: None,
                new_hash: None,
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
                submitted_by: None,
                decided_by: None,
                comment: String::new(),
            });
            let arg = CancelArg {
                log: &log,
                authority: caller.authority.as_str(),
                is_bundled: is_bundled(&issue.blueprint_id),
                decided_by: caller.actor.as_str(),
            };
            let mut reply = self
                .issue_script(&script::CANCEL_ISSUE, &issue, holder, &arg)
                .await?;
            let issue_from =
                |fields: HashMap<String, String>| codec::issue(id, &fields, found.intent.clone());
            return match reply.outcome() {
                "ok" | "again" => Ok(CancelOutcome::Cancelled(issue_from(reply.take_fields()?)?)),
                "decided" => Ok(CancelOutcome::Decided(issue_from(reply.take_fields()?)?)),
                "not_found" => Ok(CancelOutcome::NotFound),
                "orbit_needs_admin" => Ok(CancelOutcome::OrbitNeedsAdmin {
                    blueprint_id: issue.blueprint_id,
                    setting_id: read_setting_id(&mut reply)?,
                }),
                // A worker claimed it between the read and the script, so read it again.
                "moved" => continue,
                _ => Err(reply.unknown()),
            };
        }
    }
}
