//! Measures many watchers of one Blueprint: how late the last one is told of a move, what idle ones
//! cost submissions and Redis, and the memory of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proto::v1;
use proto::v1::watch_blueprints_response::Event;
use tests::client::Client;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::cost::resident;
use crate::fixture::{Fixture, STREAMS_PER_CONNECTION, Scale, Spread};
use crate::memory::submits_per_sec;

/// Watches that are opened at once.
const OPENED_AT_ONCE: usize = 64;
/// Pause between two moves.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before something is measured, in which the work of the phase before ends.
const SETTLE: Duration = Duration::from_secs(2);
const WATCHED: &str = "bench-watched";

/// The measurements of one number of watchers.
pub(crate) struct HeadWatched {
    /// The number of watchers.
    pub(crate) n_watchers: usize,
    /// The number of moves.
    pub(crate) n_moves: usize,
    /// Times from the beginning of the call that moves the head until the last watcher is told: the
    /// median, the 99th percentile, and the longest.
    pub(crate) told: [Duration; 3],
    /// Answered submissions a second, without and with idle watchers. The first is the mean of a
    /// phase before and a phase after the watchers, so that a slower machine does not count.
    pub(crate) submits_per_sec: [f64; 2],
    /// Calls of Redis a second without other work, without and with idle watchers.
    pub(crate) idle_calls_per_sec: [f64; 2],
    /// Subscriptions of Redis with idle watchers.
    pub(crate) n_subscriptions: usize,
    /// Growth of intake's resident memory, by watcher.
    pub(crate) bytes_per_watcher: u64,
}

/// The watchers that have the awaited commit.
#[derive(Default)]
struct Told {
    seq: AtomicU64,
    count: AtomicUsize,
    all: Notify,
}

/// Measures `n_watchers` watchers for `time` in each phase.
pub(crate) async fn measure(n_watchers: usize, time: Duration) -> HeadWatched {
    let room = (n_watchers + 100).to_string();
    let mut fixture = Fixture::bare(&[("DRAFTSMAN_MAX_WATCHES", &room)]).await;
    for n in 0..Spread::Many.count() {
        fixture.add(&format!("bench-{n}"), Scale::TwoKb).await;
    }
    fixture.client.put(tests::factory::two_kb(WATCHED)).await;
    // The first phase also allocates what submissions need.
    submits_per_sec(&fixture, time).await;
    let first = submits_per_sec(&fixture, time).await;
    let idle_without = idle_calls_per_sec(&fixture, time).await;

    let before = memory_of_intake(&fixture);
    let told = Arc::new(Told::default());
    let watching = watch(&mut fixture, n_watchers, &told).await;
    let grown = memory_of_intake(&fixture).saturating_sub(before);
    let with = submits_per_sec(&fixture, time).await;
    let idle_with = idle_calls_per_sec(&fixture, time).await;
    let n_subscriptions = n_subscriptions(&fixture).await;

    let mut times = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        times.push(move_head(&fixture, n_watchers, &told).await);
        tokio::time::sleep(PAUSE).await;
    }
    drop(watching);
    tokio::time::sleep(SETTLE).await;
    let last = submits_per_sec(&fixture, time).await;
    times.sort_unstable();
    let percentile = |p: usize| times[(times.len() * p / 100).min(times.len() - 1)];
    HeadWatched {
        n_watchers,
        n_moves: times.len(),
        told: [percentile(50), percentile(99), percentile(100)],
        submits_per_sec: [f64::midpoint(first, last), with],
        idle_calls_per_sec: [idle_without, idle_with],
        n_subscriptions,
        bytes_per_watcher: grown / n_watchers.max(1) as u64,
    }
}

fn memory_of_intake(fixture: &Fixture) -> u64 {
    let all = resident(fixture);
    let intake = all.iter().find(|(name, _)| *name == "intake");
    intake.map_or(0, |(_, bytes)| *bytes)
}

