//! Says what a pending issue waits for, in the words of this program.

use std::time::SystemTime;

use proto::v1::{WaitingFor, WaitingReason};
use serde_json::{Value, json};

use crate::output::{self, time_json};

/// Describes what an issue of this Blueprint waits for; `None` if it does not wait.
pub(super) fn describe(
    waiting: &WaitingFor,
    blueprint_id: &str,
    now: SystemTime,
) -> Option<String> {
    let pause = || {
        let by = match waiting.paused_by.as_str() {
            "" => String::new(),
            by => format!(" by {}", output::one_line(by, 40)),
        };
        let since = match &waiting.paused_at {
            Some(since) => format!(" {}", output::relative(Some(since))),
            None => String::new(),
        };
        format!("{by}{since}")
    };
    let next_attempt = || {
        let at = waiting.next_attempt_at.as_ref()?;
        let at = SystemTime::try_from(*at).ok()?;
        let seconds = at.duration_since(now).unwrap_or_default().as_secs_f64();
        Some(format!("the next attempt is in {:.0} s", seconds.ceil()))
    };
    Some(match waiting.reason() {
        WaitingReason::Unspecified if waiting.message.is_empty() => return None,
        // A reason of a newer intake.
        WaitingReason::Unspecified => output::one_line(&waiting.message, 20),
        WaitingReason::Worker => match waiting.blueprints_ahead {
            0 => "waits for a free worker".to_owned(),
            n => format!(
                "waits for a free worker, behind {} with issues",
                output::count(n, "other Blueprint")
            ),
        },
        WaitingReason::NoWorker => {
            "no worker is running; start one, or ask `draftsman doctor`".to_owned()
        }
        WaitingReason::QueuePaused => format!(
            "the whole queue is paused{}; `draftsman resume` resumes it",
            pause()
        ),
        WaitingReason::BlueprintPaused => format!(
            "{blueprint_id} is paused{}; `draftsman resume {blueprint_id}` resumes it",
            pause()
        ),
        WaitingReason::OlderIssues => {
            let ahead = match waiting.issues_ahead {
                n @ 1_000.. => format!("at least {n} older issues"),
                n => output::count(n, "older issue"),
            };
            let delayed = next_attempt().map_or_else(String::new, |next| {
                format!("; the first of them met a temporary fault, and {next}")
            });
            format!("waits for {ahead} of {blueprint_id}{delayed}")
        }
        WaitingReason::NextAttempt => {
            let next = next_attempt().unwrap_or_else(|| "it is tried again".to_owned());
            format!("waits after a temporary fault; {next}")
        }
        WaitingReason::StoreUnavailable => {
            "Redis does not answer intake; the issue is kept and continues afterwards".to_owned()
        }
    })
}

/// Returns the facts as JSON.
pub(crate) fn json(waiting: &WaitingFor) -> Value {
    json!({
        "reason": waiting.reason().as_str_name().trim_start_matches("WAITING_REASON_").to_lowercase(),
        "message": waiting.message,
        "paused_by": waiting.paused_by,
        "paused_at": time_json(waiting.paused_at.as_ref()),
        "issues_ahead": waiting.issues_ahead,
        "blueprints_ahead": waiting.blueprints_ahead,
        "next_attempt_at": time_json(waiting.next_attempt_at.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_reason_says_what_to_do_or_how_long_it_takes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let at = |secs| Some((SystemTime::UNIX_EPOCH + Duration::from_secs(secs)).into());
        let waiting = |reason: WaitingReason, issues_ahead, next_attempt_at| WaitingFor {
            reason: reason.into(),
            paused_by: "alice".to_owned(),
            issues_ahead,
            next_attempt_at,
            ..Default::default()
        };
        for (waiting, parts) in [
            (
                waiting(WaitingReason::QueuePaused, 0, None),
                vec!["paused by alice", "`draftsman resume`"],
            ),
            (
                waiting(WaitingReason::BlueprintPaused, 3, None),
                vec!["b is paused by", "`draftsman resume b`"],
            ),
            (
                waiting(WaitingReason::NoWorker, 0, None),
                vec!["no worker", "`draftsman doctor`"],
            ),
            (
                waiting(WaitingReason::OlderIssues, 40, None),
                vec!["40 older issues of b"],
            ),
            (
                waiting(WaitingReason::OlderIssues, 1, at(1_009)),
                vec!["1 older issue of b", "in 9 s"],
            ),
            (
                waiting(WaitingReason::NextAttempt, 0, at(1_003)),
                vec!["temporary fault", "in 3 s"],
            ),
            (
                waiting(WaitingReason::NextAttempt, 0, at(900)),
                vec!["in 0 s"],
            ),
            (
                waiting(WaitingReason::StoreUnavailable, 0, None),
                vec!["Redis"],
            ),
            (waiting(WaitingReason::Worker, 0, None), vec!["free worker"]),
        ] {
            let text = describe(&waiting, "b", now).unwrap();
            for part in parts {
                assert!(text.contains(part), "{text} lacks {part}");
            }
        }
        assert_eq!(describe(&WaitingFor::default(), "b", now), None);
        let newer = WaitingFor {
            reason: 99,
            message: "for a review".to_owned(),
            ..Default::default()
        };
        assert_eq!(describe(&newer, "b", now).as_deref(), Some("for a review"));
    }
}
