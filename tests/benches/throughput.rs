//! Measures how many issues are applied a second under continuous load, and the cost of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use proto::v1;
use tests::events::ALL_CHANNEL;
use tests::eventually::eventually_now;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cost::Cost;
use crate::fixture::{Fixture, Scale, Spread, intent};

/// The number of concurrent submissions.
const N_SUBMITTERS: usize = 64;

/// Measurements of issues under full load.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// Applied issues a second.
    pub(crate) per_sec: f64,
    /// The number of applied issues.
    pub(crate) n_issues: usize,
    /// CPU milliseconds per issue, by process.
    pub(crate) cpu_millis: Vec<(&'static str, f64)>,
    /// Cores that each kind of process used.
    pub(crate) cores: Vec<(&'static str, f64)>,
}

/// Keeps `outstanding` issues undecided for `time`, after a warm-up that is not measured.
pub(crate) async fn measure(
    scale: Scale,
    spread: Spread,
    n_workers: usize,
    outstanding: usize,
    time: Duration,
) -> Applied {
    let mut fixture = Fixture::start(scale, spread).await;
    fixture.start_workers(n_workers).await;
    let mut load = Load::begin(&fixture, outstanding).await;
    tokio::time::sleep(time / 5).await;
    let applied = load.count(&fixture, time).await;
    load.end().await;
    applied
}

/// A load on a fixture: keeps the requested number of issues undecided until it is ended.
pub(crate) struct Load {
    submitted: Arc<AtomicUsize>,
    applied: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts the load. Each decided issue is replaced by a new one.
    pub(crate) async fn begin(fixture: &Fixture, outstanding: usize) -> Load {
        let free = Arc::new(Semaphore::new(outstanding));
        let applied = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();

        let client = redis::Client::open(fixture.redis.url()).expect("a valid URL");
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
        let submitted = Arc::new(AtomicUsize::new(0));
        for _ in 0..outstanding.min(N_SUBMITTERS) {
            let mut intake = fixture.client.intake.clone();
            let (next, submitted) = (next.clone(), submitted.clone());
            let (blueprint_ids, free) = (fixture.blueprint_ids.clone(), free.clone());
            tasks.spawn(async move {
                loop {
                    let Ok(permit) = free.acquire().await else {
                        return;
                    };
                    permit.forget(); // The event returns it.
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let request = v1::SubmitIssueRequest {
                        blueprint_id: blueprint_ids[n % blueprint_ids.len()].clone(),
                        intent: intent(n),
                        issue_id: None,
                        ..Default::default()
                    };
                    intake.submit_issue(request).await.expect("SubmitIssue");
                    submitted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Load {
            submitted,
            applied,
            tasks,
        }
    }

    /// Counts for `time`.
    ///
    /// # Panics
    /// If a task of the load has ended, because the results are then invalid.
    pub(crate) async fn count(&mut self, fixture: &Fixture, time: Duration) -> Applied {
        let (before, n_before, start) = (Cost::read(fixture), self.n_applied(), Instant::now());
        tokio::time::sleep(time).await;
        let (n_issues, elapsed) = (self.n_applied() - n_before, start.elapsed());
        let cost = Cost::read(fixture);
        if let Some(ended) = self.tasks.try_join_next() {
            ended.expect("no task of the load ends by itself");
        }
        Applied {
            per_sec: n_issues as f64 / elapsed.as_secs_f64(),
            n_issues,
            cpu_millis: cost.per_issue_since(&before, n_issues),
            cores: cost.cores_since(&before, elapsed),
        }
    }

    /// The number of applied issues so far.
    pub(crate) fn n_applied(&self) -> usize {
        self.applied.load(Ordering::Relaxed)
    }

    /// Waits until `count` issues are submitted.
    pub(crate) async fn until_submitted(&self, count: usize) {
        until("submitted", &self.submitted, count).await;
    }

    /// Waits until `count` issues are applied.
    pub(crate) async fn until_applied(&self, count: usize) {
        until("applied", &self.applied, count).await;
    }

    /// Ends the load. Undecided issues stay undecided.
    pub(crate) async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Waits until `counter` reaches `count`. Each step has the wait limit of a test.
async fn until(what: &str, counter: &AtomicUsize, count: usize) {
    loop {
        let now = counter.load(Ordering::Relaxed);
        if now >= count {
            return;
        }
        eventually_now(&format!("more issues are {what}"), || {
            let later = counter.load(Ordering::Relaxed);
            (later > now).then_some(()).ok_or_else(|| later.to_string())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The text of the top-level field `name` of an event, found without parsing the whole event, to
/// keep this program cheap. No field before `state` and `issue_id` can contain a quote.
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