/// The calls that Redis receives in a second without other work: one for each read of a connection,
/// so that a pipeline is one.
async fn idle_calls_per_sec(fixture: &Fixture, time: Duration) -> f64 {
    tokio::time::sleep(SETTLE).await;
    let mut redis = fixture.redis.connection().await;
    let before = reads_of_redis(&mut redis).await;
    tokio::time::sleep(time).await;
    // The second INFO counts itself.
    let calls = reads_of_redis(&mut redis).await - before - 1;
    calls as f64 / time.as_secs_f64()
}

async fn reads_of_redis(redis: &mut redis::aio::MultiplexedConnection) -> u64 {
    let info = redis::cmd("INFO").arg("stats").query_async(redis).await;
    let info: String = info.expect("INFO stats");
    let mut lines = info.lines();
    let reads = lines.find_map(|line| line.strip_prefix("total_reads_processed:"));
    let reads = reads.and_then(|text| text.trim().parse().ok());
    reads.expect("total_reads_processed in INFO stats")
}

/// The number of connections of Redis that have subscribed to something.
async fn n_subscriptions(fixture: &Fixture) -> usize {
    let mut redis = fixture.redis.connection().await;
    let mut list = redis::cmd("CLIENT");
    list.arg(&["LIST", "TYPE", "pubsub"]);
    let clients: String = list.query_async(&mut redis).await.expect("CLIENT LIST");
    clients.lines().count()
}

/// Moves the head. Returns the time until the last watcher was told.
async fn move_head(fixture: &Fixture, n_watchers: usize, told: &Told) -> Duration {
    let seq = told.seq.load(Ordering::SeqCst) + 1;
    told.count.store(0, Ordering::SeqCst);
    told.seq.store(seq, Ordering::SeqCst);
    let (was, now) = (
        format!("sample {WATCHED}\n"),
        format!("sample {WATCHED} {seq}\n"),
    );
    let document = tests::factory::two_kb(WATCHED).replacen(&was, &now, 1);
    let start = Instant::now();
    let commit = fixture.client.put(document).await;
    assert_eq!(commit.seq, seq, "each move is a commit");
    if n_watchers > 0 {
        told.all.notified().await;
    }
    start.elapsed()
}

/// Opens the watches, over connections of their own, and waits until each has the present state.
async fn watch(fixture: &mut Fixture, n_watchers: usize, told: &Arc<Told>) -> JoinSet<()> {
    told.seq.store(1, Ordering::SeqCst);
    told.count.store(0, Ordering::SeqCst);
    let address = fixture.intake.address().await;
    let mut watching = JoinSet::new();
    let (mut client, mut opened) = (Client::connect(&address).await, 0);
    while opened < n_watchers {
        if opened % STREAMS_PER_CONNECTION == 0 {
            client = Client::connect(&address).await;
        }
        let more = OPENED_AT_ONCE.min(n_watchers - opened);
        let more = more.min(STREAMS_PER_CONNECTION - opened % STREAMS_PER_CONNECTION);
        let mut opening = JoinSet::new();
        for _ in 0..more {
            let mut blueprints = client.blueprints.clone();
            let request = tests::blueprint_watcher::request([WATCHED]);
            opening.spawn(async move { blueprints.watch_blueprints(request).await });
        }
        for stream in opening.join_all().await {
            let stream = stream.expect("WatchBlueprints").into_inner();
            watching.spawn(receive(stream, n_watchers, Arc::clone(told)));
        }
        opened += more;
    }
    if n_watchers > 0 {
        told.all.notified().await;
    }
    watching
}

/// Counts the watcher each time it is told of the awaited commit.
async fn receive(
    mut stream: tonic::Streaming<v1::WatchBlueprintsResponse>,
    n_watchers: usize,
    told: Arc<Told>,
) {
    while let Ok(Some(message)) = stream.message().await {
        let Some(Event::Update(update)) = message.event else {
            continue;
        };
        let seq = update.commit.map_or(0, |commit| commit.seq);
        if seq == told.seq.load(Ordering::SeqCst)
            && told.count.fetch_add(1, Ordering::SeqCst) + 1 == n_watchers
        {
            told.all.notify_one();
        }
    }
}
