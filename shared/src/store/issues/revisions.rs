//! How far issues are: their revisions and states alone, of many at once.

use std::collections::BTreeMap;

use futures::future::join_all;

use crate::domain::issue::IssueState;
use crate::domain::issue_ref::IssueRef;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;

/// How many issues are looked at in one round trip.
const BATCH: usize = 500;

/// How far an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssueRevision {
    /// Its revision.
    pub revision: u64,
    /// True if it is decided.
    pub is_terminal: bool,
}

/// What was seen of each issue; `None` if it is not there.
pub type IssueRevisions = Vec<(IssueRef, Option<IssueRevision>)>;

impl Store {
    /// Looks at these issues, in one round trip for each shard and 500 of them. A shard that does not
    /// answer holds up no other: what the others say comes with its error.
    pub async fn revisions(&self, issues: &[IssueRef]) -> (IssueRevisions, Option<StoreError>) {
        let mut by_shard: BTreeMap<usize, Vec<IssueRef>> = BTreeMap::new();
        for issue in issues {
            let shard = self.shard_of(&issue.blueprint_id).number();
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
        for batch in issues.chunks(BATCH) {
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

/// A damaged issue counts as one that is not there: whoever then reads it whole gets the error.
fn parse_revision(revision: &str, state: &str) -> Option<IssueRevision> {
    Some(IssueRevision {
        revision: revision.parse().ok()?,
        is_terminal: IssueState::parse(state)?.is_terminal(),
    })
}
