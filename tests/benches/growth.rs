//! What should not grow: the cost of an issue with the backlog, with the length of the history, with the number of
//! watchers; and the memory of each process with the number of issues that it has seen.

use std::time::Duration;

use proto::v1;
use shared::store::Store;
use tokio::task::JoinSet;

use crate::cost::{Cost, resident};
use crate::fixture::{Fixture, Scale, Spread};
use crate::history;
use crate::throughput::{Applied, Load};

/// How far the figures go: as a release is judged by, or a quick look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// How long each figure is measured.
    pub(crate) time: Duration,
    /// The two backlogs.
    pub(crate) waiting: [usize; 2],
    /// The two lengths of a history.
    pub(crate) commits: [u64; 2],
    /// How many issues the processes' memory is followed over.
    pub(crate) seen: usize,
    /// How many watchers there are besides none.
    pub(crate) watchers: usize,
}

/// The figures at two sizes of something.
pub(crate) struct Grown {
    /// The sizes and what was measured there.
    pub(crate) at: Vec<(u64, Applied)>,
}

/// Applied issues a second while so many wait.
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

/// Applied issues a second of one Blueprint with so many commits.
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

/// Resident memory of each kind of process after so many applied issues.
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

/// What so many idle watchers cost: the cores that Redis and intake keep busy with nothing else to do, and what is
/// left of the throughput.
pub(crate) struct Watched {
    /// How many there are.
    pub(crate) n_watchers: u64,
    /// Cores while nothing happens, by process.
    pub(crate) idle_cores: Vec<(&'static str, f64)>,
    /// Under load.
    pub(crate) applied: Applied,
}

/// Without watchers, and with many, each of an issue of its own that waits.
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
        // What their coming has set off is over when nobody is woken any more.
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

/// Watches so many issues of a Blueprint that is paused. They are watched until the result is dropped.
async fn watch(fixture: &mut Fixture, n_watchers: usize) -> JoinSet<()> {
    let mut watching = JoinSet::new();
    let watched = "bench-watched";
    fixture.client.put(tests::factory::two_kb(watched)).await;
    let request = v1::PauseQueueRequest {
        blueprint_id: Some(watched.to_owned()),
    };
    let mut intake = fixture.client.intake.clone();
    intake.pause_queue(request).await.expect("PauseQueue");
    for n in 0..n_watchers {
        let issue = fixture.client.submit(watched, format!("tag t{n}")).await;
        let request = v1::WatchIssueRequest {
            issue_id: issue.issue_id,
            ..Default::default()
        };
        let stream = intake.watch_issue(request).await.expect("WatchIssue");
        let mut stream = stream.into_inner();
        watching.spawn(async move {
            // It waits until it is dropped.
            while let Ok(Some(_)) = stream.message().await {}
        });
    }
    watching
}
