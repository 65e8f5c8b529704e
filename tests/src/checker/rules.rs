//! The rules, each as a function of the snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::v1;
use shared::ids::sha256_hex;

use crate::checker::Attempts;
use crate::checker::channels::{followed, moves};
use crate::checker::fold::fold;
use crate::checker::reviews;
use crate::checker::snapshot::Snapshot;
use crate::client::is_terminal;

/// The number and name of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// 1: every acknowledged issue is terminal, with one log entry that agrees.
    Decided,
    /// 2: applied issues and commits are one to one.
    OneCommit,
    /// 3: linear chains, matching hashes.
    Chain,
    /// 4: order of acceptance, bounded attempts.
    Order,
    /// 5: the queues are empty.
    Empty,
    /// 6: watchers see revisions rise to the final state.
    Watched,
    /// 7: folding the patches gives the head.
    Fold,
    /// 8: moves link, and each channel is its last move.
    Moves,
    /// 9: watchers of Blueprints have the final versions.
    Followed,
    /// 10: what is committed after a review is what was approved.
    Approved,
}

/// A violation of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rule {} ({:?}): {}",
            self.rule as usize + 1,
            self.rule,
            self.what
        )
    }
}

/// All violations in `snapshot`.
pub fn violations(snapshot: &Snapshot, attempts: Attempts) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |rule, what: Vec<String>| {
        found.extend(what.into_iter().map(|what| Violation { rule, what }))
    };
    report(Rule::Decided, decided(snapshot));
    report(Rule::OneCommit, one_commit(snapshot));
    report(Rule::Chain, chain(snapshot));
    report(Rule::Order, order(snapshot, attempts));
    report(Rule::Empty, empty(snapshot));
    report(Rule::Watched, watched(snapshot));
    report(Rule::Fold, fold(snapshot));
    report(Rule::Moves, moves(snapshot));
    report(Rule::Followed, followed(snapshot));
    report(Rule::Approved, reviews::approved(snapshot));
    found
}

fn decided(s: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    let mut entries: BTreeMap<&str, Vec<&v1::LogEntry>> = BTreeMap::new();
    for entry in &s.entries {
        entries.entry(&entry.issue_id).or_default().push(entry);
    }
    for id in &s.acknowledged {
        let Some(issue) = s.issues.get(id) else {
            found.push(format!("issue {id} was acknowledged and is not there"));
            continue;
        };
        if !is_terminal(issue) {
            found.push(format!("issue {id} is {:?}", issue.state()));
        }
        match entries.get(id.as_str()).map(Vec::as_slice) {
            None => found.push(format!("issue {id} has no log entry")),
            Some([entry]) => found.extend(disagreement(issue, entry)),
            Some(several) => found.push(format!("issue {id} has {} log entries", several.len())),
        }
    }
    for id in entries.keys().filter(|id| !s.issues.contains_key(**id)) {
        found.push(format!("a log entry names issue {id}, which is not there"));
    }
    found
}

fn disagreement(issue: &v1::Issue, entry: &v1::LogEntry) -> Option<String> {
    let (status, cause) = match (issue.state(), issue.cause()) {
        (v1::IssueState::Applied, _) => ("applied", ""),
        (v1::IssueState::Rejected, v1::RejectionCause::Denied) => ("rejected", "denied"),
        (v1::IssueState::Rejected, v1::RejectionCause::Failed) => ("rejected", "failed"),
        (v1::IssueState::Rejected, v1::RejectionCause::Cancelled) => ("rejected", "cancelled"),
        (v1::IssueState::Rejected, v1::RejectionCause::Declined) => ("rejected", "declined"),
        _ => ("", ""),
    };
    let agrees = entry.status == status
        && entry.cause == cause
        && entry.new_hash == issue.new_version
        && entry.blueprint_id == issue.blueprint_id
        && entry.intent == issue.intent
        && entry.attempt == issue.attempt
        && entry.reasons.is_empty() == (status == "applied");
    (!agrees).then(|| format!("issue and log entry disagree: {issue:?} / {entry:?}"))
}

