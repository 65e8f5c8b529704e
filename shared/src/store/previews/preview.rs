//! Previews: requests in a separate list, each run at most once. Each response is under a separate
//! key with an expiry.
//!
//! Previews have no lease and no retry. A request contains its deadline, and a caller that stops
//! waiting withdraws it. So no worker runs an abandoned request. A waiting caller polls the key of
//! the response and the number of connected workers.

use std::time::Duration;

use redis::cmd;
use serde::{Deserialize, Serialize};

use crate::domain::issue::Authority;
use crate::domain::preview::{Preview, PreviewAnswer, PreviewRequest};
use crate::domain::trace_parent::TraceParent;
use crate::ids::{BlueprintId, IssueId, SettingId};
use crate::store::codec::{FORMAT, StoredVerdict, check_format, damaged, from_json, to_json};
use crate::store::previews::stored_trial::StoredTrial;
use crate::store::queue::submit::{is_bundled, read_setting_id};
use crate::store::redis::error::StoreError;
use crate::store::redis::keys::CANCEL_CHANNEL;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::whole_ms::whole_ms;

/// The lifetime of a response. A waiting caller polls several times a second.
const KEPT: Duration = Duration::from_secs(60);

/// The maximum number of waiting requests in a list. Workers run few previews at once, so a longer
/// list would mostly expire.
pub const MAX_WAITING_PREVIEWS: usize = 100;

/// The outcome of a request for a preview.
#[derive(Debug)]
pub enum PreviewRequestOutcome {
    /// The request waits for a worker.
    Waits(PreviewTicket),
    /// [`MAX_WAITING_PREVIEWS`] requests are already waiting.
    TooMany,
    /// The target is an orbit, and the caller is not an admin.
    OrbitNeedsAdmin {
        /// The setting that names it as its orbit; `None` for a bundled orbit that no setting
        /// names.
        setting_id: Option<SettingId>,
    },
    /// Redis uses too much of its memory to accept more requests.
    MemoryFull {
        /// Used memory in bytes.
        used: u64,
        /// Available memory in bytes.
        max: u64,
    },
}

/// A request as stored in the list, used to withdraw it.
#[derive(Debug, Clone)]
pub struct PreviewTicket {
    id: IssueId,
    text: String,
}

