//! Converts the result of a flow into a settlement: reason, log entry, decision.

use shared::domain::commit::{Epoch, MAX_RATIONALE_BYTES};
use shared::domain::enhance_log::{LogEntry, SpawnerUsage};
use shared::domain::issue::RejectionCause;
use shared::error::chain;
use shared::ids::SettingId;
use shared::store::{Claimed, Decision as Settled, Head, Settlement};

use crate::flow::{Decision, FlowFailure, FlowReport, prefix};
use crate::issue::attempt::Fault;
use crate::metrics::{self, Metrics};

/// A decision that can be settled.
pub(crate) struct Outcome {
    decision: Kept,
    reason: String,
    log: LogEntry,
}

enum Kept {
    Commit {
        blueprint: Box<shared::blueprint::Blueprint>,
        bump: String,
        patch_hash: String,
        epoch: Epoch,
    },
    Denied,
    Failed {
        dead: bool,
        /// The kind of the failure, for the log.
        kind: &'static str,
    },
}

/// Returns the reason of an issue whose flow failed.
pub(crate) fn failed_reason(problem: &str) -> String {
    format!("dispatch failed: {problem}")
}

/// Returns the log entry with the fields that all outcomes of an attempt share.
fn entry(claimed: &Claimed, prev_hash: String) -> LogEntry {
    LogEntry {
        issue_id: claimed.lease.issue.issue_id.clone(),
        blueprint_id: claimed.lease.issue.blueprint_id.clone(),
        prev_hash,
        new_hash: String::new(),
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
    }
}

impl Outcome {
    /// Returns the outcome of a completed flow.
    pub(crate) fn of_report(
        claimed: &Claimed,
        head: &Head,
        epoch: Epoch,
        report: FlowReport,
    ) -> Outcome {
        let mut log = entry(claimed, head.version.to_string());
        log.patch_json = report.patch_json;
        log.usage = report.usage;
        match report.decision {
            Decision::Commit {
                blueprint,
                bump,
                rationale,
                verdicts,
                patch_hash,
            } => {
                log.new_hash = blueprint.version().to_string();
                log.rationale = rationale;
                log.verdicts = verdicts;
                let blueprint = Box::new(blueprint);
                Outcome {
                    decision: Kept::Commit {
                        blueprint,
                        bump,
                        patch_hash,
                        epoch,
                    },
                    reason: String::new(),
                    log,
                }
            }
            Decision::Deny {
                reasons,
                verdicts,
                rationale,
            } => {
                let reason = format!("verifier deny: {}", reasons.join("; "));
                log.rationale = rationale;
                log.verdicts = verdicts;
                log.unusable_reply = report.unusable_reply;
                log.cause = Some(RejectionCause::Denied);
                log.reasons = reasons;
                Outcome {
                    decision: Kept::Denied,
                    reason,
                    log,
                }
            }
        }
    }

    /// Adds a warning to the rationale that `setting` has no verification. The log entry and the
    /// commit contain the rationale.
    pub(crate) fn warn_of_no_verification(&mut self, setting: &SettingId) {
        let warning = format!(
            "warning: the setting {setting} has no verification, so no axis has judged this"
        );
        let separator = if self.log.rationale.is_empty() {
            ""
        } else {
            "\n\n"
        };
        let room = MAX_RATIONALE_BYTES - separator.len() - warning.len();
        let rationale = prefix(&self.log.rationale, room);
        self.log.rationale = format!("{rationale}{separator}{warning}");
    }

    /// Returns the outcome of a flow that failed permanently.
    pub(crate) fn of_failure(claimed: &Claimed, head: &Head, failure: FlowFailure) -> Outcome {
        let mut log = entry(claimed, head.version.to_string());
        log.patch_json = failure.patch_json;
        log.usage = failure.usage;
        log.unusable_reply = failure.unusable_reply;
        log.rationale = failure.rationale;
        let reason = failed_reason(&chain(&failure.error));
        Outcome::failed(log, reason, false, failure.error.kind())
    }

