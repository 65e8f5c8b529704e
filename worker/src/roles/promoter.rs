//! Moves delayed issues to their queue when they are due.

use std::time::Duration;

use shared::fail_point;
use shared::store::{Shard, StoreError};
use tokio_util::sync::CancellationToken;

/// The maximum delay of a due issue.
const EVERY: Duration = Duration::from_millis(500);
/// The maximum number of issues in one round.
const BATCH: usize = 100;

pub(crate) async fn run(shard: Shard, stop: CancellationToken) {
    crate::roles::background_loop::repeat("promoter", EVERY, stop, || run_once(&shard)).await;
}

async fn run_once(shard: &Shard) -> Result<(), StoreError> {
    loop {
        let due = shard.due_issues(BATCH).await?;
        for issue in &due {
            let outcome = shard.promote(issue).await?;
            fail_point::pass("promote.after");
            tracing::debug!(issue_id = %issue.issue_id, ?outcome, "delayed issue is due");
        }
        if due.len() < BATCH {
            return Ok(());
        }
    }
}
