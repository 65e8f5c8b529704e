//! Reads the revisions and states of many issues at once.

use std::collections::BTreeMap;

use futures::future::join_all;

use crate::domain::issue::IssueState;
use crate::domain::issue_ref::IssueRef;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;

/// The number of issues in one round trip.
pub const REVISIONS_PER_CALL: usize = 500;

/// The revision of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssueRevision {
    /// The revision.
    pub revision: u64,
    /// True if the issue is decided.
    pub is_terminal: bool,
}

/// The revision of each issue; `None` if the issue does not exist.
pub type IssueRevisions = Vec<(IssueRef, Option<IssueRevision>)>;

impl Store {
    /// Reads the revisions of these issues, in one round trip per shard and 500 issues. An
    /// unavailable shard does not block others: the result has their revisions and its error.
    pub async fn revisions(&self, issues: &[IssueRef]) -> (IssueRevisions, Option<StoreError>) {
        let mut by_shard: BTreeMap<usize, Vec<IssueRef>> = BTreeMap::new();
        for issue in issues {
            let shard = self.of(&issue.blueprint_id).number();
            by_shard.entry(shard).or_default().push(issue.clone());
        }
        let looking = by_shard
            .into_iter()
            .map(|(shard, issues)| self.shards()[shard].revisions(issues));
        let (mut all, mut failed) = (Vec::with_capacity(issues.len()), None);
        for seen in join_all(looking).await {
            match seen {
                Ok(seen) => all.extend(seen),
                Err(error) => failed = Some(error),
            }
        }
        (all, failed)
    }
}

impl Shard {
    async fn revisions(&self, issues: Vec<IssueRef>) -> Result<IssueRevisions, StoreError> {
        let mut all = Vec::with_capacity(issues.len());
        for batch in issues.chunks(REVISIONS_PER_CALL) {
            let mut pipeline = redis::pipe();
            for issue in batch {
                pipeline
                    .cmd("HMGET")
                    .arg(self.keys.issue(&issue.issue_id))
                    .arg("revision")
                    .arg("state");
            }
            let rows: Vec<(Option<String>, Option<String>)> =
                self.handle.pipeline("look at issues", &pipeline).await?;
            let seen = rows
                .into_iter()
                .map(|(revision, state)| parse_revision(&revision?, &state?));
            all.extend(batch.iter().cloned().zip(seen));
        }
        Ok(all)
    }
}

/// Parses a revision. A damaged issue counts as missing: a later read of the whole issue returns
/// the error.
fn parse_revision(revision: &str, state: &str) -> Option<IssueRevision> {
    Some(IssueRevision {
        revision: revision.parse().ok()?,
        is_terminal: IssueState::parse(state)?.is_terminal(),
    })
}