    /// Returns the outcome of an issue whose flow could not start, or did not complete.
    pub(crate) fn of_error(claimed: &Claimed, head: Option<&Head>, problem: &str) -> Outcome {
        let prev_hash = head.map(|h| h.version.to_string()).unwrap_or_default();
        Outcome::failed(
            entry(claimed, prev_hash),
            failed_reason(problem),
            false,
            "not_started",
        )
    }

    /// Returns the outcome of a temporary fault after the last retry.
    pub(crate) fn of_exhausted(claimed: &Claimed, head: &Head, fault: Fault) -> Outcome {
        let mut log = entry(claimed, head.version.to_string());
        log.usage = fault.usage;
        log.unusable_reply = fault.unusable_reply;
        let reason = format!(
            "dispatch failed after {} attempts: {}",
            claimed.attempt, fault.problem
        );
        Outcome::failed(log, reason, true, "retries_exhausted")
    }

    fn failed(mut log: LogEntry, reason: String, dead: bool, kind: &'static str) -> Outcome {
        log.cause = Some(RejectionCause::Failed);
        log.reasons = vec![reason.clone()];
        Outcome {
            decision: Kept::Failed { dead, kind },
            reason,
            log,
        }
    }

    /// Returns the settlement for the store, for a head with this number.
    pub(crate) fn settlement(&self, head_seq: u64) -> Settlement<'_> {
        let decision = match &self.decision {
            Kept::Commit {
                blueprint,
                patch_hash,
                epoch,
                ..
            } => Settled::Applied {
                blueprint,
                expected_seq: head_seq,
                patch_hash,
                epoch,
            },
            Kept::Denied => Settled::Denied {
                expected_seq: head_seq,
            },
            Kept::Failed { dead, .. } => Settled::Failed { dead: *dead },
        };
        Settlement {
            decision,
            reason: &self.reason,
            log: &self.log,
        }
    }

    /// Returns the new document, if the outcome is a commit.
    pub(crate) fn blueprint(&self) -> Option<&shared::blueprint::Blueprint> {
        match &self.decision {
            Kept::Commit { blueprint, .. } => Some(blueprint),
            _ => None,
        }
    }

    /// Returns the new document by value, if the outcome is a commit.
    pub(crate) fn into_blueprint(self) -> Option<shared::blueprint::Blueprint> {
        match self.decision {
            Kept::Commit { blueprint, .. } => Some(*blueprint),
            _ => None,
        }
    }

    /// Counts the outcome.
    pub(crate) fn count(&self, metrics: &Metrics) {
        if matches!(self.decision, Kept::Denied) {
            metrics::denied(&self.log.verdicts);
        }
        Metrics::count(match &self.decision {
            Kept::Commit { .. } => &metrics.applied,
            Kept::Denied => &metrics.denied,
            Kept::Failed { .. } => &metrics.failed,
        });
    }

    /// Logs the outcome without its reason, because the reason may quote the intent or the
    /// document. The issue and the log entry contain the reason.
    pub(crate) fn log_settled(&self) {
        let (issue_id, blueprint_id) = (&self.log.issue_id, &self.log.blueprint_id);
        match &self.decision {
            Kept::Commit { bump, .. } => {
                tracing::info!(%issue_id, %blueprint_id, version = self.log.new_hash, bump, "applied");
            }
            Kept::Denied => {
                let denying = self.log.verdicts.iter().filter(|verdict| !verdict.pass);
                let axes: Vec<&str> = denying.map(|verdict| verdict.axis.as_str()).collect();
                tracing::info!(%issue_id, %blueprint_id, ?axes, "denied");
            }
            Kept::Failed { dead, kind } => {
                tracing::warn!(%issue_id, %blueprint_id, kind, dead, "failed; the issue's reason says why");
            }
        }
    }
}
