//! Takes issues from dead workers: expired leases, and elements that a dead worker popped and did
//! not claim.
//!
//! Every worker runs a reaper. The scripts check each item again, so any number of reapers can run
//! concurrently.
//!
//! During an outage of Redis, live workers cannot extend their leases. A reaper therefore starts
//! only after one lease duration of continuous contact with the same Redis process. By then every
//! live worker has sent a heartbeat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::fail_point;
use shared::store::{ReapOutcome, ReturnOutcome, Shard, StoreError};
use shared::whole_ms::whole_ms;
use tokio_util::sync::CancellationToken;

use crate::issue::submitter::submitter;
use crate::metrics::Metrics;
use crate::pause::RepeatedErrorLog;

/// The maximum number of leases in one round.
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
            error_log.log("reaper", &error);
        }
        tokio::select! {
            () = tokio::time::sleep(every(lease)) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Returns the interval between two rounds of the reaper.
fn every(lease: Duration) -> Duration {
    (lease / 3).min(Duration::from_secs(5))
}

/// The period of continuous contact with one Redis process.
#[derive(Default)]
struct Contact {
    run_id: String,
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Contact {
    /// Returns how long the contact has lasted, given the run id that Redis has just reported.
    ///
    /// `None` means that the contact starts now. This is the case after a restart of Redis, or
    /// after a gap longer than `most`, in which other workers may have lost contact too.
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
        // A restarted Redis may not have the scripts loaded.
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
                let actor = match outcome {
                    ReapOutcome::Dead => submitter(shard, issue).await,
                    _ => None,
                };
                tracing::warn!(issue_id = %issue.issue_id, blueprint_id = %issue.blueprint_id, actor, ?outcome, "lease expired");
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
                tracing::warn!(issue_id = %issue.issue_id, %worker, "returned an element that a dead worker had popped");
            }
        }
    }
    Ok(())
}
