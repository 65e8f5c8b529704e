//! How many issues are applied in a second while new ones keep coming, and what each costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use proto::v1;
use tests::events::ALL_CHANNEL;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cost::Cost;
use crate::stand::{Scale, Spread, Stand, intent};

/// What is known of issues under full load.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// Issues applied in a second.
    pub(crate) per_sec: f64,
    /// How many that were.
    pub(crate) n_issues: usize,
    /// CPU milliseconds for each, by process.
    pub(crate) cpu_millis: Vec<(&'static str, f64)>,
}

/// Keeps `outstanding` issues under way for `time`, after a while that is not counted.
pub(crate) async fn measure(
    scale: Scale,
    spread: Spread,
    outstanding: usize,
    time: Duration,
) -> Applied {
    let mut stand = Stand::start(scale, spread).await;
    stand.start_worker().await;
    let free = Arc::new(Semaphore::new(outstanding));
    let applied = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();

    let client = redis::Client::open(stand.redis.url()).expect("a valid URL");
    let mut pubsub = client
        .get_async_pubsub()
        .await
        .expect("a connection for a subscription");
    pubsub.subscribe(ALL_CHANNEL).await.expect("SUBSCRIBE");
    let mut events = pubsub.into_on_message();
    let (counted, released) = (applied.clone(), free.clone());
    tasks.spawn(async move {
        while let Some(message) = events.next().await {
            match text_field(message.get_payload_bytes(), "state") {
                Some(b"applied") => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    released.add_permits(1);
                }
                Some(b"rejected") => panic!("an issue of the load was rejected: {message:?}"),
                _ => {}
            }
        }
    });

    let next = Arc::new(AtomicUsize::new(0));
    for _ in 0..outstanding.min(64) {
        let mut intake = stand.client.intake.clone();
        let (next, blueprint_ids, free) = (next.clone(), stand.blueprint_ids.clone(), free.clone());
        tasks.spawn(async move {
            loop {
                let Ok(permit) = free.acquire().await else {
                    return;
                };
                permit.forget(); // The event gives it back.
                let n = next.fetch_add(1, Ordering::Relaxed);
                let request = v1::SubmitIssueRequest {
                    blueprint_id: blueprint_ids[n % blueprint_ids.len()].clone(),
                    intent: intent(n),
                    issue_id: None,
                };
                intake.submit_issue(request).await.expect("SubmitIssue");
            }
        });
    }

    tokio::time::sleep(time / 5).await;
    let (before, n_before, start) = (
        Cost::read(&stand),
        applied.load(Ordering::Relaxed),
        Instant::now(),
    );
    tokio::time::sleep(time).await;
    let n_issues = applied.load(Ordering::Relaxed) - n_before;
    let per_sec = n_issues as f64 / start.elapsed().as_secs_f64();
    let cpu_millis = Cost::read(&stand).per_issue_since(&before, n_issues);
    // A task that ended by itself panicked, and then the figures mean nothing.
    if let Some(ended) = tasks.try_join_next() {
        ended.expect("no task of the load ends by itself");
    }
    tasks.shutdown().await;
    Applied {
        per_sec,
        n_issues,
        cpu_millis,
    }
}

/// The text of the top-level field `name` of an event, found without reading all of it: this
/// program is to cost as little as it can. No field of an event that comes before `state` and
/// `issue_id` can hold a quote.
pub(crate) fn text_field<'a>(event: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let key = format!("\"{name}\":");
    let at = event
        .windows(key.len())
        .position(|window| window == key.as_bytes())?;
    let rest = event[at + key.len()..]
        .trim_ascii_start()
        .strip_prefix(b"\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    Some(&rest[..end])
}
