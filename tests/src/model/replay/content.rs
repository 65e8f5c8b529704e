//! The content of Redis as text, of the model and of the real one.

use crate::model::replay::stage::{
    Stage, blueprint_name, issue_name, nonce_text, token_text, worker_name,
};
use crate::model::state::{IssueNo, IssueState, Lease, Place, State};

/// Returns the same text for the real content.
pub(super) const SCRIPT: &str = include_str!("content.lua");

/// The content of the model's Redis.
pub(super) fn of_model(state: &State) -> String {
    let redis = &state.redis;
    let mut lines = Vec::new();
    for (i, issue) in redis.issues.iter().enumerate() {
        let id = issue_name(i as IssueNo);
        if issue.state == IssueState::Unknown {
            lines.push(format!("{id} unknown"));
            continue;
        }
        let lease = match redis.leases[i] {
            Lease::None => "none",
            Lease::Runs => "valid",
            Lease::RanOut => "expired",
        };
        let mut entries = redis.log.iter().filter(|(of, _)| usize::from(*of) == i);
        let entry = entries.next_back().map(|(_, how)| how);
        lines.push(format!(
            "{id} {} attempt {} retries {} deaths {} alone {} token {} nonce {} worker {} \
             lease {lease} delayed {} round {} proposal {} review {} due {} log {}",
            state_name(issue.state),
            issue.attempt,
            issue.retries,
            issue.deaths,
            u8::from(issue.alone),
            or_dash(issue.token.map(token_text)),
            or_dash(issue.nonce.map(nonce_text)),
            or_dash(issue.worker.map(worker_name)),
            u8::from(redis.delayed[i]),
            issue.round,
            or_dash(redis.proposals[i].map(|base| base.to_string())),
            u8::from(issue.state == IssueState::InReview),
            u8::from(redis.due[i]),
            or_dash(entry.map(|how| format!("{}@{}", log_name(*how), issue.attempt))),
        ));
    }
    for (b, queue) in redis.queues.iter().enumerate() {
        let commits = queue.commits.iter().map(|commit| {
            let by = or_dash(commit.by.map(issue_name));
            format!("{}<{} by {by}", commit.seq, commit.parent)
        });
        lines.push(format!(
            "{} {} backlog {} paused {} head {} commits [{}]",
            blueprint_name(b as u8),
            place_name(queue.place).unwrap_or("none"),
            ids(queue.backlog.iter()),
            u8::from(queue.paused),
            queue.head,
            commits.collect::<Vec<_>>().join(" "),
        ));
    }
    let processing = redis.processing.iter();
    let processing = processing.map(|list| format!(" processing {}", ids(list.iter())));
    lines.push(format!(
        "pending {}{} decided {} fence {}",
        ids(redis.pending.iter()),
        processing.collect::<String>(),
        ids(redis.log.iter().map(|(issue, _)| issue)),
        redis.fence,
    ));
    lines.join("\n")
}

/// The content of the real Redis.
///
/// # Panics
/// If Redis does not answer.
pub(super) async fn of_redis(stage: &Stage<'_>) -> String {
    let answer = stage
        .fixture
        .store
        .handle()
        .command("content", &stage.read_content);
    answer.await.expect("Redis returns its content")
}

/// Issues in the order of a list.
pub(super) fn ids<'a>(issues: impl Iterator<Item = &'a IssueNo>) -> String {
    let names: Vec<String> = issues.map(|issue| issue_name(*issue)).collect();
    format!("[{}]", names.join(" "))
}

/// The stored name of a place; `None` for an empty queue, which has no place.
pub(super) fn place_name(place: Place) -> Option<&'static str> {
    match place {
        Place::None => None,
        Place::Ready => Some("ready"),
        Place::Leased => Some("leased"),
        Place::Delayed => Some("delayed"),
        Place::Parked => Some("parked"),
    }
}

fn state_name(state: IssueState) -> &'static str {
    match state {
        IssueState::Unknown => "unknown",
        IssueState::Pending => "pending",
        IssueState::InFlight => "in_flight",
        IssueState::InReview => "in_review",
        IssueState::Applied => "applied",
        IssueState::Denied => "denied",
        IssueState::Cancelled => "cancelled",
        IssueState::Declined => "declined",
        IssueState::Dead => "dead",
        IssueState::Refused => "refused",
    }
}

/// The cause in the log entry.
fn log_name(how: IssueState) -> &'static str {
    match how {
        IssueState::Dead | IssueState::Refused => "failed",
        _ => state_name(how),
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