/// The status of a preview for its waiting caller.
#[derive(Debug)]
pub struct PreviewStatus {
    /// The response, if present.
    pub answer: Option<PreviewAnswer>,
    /// The number of workers connected to Redis at this moment.
    pub n_workers: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRequest {
    v: u32,
    id: String,
    blueprint_id: String,
    intent: String,
    expires_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    /// An orbit to try. The target and the intent are then unused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<StoredTrial>,
}

/// The content of a request.
pub(crate) struct Wanted {
    pub(crate) blueprint_id: BlueprintId,
    pub(crate) intent: String,
    /// The authority of the request.
    pub(crate) authority: Authority,
    pub(crate) trace: Option<String>,
    pub(crate) trial: Option<StoredTrial>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAnswer {
    v: u32,
    outcome: StoredOutcome,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredOutcome {
    Decided {
        would_apply: bool,
        json_patch: String,
        unified_diff: String,
        rationale: String,
        verdicts: Vec<StoredVerdict>,
        reasons: Vec<String>,
        /// Absent if it is false.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        needs_review: bool,
    },
    Failed {
        reason: String,
    },
    Fault {
        problem: String,
        retry_after: Option<u64>,
    },
    UnknownTarget,
    Archived,
    TooLarge {
        bytes: usize,
    },
}

impl Shard {
    /// Requests a preview with a response within `time_limit`, under this authority. Do not repeat
    /// it with the same id: it could run twice. The worker continues `trace`.
    ///
    /// # Errors
    /// [`StoreError`]. The preview may run nevertheless.
    pub async fn request_preview(
        &self,
        id: &IssueId,
        blueprint_id: &BlueprintId,
        intent: String,
        time_limit: Duration,
        authority: Authority,
        trace: Option<&TraceParent>,
    ) -> Result<PreviewRequestOutcome, StoreError> {
        let wanted = Wanted {
            blueprint_id: blueprint_id.clone(),
            intent,
            authority,
            trace: trace.map(|trace| trace.as_str().to_owned()),
            trial: None,
        };
        self.request(id, wanted, time_limit).await
    }

    /// Appends a request to the list.
    pub(crate) async fn request(
        &self,
        id: &IssueId,
        wanted: Wanted,
        time_limit: Duration,
    ) -> Result<PreviewRequestOutcome, StoreError> {
        if let Some((used, max)) = self.memory_pressure().await? {
            return Ok(PreviewRequestOutcome::MemoryFull { used, max });
        }
        let time_limit = whole_ms(time_limit);
        let target = wanted.blueprint_id;
        let text = to_json(&StoredRequest {
            v: FORMAT,
            id: id.to_string(),
            blueprint_id: target.to_string(),
            intent: wanted.intent,
            expires_at: self.server_ms().await?.saturating_add(time_limit),
            trace: wanted.trace,
            trial: wanted.trial,
        });
        let keys = [self.keys.previews(), self.keys.orbits()];
        let mut reply = self
            .handle
            .script(&script::REQUEST_PREVIEW, &keys, |call| {
                call.arg(&text).arg(MAX_WAITING_PREVIEWS);
                call.arg(target.as_str()).arg(wanted.authority.as_str());
                call.arg(u8::from(is_bundled(&target)));
            })
            .await?;
        match reply.outcome() {
            "ok" => Ok(PreviewRequestOutcome::Waits(PreviewTicket {
                id: id.clone(),
                text,
            })),
            "full" => Ok(PreviewRequestOutcome::TooMany),
            "orbit_needs_admin" => Ok(PreviewRequestOutcome::OrbitNeedsAdmin {
                setting_id: read_setting_id(&mut reply)?,
            }),
            _ => Err(reply.unknown()),
        }
    }

    /// Withdraws a request. If a worker has taken it, the worker is told to stop it. A worker that
    /// is about to start it misses that, and stops it at its time limit.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable. The request then expires.
    pub async fn withdraw_preview(&self, ticket: &PreviewTicket) -> Result<(), StoreError> {
        let mut remove = cmd("LREM");
        remove.arg(self.keys.previews()).arg(1).arg(&ticket.text);
        let n_removed: u64 = self.handle.command("withdraw preview", &remove).await?;
        if n_removed == 0 {
            let mut stop = cmd("PUBLISH");
            stop.arg(CANCEL_CHANNEL).arg(ticket.id.as_str());
            let _: u64 = self.handle.command("stop preview", &stop).await?;
        }
        Ok(())
    }

    /// Returns the response, if present, and the number of workers that could write one. Every
    /// worker subscribes to cancellations, so Redis knows the connected workers.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the response is not readable.
    pub async fn look_for_preview(&self, id: &IssueId) -> Result<PreviewStatus, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(self.keys.preview(id));
        pipeline.cmd("PUBSUB").arg("NUMSUB").arg(CANCEL_CHANNEL);
        let (answer, listeners): (Option<String>, Vec<(String, u64)>) =
            self.handle.pipeline("look for preview", &pipeline).await?;
        let answer = answer.map(|text| read_answer(id, &text)).transpose()?;
        Ok(PreviewStatus {
            answer,
            n_workers: listeners.iter().map(|(_, n)| n).sum(),
        })
    }

    /// Reads a request that a worker took from the list; `None` if its deadline has passed.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the element is not a valid request.
    pub async fn open_preview(&self, text: &str) -> Result<Option<PreviewRequest>, StoreError> {
        const WHAT: &str = "preview request";
        let stored: StoredRequest = from_json(WHAT, "?", text)?;
        check_format(WHAT, &stored.id, stored.v)?;
        let now = self.server_ms().await?;
        let time_limit = stored.expires_at.saturating_sub(now);
        if time_limit == 0 {
            return Ok(None);
        }
        let id = IssueId::parse(&stored.id).map_err(|e| damaged(WHAT, &stored.id, e))?;
        let target = BlueprintId::parse(&stored.blueprint_id);
        let trial = stored.trial.map(|trial| trial.read(&stored.id));
        Ok(Some(PreviewRequest {
            blueprint_id: target.map_err(|e| damaged(WHAT, &stored.id, e))?,
            id,
            intent: stored.intent,
            taken_at_ms: now,
            time_limit: Duration::from_millis(time_limit),
            trace: stored.trace.as_deref().and_then(TraceParent::parse),
            trial: trial.transpose()?.map(Box::new),
        }))
    }

    /// Stores the response to a request under the key that its caller polls.
    ///
    /// # Errors
    /// [`StoreError`]. The response may be stored nevertheless. Repeat the call.
    pub async fn answer_preview(
        &self,
        id: &IssueId,
        answer: &PreviewAnswer,
    ) -> Result<(), StoreError> {
        let mut set = cmd("SET");
        set.arg(self.keys.preview(id)).arg(write_answer(answer));
        set.arg("PX").arg(whole_ms(KEPT));
        let _: String = self.handle.command("answer preview", &set).await?;
        Ok(())
    }
}

fn write_answer(answer: &PreviewAnswer) -> String {
    let outcome = match answer.clone() {
        PreviewAnswer::Decided(preview) => StoredOutcome::Decided {
            would_apply: preview.would_apply,
            json_patch: preview.json_patch,
            unified_diff: preview.unified_diff,
            rationale: preview.rationale,
            verdicts: preview.verdicts.into_iter().map(Into::into).collect(),
            reasons: preview.reasons,
            needs_review: preview.needs_review,
        },
        PreviewAnswer::Failed { reason } => StoredOutcome::Failed { reason },
        PreviewAnswer::Fault {
            problem,
            retry_after_ms,
        } => StoredOutcome::Fault {
            problem,
            retry_after: retry_after_ms,
        },
        PreviewAnswer::UnknownTarget => StoredOutcome::UnknownTarget,
        PreviewAnswer::Archived => StoredOutcome::Archived,
        PreviewAnswer::TooLarge { bytes } => StoredOutcome::TooLarge { bytes },
    };
    to_json(&StoredAnswer { v: FORMAT, outcome })
}

fn read_answer(id: &IssueId, text: &str) -> Result<PreviewAnswer, StoreError> {
    const WHAT: &str = "preview";
    let stored: StoredAnswer = from_json(WHAT, id.as_str(), text)?;
    check_format(WHAT, id.as_str(), stored.v)?;
    Ok(match stored.outcome {
        StoredOutcome::Decided {
            would_apply,
            json_patch,
            unified_diff,
            rationale,
            verdicts,
            reasons,
            needs_review,
        } => PreviewAnswer::Decided(Preview {
            would_apply,
            json_patch,
            unified_diff,
            rationale,
            verdicts: verdicts.into_iter().map(Into::into).collect(),
            reasons,
            needs_review,
        }),
        StoredOutcome::Failed { reason } => PreviewAnswer::Failed { reason },
        StoredOutcome::Fault {
            problem,
            retry_after,
        } => PreviewAnswer::Fault {
            problem,
            retry_after_ms: retry_after,
        },
        StoredOutcome::UnknownTarget => PreviewAnswer::UnknownTarget,
        StoredOutcome::Archived => PreviewAnswer::Archived,
        StoredOutcome::TooLarge { bytes } => PreviewAnswer::TooLarge { bytes },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::enhance_log::{Verdict, VerdictStatus};

    #[test]
    fn every_answer_comes_back_as_it_was_written() {
        let id = IssueId::parse("p-1").unwrap();
        let verdict = Verdict {
            axis: "noop".to_owned(),
            status: VerdictStatus::Review,
            detail: "größer \"☃\"\n".to_owned(),
        };
        for answer in [
            PreviewAnswer::Decided(Preview {
                would_apply: false,
                json_patch: "[]".to_owned(),
                unified_diff: "-a\n+b\n".to_owned(),
                rationale: "because".to_owned(),
                verdicts: vec![verdict],
                reasons: vec!["noop: nothing changed".to_owned()],
                needs_review: true,
            }),
            PreviewAnswer::Failed {
                reason: "dispatch failed: x".to_owned(),
            },
            PreviewAnswer::Fault {
                problem: "429".to_owned(),
                retry_after_ms: Some(7),
            },
            PreviewAnswer::UnknownTarget,
            PreviewAnswer::Archived,
            PreviewAnswer::TooLarge { bytes: 9 },
        ] {
            assert_eq!(read_answer(&id, &write_answer(&answer)).unwrap(), answer);
        }
    }

    #[test]
    fn what_a_later_release_wrote_is_not_guessed_at() {
        let id = IssueId::parse("p-1").unwrap();
        assert!(read_answer(&id, r#"{"v":2,"outcome":"archived"}"#).is_err());
        assert!(read_answer(&id, r#"{"v":1,"outcome":"postponed"}"#).is_err());
    }
}
