//! Watchers of Blueprints. Each opens a stream again whenever it ends, with what it has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use proto::v1;
use proto::v1::blueprint_service_client::BlueprintServiceClient;
use proto::v1::watch_blueprints_response::Event;
use shared::ids::Version;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::transport::Channel;

use crate::chaos::addresses::Addresses;
use crate::chaos::load::is_passing;
use crate::chaos::report::Tally;
use crate::checker::{Follower, Snapshot, behind};
use crate::rng::SeededRng;

/// The longest delay before a stream is opened again. Each is another one, so that the watchers do
/// not come at once, and leave the machine to the other load while intake is away.
const AGAIN_MS: usize = 5_000;
/// The number of watchers of one connection.
const WATCHERS_PER_CONNECTION: usize = 20;
/// The longest time until a watcher closes its stream by itself.
const OPEN_FOR_MS: usize = 40_000;
/// The time limit for the last news after all faults have ended.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// The watchers in progress.
pub(super) struct Followers {
    shared: Shared,
    /// Dropped tasks end.
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Shared {
    addresses: Addresses,
    tally: Arc<Tally>,
    followers: Arc<Vec<Mutex<Follower>>>,
    problems: Arc<Mutex<Vec<String>>>,
    /// The connections by the address of an intake and the number of their watchers' group.
    connections: Arc<Mutex<HashMap<(String, usize), Channel>>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("no holder of this lock panics")
}

/// What watcher `n` follows: one Blueprint or several, the heads or a channel.
fn follower(n: usize, rng: &mut SeededRng) -> Follower {
    let one = format!("bp-{}", rng.roll(10));
    let patterns: &[&str] = match n % 6 {
        0 => &["*"],
        1 => &[&one],
        2 => &["bp-*", &one],
        3 => &["live-?"],
        4 => &["live-0", "bp-?"],
        _ => &["*-1", "l*"],
    };
    Follower {
        patterns: patterns.iter().map(|text| (*text).to_owned()).collect(),
        channel: ["", "production", "staging"][rng.roll(3)].to_owned(),
        ..Default::default()
    }
}

impl Followers {
    /// Starts `count` watchers.
    pub(super) fn start(
        addresses: &Addresses,
        tally: &Arc<Tally>,
        seed: u64,
        count: usize,
    ) -> Self {
        let mut rng = SeededRng::part(seed, 6);
        let followers = (0..count).map(|n| Mutex::new(follower(n, &mut rng)));
        let shared = Shared {
            addresses: addresses.clone(),
            tally: Arc::clone(tally),
            followers: Arc::new(followers.collect()),
            problems: Arc::default(),
            connections: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        for n in 0..count {
            tasks.spawn(
                shared
                    .clone()
                    .follow(n, SeededRng::part(seed, 1_000 + n as u64)),
            );
        }
        Self {
            shared,
            _tasks: tasks,
        }
    }

    /// Waits until every watcher has the versions of a final snapshot, and ends them. Adds them to
    /// the snapshot. Returns unexpected answers, and how long the last watcher took.
    pub(super) async fn finish(self, snapshot: &mut Snapshot) -> (Vec<String>, Duration) {
        let began = Instant::now();
        loop {
            let followers = self.shared.followers.iter();
            snapshot.followers = followers.map(|follower| lock(follower).clone()).collect();
            if behind(snapshot).is_empty() || began.elapsed() > TOLD_WITHIN {
                let problems = std::mem::take(&mut *lock(&self.shared.problems));
                return (problems, began.elapsed());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Shared {
    fn problem(&self, problem: String) {
        lock(&self.problems).push(problem);
    }

    async fn follow(self, n: usize, mut rng: SeededRng) {
        loop {
            let open_for = Duration::from_millis(rng.roll(OPEN_FOR_MS) as u64);
            self.tally.loaded("streams of Blueprints opened");
            match timeout(open_for, self.stream(n, rng.roll(2))).await {
                Err(_) => {}
                Ok(Ok(())) => {
                    self.problem(format!("the stream of watcher {n} ended without an error"))
                }
                Ok(Err(status)) if is_passing(&status) => {
                    self.tally.loaded("streams of Blueprints broken");
                }
                Ok(Err(status)) => self.problem(format!("watcher {n} was answered {status}")),
            }
            sleep(Duration::from_millis(rng.roll(AGAIN_MS) as u64)).await;
        }
    }

    /// The connection of a watcher's group to the present process of an intake.
    fn connection(&self, n: usize, intake: usize) -> Channel {
        let key = (self.addresses.get(intake), n / WATCHERS_PER_CONNECTION);
        let mut connections = lock(&self.connections);
        let new = || self.addresses.watching_channel(intake);
        connections.entry(key).or_insert_with(new).clone()
    }

    async fn stream(&self, n: usize, intake: usize) -> Result<(), Status> {
        let request = {
            let follower = lock(&self.followers[n]);
            v1::WatchBlueprintsRequest {
                patterns: follower.patterns.clone(),
                channel: follower.channel.clone(),
                known_versions: follower.have.clone().into_iter().collect(),
                include_documents: n.is_multiple_of(4),
                consumer_id: format!("watcher-{n}"),
            }
        };
        let mut blueprints = BlueprintServiceClient::new(self.connection(n, intake));
        let mut stream = blueprints.watch_blueprints(request).await?.into_inner();
        let mut has_synced = false;
        while let Some(message) = stream.message().await? {
            let told = match message.event {
                Some(Event::Update(update)) => self.update(n, update),
                Some(Event::Removal(removal)) => self.remove(n, &removal.blueprint_id),
                Some(Event::Synced(_)) if !std::mem::replace(&mut has_synced, true) => Ok(()),
                Some(Event::Heartbeat(_)) => Ok(()),
                other => Err(format!("unexpected: {other:?}")),
            };
            if let Err(problem) = told {
                self.problem(format!("watcher {n}: {problem}"));
            }
        }
        Ok(())
    }

    fn update(&self, n: usize, update: v1::BlueprintUpdate) -> Result<(), String> {
        self.tally.loaded("versions told to watchers");
        let commit = update.commit.ok_or("an update has no commit")?;
        let (id, version) = (commit.blueprint_id, commit.version);
        let has_documents = n.is_multiple_of(4);
        if has_documents && Version::of(&update.document_yaml).as_str() != version {
            return Err(format!("the document of {id} is not version {version}"));
        }
        let is_news = {
            let mut follower = lock(&self.followers[n]);
            let before = follower.have.insert(id.clone(), version.clone());
            before.as_ref() != Some(&version)
        };
        if is_news {
            Ok(())
        } else {
            Err(format!(
                "it had version {version} of {id} and was told again"
            ))
        }
    }

    fn remove(&self, n: usize, id: &str) -> Result<(), String> {
        self.tally.loaded("removals told to watchers");
        let had = lock(&self.followers[n]).have.remove(id);
        had.map(drop)
            .ok_or_else(|| format!("it had no version of {id} and was told of a removal"))
    }
}
