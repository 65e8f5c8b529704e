//! Reads the queue statistics from Redis for the metrics.

use metrics::{counter, gauge};
use shared::store::Store;
use shared::telemetry::prometheus::{Numbers, TIDY_EVERY};
use tokio::time::sleep;

use crate::backend::Backend;

/// Updates the queue metrics periodically, so that scrapes make no calls of Redis. Never returns.
pub(crate) async fn follow_queue(numbers: Numbers, backend: &Backend) {
    loop {
        numbers.tidy();
        if let Ok(store) = backend.store() {
            // `draftsman_redis_up` shows an outage. Meanwhile these gauges are dropped.
            if let Err(error) = read_queue(store).await {
                tracing::debug!(%error, "the queue statistics cannot be read");
            }
        }
        sleep(TIDY_EVERY).await;
    }
}

async fn read_queue(store: &Store) -> Result<(), shared::store::StoreError> {
    let stats = store.queue_stats().await?;
    for (place, n_issues) in [
        ("pending", stats.pending),
        ("ready", stats.ready),
        ("delayed", stats.delayed),
        ("in_flight", stats.in_flight),
        ("in_review", stats.in_review),
        ("dead", stats.dead),
    ] {
        gauge!("draftsman_queue_issues", "place" => place).set(n_issues as f64);
    }
    let oldest = stats.oldest_active_at_ms.unwrap_or(stats.now_ms);
    let age_ms = stats.now_ms.saturating_sub(oldest);
    gauge!("draftsman_queue_oldest_seconds").set(age_ms as f64 / 1000.0);
    let oldest = stats.oldest_in_review_at_ms.unwrap_or(stats.now_ms);
    let age_ms = stats.now_ms.saturating_sub(oldest);
    gauge!("draftsman_queue_oldest_review_seconds").set(age_ms as f64 / 1000.0);
    gauge!("draftsman_queue_paused").set(u8::from(stats.paused));
    let n_paused = stats.paused_blueprint_ids.len();
    gauge!("draftsman_queue_paused_blueprints").set(n_paused as f64);
    gauge!("draftsman_queue_workers").set(stats.workers.len() as f64);
    gauge!("draftsman_redis_memory_bytes", "what" => "used").set(stats.used_memory as f64);
    gauge!("draftsman_redis_memory_bytes", "what" => "limit").set(stats.max_memory as f64);
    let totals = store.totals().await?;
    let total = |name: &str| totals.get(name).copied().unwrap_or(0);
    counter!("draftsman_queue_submitted_total").absolute(total("submitted"));
    counter!("draftsman_queue_proposed_total").absolute(total("proposed"));
    for (outcome, cause) in [
        ("applied", ""),
        ("rejected", "denied"),
        ("rejected", "failed"),
        ("rejected", "cancelled"),
        ("rejected", "declined"),
    ] {
        let name = if cause.is_empty() { outcome } else { cause };
        counter!("draftsman_queue_decided_total", "outcome" => outcome, "cause" => cause)
            .absolute(total(name));
    }
    Ok(())
}
