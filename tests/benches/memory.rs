//! Measures the submission rate and the memory of a waiting issue, without a running worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proto::v1;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, Scale, Spread, intent};

/// The number of concurrent submissions.
const N_SUBMITTERS: usize = 64;
/// The number of submissions between two readings of the clock.
const SUBMITTED_AT_ONCE: usize = 1_000;

/// Measurements of waiting issues.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// Answered submissions a second.
    pub(crate) submits_per_sec: f64,
    /// Bytes that Redis uses for each issue, without its intent.
    pub(crate) bytes_per_issue: f64,
}

/// Submits `n_issues` and reads the memory of Redis before and after.
pub(crate) async fn measure(scale: Scale, spread: Spread, n_issues: usize) -> Waiting {
    let fixture = Fixture::start(scale, spread).await;
    let mut connection = fixture.redis.connection().await;
    // Excludes what the first submissions create once: scripts and tables.
    submit_all(&fixture, 0, N_SUBMITTERS).await;
    let before = used_memory(&mut connection).await;
    let start = Instant::now();
    submit_all(&fixture, N_SUBMITTERS, n_issues).await;
    let submits_per_sec = n_issues as f64 / start.elapsed().as_secs_f64();
    let intents: usize = (N_SUBMITTERS..N_SUBMITTERS + n_issues)
        .map(|n| intent(n).len())
        .sum();
    let grown = used_memory(&mut connection).await as f64 - before as f64;
    Waiting {
        submits_per_sec,
        bytes_per_issue: (grown - intents as f64) / n_issues as f64,
    }
}

/// Submits for about `time`. Returns the answered submissions a second.
pub(crate) async fn submits_per_sec(fixture: &Fixture, time: Duration) -> f64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < time {
        submit_all(fixture, count, SUBMITTED_AT_ONCE).await;
        count += SUBMITTED_AT_ONCE;
    }
    count as f64 / start.elapsed().as_secs_f64()
}

async fn submit_all(fixture: &Fixture, first: usize, count: usize) {
    let next = Arc::new(AtomicUsize::new(first));
    let mut submitters = JoinSet::new();
    for _ in 0..N_SUBMITTERS {
        let mut intake = fixture.client.intake.clone();
        let (next, blueprint_ids) = (next.clone(), fixture.blueprint_ids.clone());
        submitters.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= first + count {
                    return;
                }
                let request = v1::SubmitIssueRequest {
                    blueprint_id: blueprint_ids[n % blueprint_ids.len()].clone(),
                    intent: intent(n),
                    issue_id: None,
                    ..Default::default()
                };
                intake.submit_issue(request).await.expect("SubmitIssue");
            }
        });
    }
    submitters.join_all().await;
}

/// `used_memory` of Redis: the minimum of several readings, which excludes temporary buffers.
async fn used_memory(connection: &mut redis::aio::MultiplexedConnection) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..10 {
        let info: String = redis::cmd("INFO")
            .arg("memory")
            .query_async(connection)
            .await
            .expect("INFO memory");
        let used = info
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        let used = used
            .and_then(|text| text.trim().parse().ok())
            .expect("used_memory in INFO memory");
        least = least.min(used);
        tokio::time::sleep(std::time::Duration::from_millis(120)).await;
    }
    least
}
