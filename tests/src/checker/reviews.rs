//! Rule 10: what is committed after a review is what a person approved.

use std::collections::BTreeSet;

use proto::v1;

use crate::checker::snapshot::Snapshot;

/// The issues that went to review, as far as the log or the test shows. They leave their queue, so
/// later issues are decided before them.
pub(super) fn in_review(s: &Snapshot) -> BTreeSet<&str> {
    let asks = |entry: &&v1::LogEntry| entry.verdicts.iter().any(|v| v.status == "review");
    let logged = s.entries.iter().filter(asks);
    let logged = logged.map(|entry| entry.issue_id.as_str());
    logged
        .chain(s.reviewed.keys().map(String::as_str))
        .collect()
}

pub(super) fn approved(s: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    let reviewed = in_review(s);
    for commit in s.histories.values().flatten() {
        let id = commit.issue_id.as_str();
        let entry = s.entries.iter().find(|entry| entry.issue_id == id);
        let Some(entry) = entry.filter(|_| reviewed.contains(id)) else {
            continue;
        };
        if commit.decided_by.is_empty() || commit.decided_by != entry.decided_by {
            found.push(format!(
                "issue {id} was committed, approved by {:?} and {:?}",
                commit.decided_by, entry.decided_by
            ));
        }
        if entry.prev_hash != commit.parents.concat() {
            found.push(format!("issue {id} was committed on another base"));
        }
        let seen = s.reviewed.get(id);
        if seen.is_some_and(|seen| !seen.contains(&commit.version)) {
            found.push(format!(
                "issue {id} was committed as {}, approved were {seen:?}",
                commit.version
            ));
        }
    }
    found
}
