//! Converts the outcome of a run into a settlement.

use shared::domain::commit::{Epoch, MAX_RATIONALE_BYTES};
use shared::domain::enhance_log::{LogEntry, SpawnerUsage};
use shared::domain::issue::RejectionCause;
use shared::domain::proposal::StoredPatch;
use shared::domain::setting::EnhanceSetting;
use shared::error::chain;
use shared::prefix::prefix;
use shared::store::{Claimed, Head, NewProposal, Settlement};

use crate::flow::{Decision, FlowError, RunOutcome};

/// Returns the reason of an issue whose flow failed.
pub(crate) fn failed_reason(problem: &str) -> String {
    format!("dispatch failed: {problem}")
}

/// Returns the log entry with the fields that all outcomes of an attempt share.
fn entry(claimed: &Claimed, head: Option<&Head>) -> LogEntry {
    LogEntry {
        issue_id: claimed.lease.issue.issue_id.clone(),
        blueprint_id: claimed.lease.issue.blueprint_id.clone(),
        prev_hash: head.map(|head| head.version.clone()),
        new_hash: None,
        intent: claimed.intent.clone(),
        rationale: String::new(),
        verdicts: Vec::new(),
        cause: None,
        reasons: Vec::new(),
        attempt: claimed.attempt,
        patch_json: String::new(),
        ts_ms: 0,
        usage: SpawnerUsage::default(),
        unusable_reply: String::new(),
        submitted_by: claimed.submitted_by.clone(),
        decided_by: None,
        comment: String::new(),
    }
}

/// Returns the settlement of a run that decided, or failed permanently.
pub(crate) fn of_run(
    claimed: &Claimed,
    head: &Head,
    outcome: RunOutcome,
    setting: &EnhanceSetting,
) -> Settlement {
    let rationale = |rationale: String| {
        if setting.no_verification {
            with_warning(&rationale, setting)
        } else {
            rationale
        }
    };
    let mut log = entry(claimed, Some(head));
    log.patch_json = outcome.patch_json;
    log.usage = outcome.usage;
    match outcome.decision {
        Ok(Decision::Commit {
            blueprint,
            rationale: text,
            verdicts,
            patch_hash,
            review,
            ..
        }) => {
            log.new_hash = Some(blueprint.version().clone());
            log.rationale = rationale(text);
            log.verdicts = verdicts;
            let epoch = Epoch {
                blueprint_id: claimed.lease.issue.blueprint_id.clone(),
                start_version: head.version.clone(),
                started_at_ms: claimed.claimed_at_ms,
            };
            let reasons = review_reasons(claimed, review);
            if reasons.is_empty() {
                return Settlement::Applied {
                    blueprint,
                    expected_seq: head.seq,
                    settings_counter: claimed.settings_counter,
                    patch_hash,
                    epoch,
                    log,
                };
            }
            Settlement::Review(Box::new(NewProposal {
                blueprint,
                expected_seq: head.seq,
                patch_hash,
                epoch,
                reasons,
                patch: StoredPatch {
                    reply_json: outcome.reply_json,
                    usage: log.usage.clone(),
                },
                policy: setting.review,
                settings_counter: claimed.settings_counter,
                log,
            }))
        }
        Ok(Decision::Deny {
            reasons,
            verdicts,
            rationale: text,
        }) => {
            let reason = format!("verifier deny: {}", reasons.join("; "));
            log.rationale = rationale(text);
            log.verdicts = verdicts;
            log.unusable_reply = outcome.unusable_reply;
            log.cause = Some(RejectionCause::Denied);
            log.reasons = reasons;
            Settlement::Denied {
                expected_seq: head.seq,
                reason,
                log,
            }
        }
        Err(error) => {
            log.unusable_reply = outcome.unusable_reply;
            log.rationale = rationale(outcome.rationale);
            failed(log, failed_reason(&chain(&error)), false, error.kind())
        }
    }
}

/// Returns why a person has to decide; empty to commit at once.
///
/// A person was asked about an issue that was proposed before. So it returns to review, even if the
/// setting no longer asks for one.
fn review_reasons(claimed: &Claimed, review: Vec<String>) -> Vec<String> {
    if review.is_empty() && claimed.stored_patch.is_some() {
        let reason = "review: an earlier proposal of this issue is outdated, and a person decides";
        return vec![reason.to_owned()];
    }
    review
}

/// Returns the rationale with a warning that `setting` has no verification. The log entry and the
/// commit contain it.
fn with_warning(rationale: &str, setting: &EnhanceSetting) -> String {
    let id = &setting.id;
    let warning =
        format!("warning: the setting {id} has no verification, so no axis has judged this");
    let separator = if rationale.is_empty() { "" } else { "\n\n" };
    let room = MAX_RATIONALE_BYTES - separator.len() - warning.len();
    let rationale = prefix(rationale, room);
    format!("{rationale}{separator}{warning}")
}

/// Returns the settlement of an issue whose flow could not start, or whose head moved too often.
pub(crate) fn of_error(claimed: &Claimed, head: Option<&Head>, problem: &str) -> Settlement {
    let log = entry(claimed, head);
    failed(log, failed_reason(problem), false, "not_started")
}

/// Returns the settlement of a run that ended with this temporary fault after the last retry.
pub(crate) fn of_exhausted(
    claimed: &Claimed,
    head: &Head,
    fault: &FlowError,
    outcome: &RunOutcome,
) -> Settlement {
    let mut log = entry(claimed, Some(head));
    log.usage = outcome.usage.clone();
    log.unusable_reply.clone_from(&outcome.unusable_reply);
    let n = claimed.attempt;
    let reason = format!("dispatch failed after {n} attempts: {}", chain(fault));
    failed(log, reason, true, "retries_exhausted")
}

fn failed(mut log: LogEntry, reason: String, dead: bool, kind: &'static str) -> Settlement {
    log.cause = Some(RejectionCause::Failed);
    log.reasons = vec![reason.clone()];
    Settlement::Failed {
        dead,
        kind,
        reason,
        log,
    }
}
