//! Looks at every queue once a minute, whichever worker's turn it is, and mends those that nothing
//! would ever move again.

use std::sync::Arc;
use std::time::Duration;

use shared::store::{Shard, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// How often the queues are audited, by all workers together.
const EVERY: Duration = Duration::from_secs(60);
/// How often a worker asks whether it is its turn.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Audits one shard. The audit of the home shard also sees to it that all others know which orbits are in use.
pub(crate) async fn run(
    store: Store,
    shard: Shard,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    crate::roles::background_loop::repeat("auditor", ASK_EVERY, stop, || {
        run_once(&store, &shard, &metrics)
    })
    .await;
}

async fn run_once(store: &Store, shard: &Shard, metrics: &Metrics) -> Result<(), StoreError> {
    if !shard.take_audit_turn(EVERY).await? {
        return Ok(());
    }
    for repaired in shard.audit_queues().await? {
        Metrics::count(&metrics.repaired);
        tracing::error!(
            blueprint_id = %repaired.blueprint_id,
            place = repaired.place,
            "this queue was not where its record said; it is mended. Redis has lost something, its clock was set back, or this is a bug"
        );
    }
    if shard.number() == store.home().number() {
        store.mirror_orbits().await?;
    }
    Ok(())
}
