//! Declines the proposals that nobody reviewed in time.

use std::time::Duration;

use shared::fail_point;
use shared::store::{ExpireOutcome, Shard, StoreError};
use tokio_util::sync::CancellationToken;

/// The maximum delay of a due proposal.
const EVERY: Duration = Duration::from_secs(1);
/// The maximum number of proposals in one round.
const BATCH: usize = 100;

pub(crate) async fn run(shard: Shard, stop: CancellationToken) {
    crate::roles::background_loop::repeat("review expirer", EVERY, stop, || run_once(&shard)).await;
}

async fn run_once(shard: &Shard) -> Result<(), StoreError> {
    loop {
        let due = shard.due_reviews(BATCH).await?;
        for issue in &due {
            fail_point::pass("expire_review.before");
            let outcome = shard.expire_review(issue).await?;
            fail_point::pass("expire_review.after");
            let issue_id = &issue.issue_id;
            match outcome {
                ExpireOutcome::Expired => {
                    tracing::info!(%issue_id, "nobody reviewed the issue in time; declined");
                    fail_point::event("review.expired", &[("issue_id", issue_id)]);
                }
                ExpireOutcome::Waits | ExpireOutcome::Gone => {
                    tracing::debug!(%issue_id, ?outcome, "review is not due");
                }
            }
        }
        if due.len() < BATCH {
            return Ok(());
        }
    }
}
