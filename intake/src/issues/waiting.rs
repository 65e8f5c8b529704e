//! What a pending issue waits for, as it is sent to clients.

use proto::v1;
use shared::domain::issue::{Issue, IssueState};
use shared::domain::waiting::{Pause, Waiting, WaitingReason};
use shared::store::{PendingIssue, Store, StoreError};

use crate::convert::{text, timestamp};
use crate::issues::convert;

/// Reads what an issue waits for; `None` if it is not pending.
///
/// # Errors
/// [`StoreError`] if Redis is unavailable.
pub(super) async fn read(store: &Store, issue: &Issue) -> Result<Option<Waiting>, StoreError> {
    if issue.state != IssueState::Pending {
        return Ok(None);
    }
    let read = store.waiting(&[PendingIssue::of(issue)]).await?;
    Ok(read.into_iter().find_map(|(_, waiting)| waiting))
}

/// Converts an issue with what it waits for.
pub(super) fn issue_to_wire(issue: Issue, waiting: Option<&Waiting>) -> v1::Issue {
    let waiting_for = waiting.map(|waiting| to_wire(waiting, issue.blueprint_id.as_str()));
    v1::Issue {
        waiting_for,
        ..convert::issue_to_wire(issue)
    }
}

/// Converts what an issue waits for.
pub(super) fn to_wire(waiting: &Waiting, blueprint_id: &str) -> v1::WaitingFor {
    let mut wire = v1::WaitingFor {
        message: sentence(waiting, blueprint_id),
        issues_ahead: waiting.issues_ahead,
        blueprints_ahead: waiting.queues_ahead,
        ..Default::default()
    };
    let mut paused = |pause: &Pause| {
        wire.paused_by = text(pause.by.as_ref());
        wire.paused_at = Some(timestamp(pause.since_ms));
    };
    let reason = match &waiting.reason {
        WaitingReason::Worker => v1::WaitingReason::Worker,
        WaitingReason::NoWorker => v1::WaitingReason::NoWorker,
        WaitingReason::QueuePaused(pause) => {
            paused(pause);
            v1::WaitingReason::QueuePaused
        }
        WaitingReason::BlueprintPaused(pause) => {
            paused(pause);
            v1::WaitingReason::BlueprintPaused
        }
        WaitingReason::OlderIssues { next_attempt_at_ms } => {
            wire.next_attempt_at = next_attempt_at_ms.map(timestamp);
            v1::WaitingReason::OlderIssues
        }
        WaitingReason::NextAttempt { at_ms } => {
            wire.next_attempt_at = Some(timestamp(*at_ms));
            v1::WaitingReason::NextAttempt
        }
    };
    wire.reason = reason.into();
    wire
}

/// Returns the message for a Redis that does not answer.
pub(super) fn store_unavailable() -> v1::WaitingFor {
    v1::WaitingFor {
        reason: v1::WaitingReason::StoreUnavailable.into(),
        message: "Redis does not answer intake; the issue is kept there and continues when Redis \
                  answers again"
            .to_owned(),
        ..Default::default()
    }
}

fn sentence(waiting: &Waiting, blueprint_id: &str) -> String {
    match &waiting.reason {
        WaitingReason::Worker => match waiting.queues_ahead {
            0 => "for a free worker".to_owned(),
            1 => "for a free worker, behind the issue of 1 other Blueprint".to_owned(),
            n => format!("for a free worker, behind the issues of {n} other Blueprints"),
        },
        WaitingReason::NoWorker => {
            "no worker is running; start one on the same Redis, or look at the log of one that should run".to_owned()
        }
        WaitingReason::QueuePaused(pause) => format!(
            "the whole queue is paused{}; ResumeQueue ends the pause",
            by(pause)
        ),
        WaitingReason::BlueprintPaused(pause) => format!(
            "{blueprint_id} is paused{}; ResumeQueue ends the pause",
            by(pause)
        ),
        WaitingReason::OlderIssues { next_attempt_at_ms } => {
            let ahead = match waiting.issues_ahead {
                1 => "1 older issue".to_owned(),
                n => format!("{n} older issues"),
            };
            let delayed = match next_attempt_at_ms {
                Some(_) => ", of which the first waits for its next attempt",
                None => "",
            };
            format!("for {ahead} of {blueprint_id}{delayed}")
        }
        WaitingReason::NextAttempt { .. } => {
            "for its next attempt after a temporary fault".to_owned()
        }
    }
}

fn by(pause: &Pause) -> String {
    match &pause.by {
        Some(by) => format!(" by {by}"),
        None => String::new(),
    }
}
