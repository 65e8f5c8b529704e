//! Measures many watchers of one Blueprint: how late the last one is told of a move, what idle ones
//! cost submissions, and the memory of each.

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
const WATCHED: &str = "bench-watched";

/// The measurements of one number of watchers.
pub(crate) struct HeadWatched {
    /// The number of watchers.
    pub(crate) n_watchers: usize,
    /// Times from the call that moves the head until the last watcher is told: the median and the
    /// 99th percentile.
    pub(crate) told: [Duration; 2],
    /// Answered submissions a second, without and with idle watchers.
    pub(crate) submits_per_sec: [f64; 2],
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
    let without = submits_per_sec(&fixture, time).await;

    let before = memory_of_intake(&fixture);
    let told = Arc::new(Told::default());
    let watching = watch(&mut fixture, n_watchers, &told).await;
    let grown = memory_of_intake(&fixture).saturating_sub(before);
    let with = submits_per_sec(&fixture, time).await;

    let mut times = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        times.push(move_head(&fixture, n_watchers, &told).await);
        tokio::time::sleep(PAUSE).await;
    }
    drop(watching);
    times.sort_unstable();
    let percentile = |p: usize| times[(times.len() * p / 100).min(times.len() - 1)];
    HeadWatched {
        n_watchers,
        told: [percentile(50), percentile(99)],
        submits_per_sec: [without, with],
        bytes_per_watcher: grown / n_watchers.max(1) as u64,
    }
}

fn memory_of_intake(fixture: &Fixture) -> u64 {
    let all = resident(fixture);
    let intake = all.iter().find(|(name, _)| *name == "intake");
    intake.map_or(0, |(_, bytes)| *bytes)
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

/// Opens the watches and waits until each has the present state.
async fn watch(fixture: &mut Fixture, n_watchers: usize, told: &Arc<Told>) -> JoinSet<()> {
    told.seq.store(1, Ordering::SeqCst);
    told.count.store(0, Ordering::SeqCst);
    let address = fixture.intake.address().await;
    let mut watching = JoinSet::new();
    let mut opened = 0;
    while opened < n_watchers {
        if opened % STREAMS_PER_CONNECTION == 0 {
            fixture.client = Client::connect(&address).await;
        }
        let more = OPENED_AT_ONCE.min(n_watchers - opened);
        let more = more.min(STREAMS_PER_CONNECTION - opened % STREAMS_PER_CONNECTION);
        let mut opening = JoinSet::new();
        for _ in 0..more {
            let mut blueprints = fixture.client.blueprints.clone();
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
