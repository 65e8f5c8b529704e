//! Counts new decisions for the figures of activity, on one worker at a time.

use std::time::Duration;

use shared::store::{Shard, StoreError};
use tokio_util::sync::CancellationToken;

/// The interval between counts, over all workers.
const EVERY: Duration = Duration::from_secs(4);
/// The interval between a worker's requests for its turn.
const ASK_EVERY: Duration = Duration::from_secs(2);

pub(crate) async fn run(shard: Shard, stop: CancellationToken) {
    let until = stop.clone();
    let counting =
        crate::roles::background_loop::repeat("activity counter", ASK_EVERY, stop, || {
            run_once(&shard)
        });
    tokio::select! {
        () = counting => {}
        // Thousands of entries may remain; the next worker continues.
        () = until.cancelled() => {}
    }
}

async fn run_once(shard: &Shard) -> Result<(), StoreError> {
    if !shard.take_activity_turn(EVERY).await? {
        return Ok(());
    }
    let decisions = shard.count_activity().await?;
    if decisions.skipped > 0 {
        tracing::warn!(
            skipped = decisions.skipped,
            "log entries are missing or damaged; the figures of activity do not have them"
        );
    }
    if decisions.counted > 0 {
        shared::fail_point::event("activity.counted", &[("n", &decisions.counted)]);
    }
    Ok(())
}
