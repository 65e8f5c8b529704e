//! Measures costs that must not grow.
//!
//! The cost of an issue must not depend on the backlog, the length of the history or the number of
//! watchers. The memory of each process must not depend on the number of issues.

use std::time::Duration;

use proto::v1;
use shared::store::Store;
use tests::client::Client;
use tokio::task::JoinSet;

use crate::cost::{Cost, resident};
use crate::fixture::{Fixture, STREAMS_PER_CONNECTION, Scale, Spread};
use crate::history;
use crate::throughput::{Applied, Load};

/// The extent of the measurements: complete, as for a release, or short.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// The duration of each measurement.
    pub(crate) time: Duration,
    /// The two backlogs.
    pub(crate) waiting: [usize; 2],
    /// The two lengths of a history.
    pub(crate) commits: [u64; 2],
    /// The number of issues over which memory is measured.
    pub(crate) seen: usize,
    /// The number of watchers, which is compared with none.
    pub(crate) watchers: usize,
}

/// Measurements at two sizes.
pub(crate) struct Grown {
    /// Each size with its measurement.
    pub(crate) at: Vec<(u64, Applied)>,
}

/// Measures applied issues a second, at each size of the backlog.
pub(crate) async fn backlog(extent: Extent) -> Grown {
    let mut at = Vec::new();
    for n_waiting in extent.waiting {
        let mut fixture = Fixture::start(Scale::TwoKb, Spread::Many).await;
        fixture.start_workers(1).await;
        let mut intake = fixture.client.intake.clone();
        let all = v1::PauseQueueRequest::default();
        intake.pause_queue(all).await.expect("PauseQueue");
        let mut load = Load::begin(&fixture, n_waiting).await;
        load.until_submitted(n_waiting).await;
        let all = v1::ResumeQueueRequest::default();
        intake.resume_queue(all).await.expect("ResumeQueue");
        load.until_applied(256.min(n_waiting)).await;
        let applied = load.count(&fixture, extent.time).await;
        load.end().await;
        at.push((n_waiting as u64, applied));
    }
    Grown { at }
}

/// Measures applied issues a second for one Blueprint, at each length of its history.
pub(crate) async fn commits(extent: Extent) -> Grown {
    let mut at = Vec::new();
    for length in extent.commits {
        let mut fixture = Fixture::bare(&[]).await;
        let store = Store::open(&fixture.redis.url(), 1).expect("a URL");
        history::grow(&store, "bench-0", length, u64::MAX).await;
        fixture.blueprint_ids.push("bench-0".to_owned());
        fixture.start_workers(1).await;
        let mut load = Load::begin(&fixture, 64).await;
        load.until_applied(64).await;
        let applied = load.count(&fixture, extent.time).await;
        load.end().await;
        at.push((length, applied));
    }
    Grown { at }
}

/// Measures resident memory of each kind of process, at each number of applied issues.
pub(crate) async fn memory(extent: Extent) -> Vec<(u64, Vec<(&'static str, u64)>)> {
    let mut fixture = Fixture::start(Scale::TwoKb, Spread::Many).await;
    fixture.start_workers(1).await;
    let load = Load::begin(&fixture, 256).await;
    let mut at = Vec::new();
    for n_issues in [extent.seen / 10, extent.seen / 2, extent.seen] {
        load.until_applied(n_issues).await;
        at.push((n_issues as u64, resident(&fixture)));
    }
    load.end().await;
    at
}

/// The cost of idle watchers: the cores that Redis and intake use without other work, and the
/// remaining throughput.
pub(crate) struct Watched {
    /// The number of watchers.
    pub(crate) n_watchers: u64,
    /// Cores in use without load, by process.
    pub(crate) idle_cores: Vec<(&'static str, f64)>,
    /// Throughput under load.
    pub(crate) applied: Applied,
}

/// Measures without watchers and with many, each of which watches its own waiting issue.
pub(crate) async fn watchers(extent: Extent) -> Vec<Watched> {
    let mut at = Vec::new();
    for n_watchers in [0, extent.watchers] {
        let room = (n_watchers + 100).to_string();
        let mut fixture = Fixture::bare(&[("DRAFTSMAN_MAX_WATCHES", &room)]).await;
        for n in 0..Spread::Many.count() {
            fixture.add(&format!("bench-{n}"), Scale::TwoKb).await;
        }
        fixture.start_workers(1).await;
        let watching = watch(&mut fixture, n_watchers).await;
        // The work that new watchers cause ends within this time.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = Cost::read(&fixture);
        tokio::time::sleep(extent.time).await;
        let idle_cores = Cost::read(&fixture).cores_since(&before, extent.time);
        let mut load = Load::begin(&fixture, 256).await;
        load.until_applied(256).await;
        let applied = load.count(&fixture, extent.time).await;
        load.end().await;
        drop(watching);
        at.push(Watched {
            n_watchers: n_watchers as u64,
            idle_cores,
            applied,
        });
    }
    at
}

/// Watches `n_watchers` issues of a paused Blueprint until the caller drops the result.
async fn watch(fixture: &mut Fixture, n_watchers: usize) -> JoinSet<()> {
    let mut watching = JoinSet::new();
    let watched = "bench-watched";
    fixture.client.put(tests::factory::two_kb(watched)).await;
    let request = v1::PauseQueueRequest {
        blueprint_id: Some(watched.to_owned()),
    };
    let mut intake = fixture.client.intake.clone();
    intake.pause_queue(request).await.expect("PauseQueue");
    let address = fixture.intake.address().await;
    for n in 0..n_watchers {
        if n > 0 && n % STREAMS_PER_CONNECTION == 0 {
            intake = Client::connect(&address).await.intake;
        }
        let issue = fixture.client.submit(watched, format!("tag t{n}")).await;
        let request = v1::WatchIssueRequest {
            issue_id: issue.issue_id,
            ..Default::default()
        };
        let stream = intake.watch_issue(request).await.expect("WatchIssue");
        let mut stream = stream.into_inner();
        watching.spawn(async move {
            // Runs until it is dropped.
            while let Ok(Some(_)) = stream.message().await {}
        });
    }
    watching
}
