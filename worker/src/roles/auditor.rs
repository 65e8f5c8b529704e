//! Audits every queue once a minute, on one worker at a time. Repairs queues that no other
//! mechanism would move again.

use std::sync::Arc;
use std::time::Duration;

use shared::store::{Shard, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// The interval between audits, over all workers.
const EVERY: Duration = Duration::from_secs(60);
/// The interval between a worker's requests for its turn.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Audits one shard. The audit of the home shard also copies the orbits in use to all other shards.
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
            "the place of this queue was wrong and has been corrected; Redis lost writes, its clock was set back, or this is a bug"
        );
    }
    if shard.number() == store.home().number() {
        store.mirror_orbits().await?;
    }
    Ok(())
}
