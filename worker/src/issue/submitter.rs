//! Reads who submitted an issue, for the log line of a decision that no flow makes.

use shared::store::{IssueRef, Shard};

/// Returns the actor that submitted the issue; `None` if it is unknown or cannot be read.
pub(crate) async fn submitter(shard: &Shard, issue: &IssueRef) -> Option<String> {
    let found = shard.issue(&issue.issue_id).await.ok()??;
    found.submitted_by.map(|actor| actor.to_string())
}
