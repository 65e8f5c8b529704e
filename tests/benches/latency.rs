//! Measures the time from the call of SubmitIssue until the event that the issue is applied, at a
//! rate that leaves the machine mostly idle.

use std::time::{Duration, Instant};

use futures::StreamExt;
use proto::v1;
use tests::events::ALL_CHANNEL;
use tests::eventually::within_wait_limit;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, Scale, Spread, intent};
use crate::throughput::text_field;

/// Latencies of issues.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    /// The median.
    pub(crate) p50: Duration,
    /// The 99th percentile.
    pub(crate) p99: Duration,
    /// The maximum.
    pub(crate) max: Duration,
    /// The number of issues.
    pub(crate) n_issues: usize,
}

/// Submits `rate` issues a second for `time`, at even intervals, without waiting for previous
/// issues.
pub(crate) async fn measure(
    scale: Scale,
    spread: Spread,
    n_workers: usize,
    rate: u32,
    time: Duration,
) -> Latency {
    let mut fixture = Fixture::start(scale, spread).await;
    fixture.start_workers(n_workers).await;
    let client = redis::Client::open(fixture.redis.url()).expect("a valid URL");
    let mut pubsub = client
        .get_async_pubsub()
        .await
        .expect("a connection for a subscription");
    pubsub.subscribe(ALL_CHANNEL).await.expect("SUBSCRIBE");
    let mut events = pubsub.into_on_message();

    let n_issues = (time.as_secs_f64() * f64::from(rate)) as usize;
    let arrivals = tokio::spawn(async move {
        let mut applied: Vec<Option<Instant>> = vec![None; n_issues];
        let mut n_left = n_issues;
        while n_left > 0 {
            let message = within_wait_limit("the next event", events.next())
                .await
                .expect("the subscription holds");
            let now = Instant::now();
            let event = message.get_payload_bytes();
            if text_field(event, "state") != Some(b"applied") {
                continue;
            }
            let id = text_field(event, "issue_id").and_then(|id| std::str::from_utf8(id).ok());
            let n: Option<usize> = id
                .and_then(|id| id.strip_prefix("bench-"))
                .and_then(|n| n.parse().ok());
            applied[n.expect("an id of this run")] = Some(now);
            n_left -= 1;
        }
        applied
    });

    let mut submissions = JoinSet::new();
    let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
    for n in 0..n_issues {
        clock.tick().await;
        let mut intake = fixture.client.intake.clone();
        let request = v1::SubmitIssueRequest {
            blueprint_id: fixture.blueprint_ids[n % fixture.blueprint_ids.len()].clone(),
            intent: intent(n),
            issue_id: Some(format!("bench-{n}")),
            ..Default::default()
        };
        submissions.spawn(async move {
            let start = Instant::now();
            intake.submit_issue(request).await.expect("SubmitIssue");
            (n, start)
        });
    }
    let mut started = vec![None; n_issues];
    for (n, start) in submissions.join_all().await {
        started[n] = Some(start);
    }
    let applied = arrivals.await.expect("every issue is applied");
    let mut took: Vec<Duration> = started
        .into_iter()
        .zip(applied)
        .filter_map(|(start, end)| Some(end?.saturating_duration_since(start?)))
        .collect();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
    Latency {
        p50: at(0.5),
        p99: at(0.99),
        max: took[took.len() - 1],
        n_issues,
    }
}
