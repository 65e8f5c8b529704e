//! Removes decided issues after the retention period, on one worker at a time.

use std::time::Duration;

use shared::store::{Shard, StoreError};
use tokio_util::sync::CancellationToken;

/// The interval between prunings, over all workers.
const EVERY: Duration = Duration::from_secs(60);
/// The interval between a worker's requests for its turn.
const ASK_EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn run(shard: Shard, retention: Duration, stop: CancellationToken) {
    let until = stop.clone();
    let pruning = crate::roles::background_loop::repeat("pruner", ASK_EVERY, stop, || {
        run_once(&shard, retention)
    });
    tokio::select! {
        () = pruning => {}
        // Thousands of issues may remain; the next worker continues.
        () = until.cancelled() => {}
    }
}

async fn run_once(shard: &Shard, retention: Duration) -> Result<(), StoreError> {
    if !shard.take_prune_turn(EVERY).await? {
        return Ok(());
    }
    let pruned = shard.prune_issues(retention).await?;
    if pruned > 0 {
        let retention_days = retention.as_secs() / (24 * 3_600);
        tracing::info!(
            pruned,
            retention_days,
            "decided issues are removed; their log entries stay"
        );
        shared::fail_point::event("issues.pruned", &[("n", &pruned)]);
    }
    Ok(())
}
