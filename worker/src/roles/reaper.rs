//! Takes issues from workers that died: leases that ran out, and elements that a dead worker
//! popped and never claimed. Every worker reaps; the scripts look again at each item, so any
//! number may do it at once.
//!
//! After Redis was away, live workers could not extend their leases either. So a reaper begins
//! only after one lease time of unbroken contact with one and the same run of Redis: by then
//! every living worker has beaten.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::fail_point;
use shared::store::{ReapOutcome, ReturnOutcome, Shard, StoreError};
use shared::whole_ms::whole_ms;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::pause::RepeatedErrorLog;

/// How many leases are looked at in one round.
const BATCH: usize = 100;

pub(crate) async fn run(
    shard: Shard,
    lease: Duration,
    max_attempts: u32,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut contact = Contact::default();
    let mut error_log = RepeatedErrorLog::default();
    while !stop.is_cancelled() {
        if let Err(error) = run_once(&shard, lease, max_attempts, &metrics, &mut contact).await {
            contact = Contact::default();
            error_log.about("reaper", &error);
        }
        tokio::select! {
            () = tokio::time::sleep(every(lease)) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// How often a reaper looks.
fn every(lease: Duration) -> Duration {
    (lease / 3).min(Duration::from_secs(5))
}

/// Since when Redis has been the same and in reach.
#[derive(Default)]
struct Contact {
    run_id: String,
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Contact {
    /// How long it has lasted, now that Redis has said this; `None` if it begins just now: with another
    /// run of Redis, or after a gap longer than `most`, in which other workers may have been cut off too.
    fn lasted(&mut self, run_id: &str, most: Duration) -> Option<Duration> {
        let gap = self.last.replace(Instant::now()).map(|last| last.elapsed());
        if self.run_id != run_id || gap.is_none_or(|gap| gap > most) {
            self.run_id = run_id.to_owned();
            self.since = None;
        }
        let lasted = self.since.map(|since| since.elapsed());
        self.since.get_or_insert_with(Instant::now);
        lasted
    }
}

async fn run_once(
    shard: &Shard,
    lease: Duration,
    max_attempts: u32,
    metrics: &Metrics,
    contact: &mut Contact,
) -> Result<(), StoreError> {
    let run_id = shard.run_id().await?;
    match contact.lasted(&run_id, every(lease) + lease / 3) {
        // This Redis may never have seen our scripts.
        None => return shard.load_scripts().await,
        Some(lasted) if lasted < lease => return Ok(()),
        Some(_) => {}
    }
    reap_leases(shard, max_attempts, metrics).await?;
    return_unclaimed(shard, lease).await?;
    shard.forget_old_workers().await
}

async fn reap_leases(
    shard: &Shard,
    max_attempts: u32,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    loop {
        let expired = shard.expired_leases(BATCH).await?;
        let mut progress = false;
        for issue in &expired {
            let outcome = shard.reap(issue, max_attempts, fastrand::f64()).await?;
            fail_point::pass("reap.after");
            progress |= !matches!(outcome, ReapOutcome::Alive | ReapOutcome::Moved);
            if matches!(outcome, ReapOutcome::Delayed(_) | ReapOutcome::Dead) {
                Metrics::count(&metrics.reaped);
                tracing::warn!(issue_id = %issue.issue_id, blueprint_id = %issue.blueprint_id, ?outcome, "lease ran out");
            }
        }
        if expired.len() < BATCH || !progress {
            return Ok(());
        }
    }
}

async fn return_unclaimed(shard: &Shard, lease: Duration) -> Result<(), StoreError> {
    for worker in shard
        .silent_workers(whole_ms(lease).saturating_mul(2))
        .await?
    {
        for issue in shard.processing(worker.as_str()).await? {
            let outcome = shard.return_element(&issue, worker.as_str()).await?;
            if outcome == ReturnOutcome::Returned {
                tracing::warn!(issue_id = %issue.issue_id, %worker, "given back what a silent worker had popped");
            }
        }
    }
    Ok(())
}
