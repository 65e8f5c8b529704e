//! Checks the stored data once everything is decided. Each issue exists once and in order, and the
//! issues, the log, the commits and the counters agree.

use std::collections::BTreeMap;

use shared::domain::issue::{IssueState, RejectionCause};
use shared::domain::version_selector::VersionSelector;
use shared::ids::{BlueprintId, IssueId};
use shared::store::{LogFilter, PageRequest, Shard};

use crate::simulation::calls::Seen;
use crate::simulation::ledger::{Ledger, Place};
use crate::simulation::world::World;

const EVERYTHING: PageRequest = PageRequest {
    size: 1_000_000,
    after: None,
};

/// The violations found.
struct Findings(Vec<String>);

impl Findings {
    fn same<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: impl std::fmt::Display,
        is: T,
        expected: T,
    ) {
        if is != expected {
            self.0
                .push(format!("end: {what} is {is:?} and not {expected:?}"));
        }
    }
}

impl World {
    /// Compares the content of Redis with the ledger. Every issue must be decided.
    pub(super) async fn check_end(&self) -> Seen<()> {
        let mut findings = Findings(Vec::new());
        self.check_leftovers(&mut findings).await;
        self.check_counts(&mut findings).await;
        for name in self.ledger.queues.keys() {
            check_history(&self.fixture.store, &self.ledger, name, &mut findings).await;
        }
        if findings.0.is_empty() {
            Ok(())
        } else {
            Err(findings.0)
        }
    }

    /// Whether everything is decided and all workers' lists are empty.
    pub(super) async fn is_done(&self) -> bool {
        let is_open = self.ledger.open_issues().next().is_some();
        if is_open || !self.ledger.in_review().is_empty() {
            return false;
        }
        let workers: Vec<String> = self
            .fixture
            .raw(&["ZRANGE", &self.fixture.store.keys().workers(), "0", "-1"])
            .await;
        for worker in workers {
            let left = self.fixture.store.processing(&worker).await;
            if !left.expect("Redis answers").is_empty() {
                return false;
            }
        }
        true
    }

    /// Checks that no element is left. The workers' lists were checked before.
    async fn check_leftovers(&self, findings: &mut Findings) {
        let keys = self.fixture.store.keys();
        for key in [
            keys.pending(),
            keys.places(),
            keys.leases(),
            keys.delayed(),
            keys.waiting(),
            keys.in_review(),
            keys.review_due(),
        ] {
            let is_there: u64 = self.fixture.raw(&["EXISTS", &key]).await;
            findings.same(&key, is_there, 0);
        }
        for issue in self.ledger.issues.keys() {
            for key in [keys.steps(issue), keys.proposal(issue)] {
                let is_there: u64 = self.fixture.raw(&["EXISTS", &key]).await;
                findings.same(&key, is_there, 0);
            }
        }
        for name in self.ledger.queues.keys() {
            let key = keys.backlog(name);
            let is_there: u64 = self.fixture.raw(&["EXISTS", &key]).await;
            findings.same(&key, is_there, 0);
        }
    }

    async fn check_counts(&self, findings: &mut Findings) {
        let key = self.fixture.store.keys().counts();
        let mut counts: BTreeMap<String, u64> = self.fixture.raw(&["HGETALL", &key]).await;
        counts.retain(|_, n| *n > 0);
        let expected = self
            .ledger
            .counts
            .iter()
            .map(|(name, n)| ((*name).to_owned(), *n));
        findings.same("counts", counts, expected.collect());
    }
}

/// Checks the log, the issues and the commits of one Blueprint.
async fn check_history(
    store: &Shard,
    ledger: &Ledger,
    name: &BlueprintId,
    findings: &mut Findings,
) {
    let entries = store
        .list_log_entries(&LogFilter::of_blueprint(name), false, &EVERYTHING)
        .await;
    let entries = entries.expect("Redis answers").items;
    let queue = &ledger.queues[name];
    let in_order = |ids: Vec<&IssueId>| -> Vec<String> {
        let is_cancelled = |id: &IssueId| cause_of(ledger, id) == Some(RejectionCause::Cancelled);
        // An issue in review has left its queue.
        let was_in_review = |id: &IssueId| ledger.issues[id].rounds > 0;
        ids.into_iter()
            .filter(|id| !is_cancelled(id) && !was_in_review(id))
            .map(ToString::to_string)
            .collect()
    };
    let decided: Vec<&IssueId> = entries.iter().map(|entry| &entry.issue_id).collect();
    findings.same(
        format!("the number of entries of {name}"),
        decided.len(),
        queue.accepted.len(),
    );
    findings.same(
        format!("the order of {name}"),
        in_order(decided),
        in_order(queue.accepted.iter().collect()),
    );

    let mut applied = Vec::new();
    for entry in &entries {
        let id = &entry.issue_id;
        let found = store.issue(id).await.expect("Redis answers");
        let Some(issue) = found else {
            findings.0.push(format!("end: {id} is lost"));
            continue;
        };
        let place = &ledger.issues[id].place;
        let is_as_told = matches!(
            place,
            Place::Decided { state, cause, .. } if (*state, *cause) == (issue.state, issue.cause)
        );
        findings.same(
            format!("{id}, {place:?}, {issue:?}: as it was told"),
            is_as_told,
            true,
        );
        findings.same(format!("the cause of {id}"), entry.cause, issue.cause);
        findings.same(
            format!("the attempts of {id}"),
            (issue.attempt, entry.attempt),
            {
                let attempts = ledger.issues[id].attempts;
                (attempts, attempts)
            },
        );
        let version = issue.new_version;
        findings.same(format!("the version of {id}"), &entry.new_hash, &version);
        findings.same(
            format!("the time of {id}"),
            entry.ts_ms,
            issue.updated_at_ms,
        );
        if let Some(approval) = ledger.issues[id].approvals.first() {
            findings.same(
                format!("the document of {id}, and what was approved"),
                version.as_ref(),
                Some(&approval.new_version),
            );
            findings.same(
                format!("the base of {id}, and what was approved"),
                entry.prev_hash.as_ref(),
                Some(&approval.base_version),
            );
        }
        if issue.state == IssueState::Applied {
            applied.push((id.clone(), version));
        }
    }

    let commits = store
        .list_commits(name, None, &EVERYTHING)
        .await
        .expect("Redis answers");
    let mut commits = commits.expect("every Blueprint has a first commit").items;
    commits.reverse();
    findings.same(
        format!("the head of {name}"),
        commits.len() as u64,
        queue.head_seq,
    );
    let mut before = None;
    for (seq, commit) in (1..).zip(&commits) {
        let place = (commit.seq, commit.parents.clone());
        findings.same(
            format!("commit {seq} of {name}"),
            place,
            (seq, Vec::from_iter(before)),
        );
        before = Some(commit.version.clone());
        let fixed = VersionSelector::Fixed(commit.version.clone());
        let found = store.blueprint(name, &fixed).await.expect("Redis answers");
        let version = found.map(|found| found.blueprint.version().clone());
        findings.same(
            format!("document {seq} of {name}"),
            version.as_ref(),
            Some(&commit.version),
        );
    }
    let made: Vec<_> = commits
        .into_iter()
        .filter_map(|commit| Some((commit.issue_id?, Some(commit.version))))
        .collect();
    findings.same(format!("the issues with a commit of {name}"), made, applied);
}

fn cause_of(ledger: &Ledger, id: &IssueId) -> Option<RejectionCause> {
    match &ledger.issues.get(id)?.place {
        Place::Decided { cause, .. } => *cause,
        _ => None,
    }
}
