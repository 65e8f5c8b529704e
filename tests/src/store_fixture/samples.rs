//! The values that the tests of the scripts use: ids, issues, Blueprints, decisions, log entries.

use std::sync::Arc;

use shared::blueprint::Blueprint;
use shared::domain::commit::Epoch;
use shared::domain::enhance_log::{LogEntry, SpawnerUsage, Verdict, VerdictStatus};
use shared::domain::issue::{NewIssue, RejectionCause};
use shared::domain::proposal::{ReviewPolicy, StoredPatch};
use shared::ids::{BlueprintId, IssueId, WorkerId};
use shared::store::{
    ClaimMode, ClaimOutcome, Claimed, IssueRef, Lease, NewProposal, Release, Settlement,
};

use crate::factory;

/// The duration of a lease that no test outlives.
pub const LONG: u64 = 600_000;

/// The duration of a lease that has expired when the claim is answered.
pub const OVER: u64 = 0;

/// The mode of a claimer that runs other issues too and accepts any number of crashes.
pub const BESIDE: ClaimMode = ClaimMode::Shared {
    shared_run_limit: u32::MAX,
};

/// The decision of [`Fixture::settle`](super::Fixture::settle).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// A new version that names the issue.
    Applied,
    /// A new version that names the issue and its base, and needs a review.
    Review,
    /// Denied by one verifier.
    Denied,
    /// A permanent fault.
    Failed,
    /// A permanent fault that puts the issue on the dead list.
    Dead,
}

impl How {
    /// The resulting cause of the issue.
    pub fn cause(self) -> Option<RejectionCause> {
        match self {
            How::Applied | How::Review => None,
            How::Denied => Some(RejectionCause::Denied),
            How::Failed | How::Dead => Some(RejectionCause::Failed),
        }
    }

    /// The resulting reason of the issue.
    pub fn reason(self) -> &'static str {
        match self {
            How::Applied | How::Review => "",
            How::Denied => "noop: nothing changed",
            How::Failed | How::Dead => "dispatch failed: time limit of 300 s exceeded",
        }
    }
}

/// The patch hash of every applied issue in these tests.
pub const PATCH_HASH: &str = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945";

/// The reason of an issue whose Blueprint is archived.
pub const ARCHIVED: &str = "dispatch failed: blueprint is archived; unarchive it and retry";

/// A release after a temporary fault.
pub fn fault(delay_ms: u64) -> Release {
    Release::Fault {
        delay_ms,
        reason: FAULT.to_owned(),
    }
}

/// A release because a resource is in use.
pub fn busy(delay_ms: u64) -> Release {
    Release::Busy {
        delay_ms,
        reason: "in use".to_owned(),
    }
}

/// The reason of an issue after [`fault`].
pub const FAULT: &str = "redis is away";

/// The attempt that the claim started.
pub fn epoch_of(claimed: &Claimed) -> Epoch {
    Epoch {
        blueprint_id: claimed.lease.issue.blueprint_id.clone(),
        start_version: claimed.head.version.clone(),
        started_at_ms: claimed.claimed_at_ms,
    }
}

/// The log entry that [`Fixture::settle`](super::Fixture::settle) sends. `attempt` and `ts_ms` are
/// deliberately wrong.
pub fn log_of(claimed: &Claimed, how: How, new: &Blueprint) -> LogEntry {
    let reason = Some(how.reason().to_owned()).filter(|r| !r.is_empty());
    let verdict = Verdict {
        axis: "noop".to_owned(),
        status: match how {
            How::Applied => VerdictStatus::Pass,
            How::Review => VerdictStatus::Review,
            _ => VerdictStatus::Deny,
        },
        detail: "{\"a\":[],\"b\":{}}".to_owned(),
    };
    LogEntry {
        issue_id: claimed.lease.issue.issue_id.clone(),
        blueprint_id: claimed.lease.issue.blueprint_id.clone(),
        prev_hash: Some(claimed.head.version.clone()),
        new_hash: matches!(how, How::Applied | How::Review).then(|| new.version().clone()),
        intent: claimed.intent.clone(),
        rationale: "größer \"☃\"\n".to_owned(),
        verdicts: vec![verdict],
        cause: how.cause(),
        reasons: reason.into_iter().collect(),
        attempt: 77,
        patch_json: r#"[{"op":"add","path":"/x","value":1152921504606846977}]"#.to_owned(),
        ts_ms: 77,
        usage: SpawnerUsage {
            agent_kind: "llm".to_owned(),
            model: "model-0".to_owned(),
            input_tokens: 9_007_199_254_740_993,
            output_tokens: 2,
            calls: 3,
            duration_ms: 4,
        },
        unusable_reply: "{\"ops\": \u{1b}".to_owned(),
        submitted_by: claimed.submitted_by.clone(),
        decided_by: None,
        comment: String::new(),
    }
}