fn one_commit(s: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    let mut made: BTreeMap<&str, Vec<&v1::Commit>> = BTreeMap::new();
    for commit in s
        .histories
        .values()
        .flatten()
        .filter(|c| !c.issue_id.is_empty())
    {
        made.entry(&commit.issue_id).or_default().push(commit);
    }
    for issue in s.issues.values() {
        let commits = made.remove(issue.issue_id.as_str()).unwrap_or_default();
        let applied = issue.state() == v1::IssueState::Applied;
        match commits.as_slice() {
            [commit] if applied => {
                if commit.version != issue.new_version || commit.blueprint_id != issue.blueprint_id
                {
                    found.push(format!(
                        "issue {} and its commit disagree: {commit:?}",
                        issue.issue_id
                    ));
                }
            }
            [] if !applied => {}
            other => found.push(format!(
                "issue {} is {:?} and has {} commits",
                issue.issue_id,
                issue.state(),
                other.len()
            )),
        }
    }
    found.extend(
        made.keys()
            .map(|id| format!("a commit names issue {id}, which is not there")),
    );
    found
}

fn chain(s: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    for (blueprint_id, history) in &s.histories {
        let mut parent: Option<&str> = None;
        for (seq, commit) in (1..).zip(history) {
            let expected: Vec<String> = parent.map(str::to_owned).into_iter().collect();
            if commit.seq != seq
                || commit.parents != expected
                || commit.blueprint_id != *blueprint_id
            {
                found.push(format!(
                    "{blueprint_id}: commit {seq} does not follow the one before: {commit:?}"
                ));
            }
            match s
                .documents
                .get(&(blueprint_id.clone(), commit.version.clone()))
            {
                Some(document) if sha256_hex(document.yaml.as_bytes()) == commit.version => {}
                Some(_) => found.push(format!(
                    "{blueprint_id}: version {} is not its hash",
                    commit.version
                )),
                None => found.push(format!(
                    "{blueprint_id}: version {} has no document",
                    commit.version
                )),
            }
            parent = Some(&commit.version);
        }
        if s.heads.get(blueprint_id).map(String::as_str) != parent {
            found.push(format!("{blueprint_id}: the head is not the last commit"));
        }
    }
    found
}

fn order(s: &Snapshot, attempts: Attempts) -> Vec<String> {
    let mut found = Vec::new();
    let most = match attempts {
        Attempts::One => 1,
        Attempts::UpTo(most) => most,
    };
    let counted = |issue: &v1::Issue| issue.cause() != v1::RejectionCause::Cancelled;
    let acknowledged: BTreeSet<&str> = s.acknowledged.iter().map(String::as_str).collect();
    let reviewed = reviews::in_review(s);
    let mut accepted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for issue in s
        .acknowledged
        .iter()
        .filter_map(|id| s.issues.get(id))
        .filter(|i| counted(i))
    {
        // An issue in review has left its queue.
        if !reviewed.contains(issue.issue_id.as_str()) {
            let accepted = accepted.entry(&issue.blueprint_id).or_default();
            accepted.push(&issue.issue_id);
        }
        // An approval after the head moved has the issue run again, once for each approval.
        let approvals = s.reviewed.get(&issue.issue_id).map_or(0, Vec::len);
        let bounds = 1..=most + u32::try_from(approvals).unwrap_or(u32::MAX);
        if !bounds.contains(&issue.attempt) {
            found.push(format!(
                "issue {} took {} attempts, not {bounds:?}",
                issue.issue_id, issue.attempt
            ));
        }
    }
    for (blueprint_id, accepted) in accepted {
        let mut done = Vec::new();
        for entry in s
            .entries
            .iter()
            .filter(|e| e.blueprint_id == blueprint_id && e.cause != "cancelled")
        {
            let id = entry.issue_id.as_str();
            if acknowledged.contains(id) && !reviewed.contains(id) {
                done.push(entry.issue_id.as_str());
            }
        }
        let differs = accepted.iter().zip(&done).position(|(a, d)| a != d);
        if let Some(at) = differs {
            found.push(format!(
                "{blueprint_id}: issue {} of those accepted is {}, but {} was decided then",
                at + 1,
                accepted[at],
                done[at]
            ));
        }
    }
    found
}

fn empty(s: &Snapshot) -> Vec<String> {
    s.left
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{name} is {count}"))
        .collect()
}

fn watched(s: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    for seen in &s.watched {
        let Some(last) = seen.last() else {
            found.push("a watcher saw nothing".to_owned());
            continue;
        };
        if !seen
            .windows(2)
            .all(|pair| pair[0].revision < pair[1].revision)
        {
            let revisions: Vec<u64> = seen.iter().map(|i| i.revision).collect();
            found.push(format!(
                "a watcher of {} saw revisions {revisions:?}",
                last.issue_id
            ));
        }
        if s.issues.get(&last.issue_id) != Some(last) {
            found.push(format!(
                "the last that a watcher of {} saw is not its final state",
                last.issue_id
            ));
        }
    }
    found
}
