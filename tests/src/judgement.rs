//! Checks of a rejected issue and its log entry.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};

use crate::rig::Rig;

/// Checks that `axis`, possibly among others, denied `issue`, in the issue and in the log. Returns
/// the log entry.
///
/// # Panics
/// If the axis did not deny it.
pub async fn assert_denied_by(rig: &Rig, issue: &v1::Issue, axis: &str) -> v1::LogEntry {
    assert_eq!(issue.state(), IssueState::Rejected, "{axis}: {issue:?}");
    assert_eq!(issue.cause(), RejectionCause::Denied, "{axis}: {issue:?}");
    assert!(
        issue
            .reason
            .starts_with(&format!("verifier deny: {axis}: ")),
        "{axis}: {}",
        issue.reason
    );
    assert_eq!(issue.new_version, "");
    let entry = rig.client.entry(&issue.issue_id).await;
    assert_eq!(entry.status, "rejected");
    assert_eq!(entry.cause, "denied");
    assert_eq!(entry.new_hash, "");
    assert_eq!(entry.prev_hash.len(), 64);
    assert_eq!(
        issue.reason,
        format!("verifier deny: {}", entry.reasons.join("; "))
    );
    let denied: Vec<&v1::Verdict> = entry
        .verdicts
        .iter()
        .filter(|v| v.status == "deny")
        .collect();
    assert!(denied.iter().any(|v| v.axis == axis), "{axis}: {entry:?}");
    let reasons: Vec<String> = denied
        .iter()
        .map(|v| format!("{}: {}", v.axis, v.detail))
        .collect();
    assert_eq!(
        entry.reasons, reasons,
        "the reasons are those of the denying verdicts"
    );
    entry
}

/// Checks that `issue` failed, and returns the reason.
///
/// # Panics
/// If it did not fail.
pub async fn assert_failed(rig: &Rig, issue: &v1::Issue) -> String {
    assert_eq!(issue.state(), IssueState::Rejected, "{issue:?}");
    assert_eq!(issue.cause(), RejectionCause::Failed, "{issue:?}");
    assert!(
        issue.reason.starts_with("dispatch failed: "),
        "{}",
        issue.reason
    );
    let entry = rig.client.entry(&issue.issue_id).await;
    assert_eq!(
        (entry.status.as_str(), entry.cause.as_str()),
        ("rejected", "failed")
    );
    assert_eq!(entry.verdicts, []);
    assert_eq!(entry.new_hash, "");
    assert_eq!(
        entry.reasons.len(),
        1,
        "a failed entry's reasons are its one reason: {entry:?}"
    );
    assert!(
        issue.reason.contains(&entry.reasons[0]) || entry.reasons[0].contains(&issue.reason),
        "{entry:?}"
    );
    issue.reason.clone()
}