/// A small Blueprint with this description and label (empty: no label). Different marks give
/// different versions.
///
/// # Panics
/// If the Blueprint is invalid.
pub fn marked(name: &str, mark: &str, label: &str) -> Blueprint {
    let label = match label {
        "" => String::new(),
        label => format!("  version_label: {label}\n"),
    };
    let text = factory::small(name)
        .replace(&format!("sample {name}"), mark)
        .replace("  version_label: 1.0.0\n", &label);
    Blueprint::parse(&text).expect("a sample Blueprint")
}

/// The claimed issue of a granted claim.
///
/// # Panics
/// If the claim was not granted.
pub fn claimed(outcome: ClaimOutcome) -> Claimed {
    match outcome {
        ClaimOutcome::Claimed(claimed) => *claimed,
        other => panic!("not claimed: {other:?}"),
    }
}

/// The lease with another token.
pub fn with_token(lease: &Lease, token: &str) -> Lease {
    Lease {
        token: token.to_owned(),
        ..lease.clone()
    }
}

/// The Blueprint id of that name.
///
/// # Panics
/// If the name is invalid.
pub fn blueprint_id(name: &str) -> BlueprintId {
    BlueprintId::parse(name).expect("an id")
}

/// The worker id of that name.
///
/// # Panics
/// If the name is invalid.
pub fn worker_id(name: &str) -> WorkerId {
    WorkerId::parse(name).expect("an id")
}

/// A reference to an issue and its queue.
///
/// # Panics
/// If an id is invalid.
pub fn issue_ref(blueprint: &str, issue: &str) -> IssueRef {
    IssueRef {
        blueprint_id: blueprint_id(blueprint),
        issue_id: IssueId::parse(issue).expect("an id"),
    }
}

/// The issue that [`Fixture::submit`](super::Fixture::submit) submits.
///
/// # Panics
/// If an id is invalid.
pub fn new_issue(blueprint: &str, issue: &str) -> NewIssue {
    let issue = issue_ref(blueprint, issue);
    let intent = format!("tag {} — größer \"☃\" \\ \n", issue.issue_id);
    NewIssue::new(issue.issue_id, issue.blueprint_id, intent, None).expect("a valid issue")
}

/// The document that [`How::Review`] proposes for this issue of this Blueprint, on the head with
/// this number.
///
/// # Panics
/// If the Blueprint is invalid.
pub fn proposed(blueprint: &str, issue: &str, base_seq: u64) -> Blueprint {
    marked(blueprint, &format!("{issue} on {base_seq}"), "1.0.1")
}

/// The reason of the review of [`How::Review`].
pub const REVIEW: &str = "human-review: a person has to approve every change";

/// The settlement of a claimed issue that needs a review under this policy.
pub fn review_of(claimed: &Claimed, policy: ReviewPolicy) -> Settlement {
    let issue = &claimed.lease.issue;
    let (name, id) = (issue.blueprint_id.as_str(), issue.issue_id.as_str());
    let new = proposed(name, id, claimed.head.seq);
    let log = log_of(claimed, How::Review, &new);
    Settlement::Review(Box::new(NewProposal {
        blueprint: Arc::new(new),
        expected_seq: claimed.head.seq,
        patch_hash: PATCH_HASH.to_owned(),
        epoch: epoch_of(claimed),
        reasons: vec![REVIEW.to_owned()],
        patch: StoredPatch {
            reply_json: r#"{"bump":"patch","ops":[],"rationale":"why"}"#.to_owned(),
            usage: log.usage.clone(),
        },
        policy,
        settings_counter: claimed.settings_counter,
        log,
    }))
}
