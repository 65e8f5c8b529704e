//! The chaos rig: runs real programs under load while faults are injected, ends all faults, and
//! runs the checker.
//!
//! A private Redis, two intakes, several workers, and a proxy between each kind of program and
//! Redis. Submitters, cancellers, operators and watchers work on all Blueprints, one of them hot.
//! Channels move at random, and watchers of Blueprints follow heads and channels.
//! Two *lanes* inject faults at the same time: one into the programs, one into Redis and the
//! network. Each lane has its own random number generator, so that the same seed gives the same
//! faults in the same order. Then all faults end, the queues drain, and the result is checked
//! against the rules of [`crate::checker`].
//!
//! | file | role |
//! |---|---|
//! | `stage.rs` | the processes, and the operations on them |
//! | `programs.rs` | the lane of faults of workers and intakes |
//! | `network.rs` | the lane of faults of Redis and the connections to it |
//! | `load.rs` | submitters, cancellers, operators and watchers of issues |
//! | `reviewers.rs` | issues that need a review, and their reviewer |
//! | `movers.rs` | moves of channels, and Blueprints that are archived |
//! | `followers.rs` | watchers of Blueprints |
//! | `addresses.rs` | the addresses of the intakes |
//! | `report.rs` | the table at the end |

mod addresses;
mod followers;
mod load;
mod movers;
mod network;
mod programs;
mod report;
mod reviewers;
mod stage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::v1::RejectionCause;
use shared::store::Store;
use tokio::sync::watch;

use crate::chaos::followers::Followers;
use crate::chaos::load::Load;
use crate::chaos::stage::Stage;
use crate::checker::{Attempts, Snapshot, violations};
use crate::redis_server::Aof;

pub use self::report::{Report, Tally};

/// Options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed of all random choices.
    pub seed: u64,
    /// The duration of load and faults, without recovery and checks.
    pub duration: Duration,
    /// How Redis writes its append-only file.
    pub aof: Aof,
    /// Whether faults are injected. If false, the same load runs without faults.
    pub faults: bool,
    /// The number of watchers of Blueprints.
    pub watchers: usize,
}

/// The time limit for draining the queues after all faults have ended. The longest back-off is a
/// minute.
const DRAIN: Duration = Duration::from_secs(240);

/// Runs the rig and returns a report. Prints nothing.
///
/// # Panics
/// If the rig itself cannot be started or read.
pub async fn run(options: &Options) -> Report {
    let started = Instant::now();
    let tally = Arc::new(Tally::default());
    let stage = Arc::new(Stage::start(options.aof, options.faults, Arc::clone(&tally)).await);
    let (stop, stopped) = watch::channel(false);
    let auditing = tokio::spawn(audit(stage.redis_url(), stopped.clone()));
    let loading = Load::prepare(Arc::clone(&stage), options.seed)
        .await
        .start(&stopped);
    let followers = Followers::start(&stage.addresses, &tally, options.seed, options.watchers);
    let mut lanes = tokio::task::JoinSet::new();
    if options.faults {
        lanes.spawn(programs::lane(
            Arc::clone(&stage),
            options.seed,
            stopped.clone(),
        ));
        lanes.spawn(network::lane(
            Arc::clone(&stage),
            options.seed,
            stopped.clone(),
        ));
    }
    tokio::time::sleep(options.duration).await;
    stop.send_replace(true);
    // Each lane ends the fault that it started.
    while let Some(lane) = lanes.join_next().await {
        lane.expect("a lane of faults does not panic");
    }
    stage.heal().await;
    let loaded = match tokio::time::timeout(DRAIN, loading.finish()).await {
        Ok(loaded) => loaded,
        Err(_) => return Report::stuck(options, started.elapsed(), &tally),
    };
    let repaired = auditing.await.expect("the auditor does not panic");
    // The watchers use the other intakes until they have ended.
    let (rig, _others, proxies) = Arc::into_inner(stage)
        .expect("everybody who used the stage has ended")
        .into_rig()
        .await;
    for proxy in &proxies {
        for ((fault, name), count) in proxy.fired() {
            tally.faults_happened(format!("{fault:?} {name}"), count);
        }
    }
    let mut found = loaded.problems;
    found.extend(repaired);
    if let Err(left) = drained(&rig).await {
        found.push(format!("the queues do not drain: {left}"));
    }
    let mut snapshot = Snapshot::read(&rig, &loaded.acknowledged).await;
    snapshot.watched = loaded.watched;
    snapshot.reviewed = loaded.reviewed;
    snapshot.moved = loaded.moved;
    let (problems, told_after) = followers.finish(&mut snapshot).await;
    found.extend(problems);
    let attempts = if options.faults {
        Attempts::UpTo(stage::MAX_ATTEMPTS + stage::MAX_RETRIES)
    } else {
        Attempts::One
    };
    found.extend(
        violations(&snapshot, attempts)
            .iter()
            .map(ToString::to_string),
    );
    found.extend(unexpected_failures(&snapshot));
    let mut counted = Vec::new();
    for name in ["reaped", "repaired", "retries"] {
        let count = rig.counted(name).await;
        // No fault here makes Redis lose acknowledged data, so a repaired record shows a bug.
        if count > 0 && (!options.faults || name == "repaired") {
            found.push(format!("nothing went wrong, and {name} is {count}"));
        }
        counted.push((name, count));
    }
    let told_ms = u64::try_from(told_after.as_millis()).unwrap_or(u64::MAX);
    counted.push(("ms until the last watcher was told", told_ms));
    // Programs that were built without the fail-point feature ignore half of the faults.
    let faults = tally.faults();
    let armed = faults.get(programs::ARMED).copied().unwrap_or(0);
    // On a busy machine workers may be replaced before they pass their places often enough.
    let passes = snapshot.entries.len() as u64;
    if armed >= 10 && passes >= 20 * armed && !faults.contains_key(programs::DIED) {
        found.push(format!(
            "{armed} workers were armed and none died: have they no fail points?"
        ));
    }
    if !options.faults {
        found.extend(
            tally
                .faults()
                .keys()
                .map(|kind| format!("nobody asked for {kind}")),
        );
    }
    Report::new(
        options,
        started.elapsed(),
        &tally,
        &snapshot,
        counted,
        found,
    )
}

/// Audits the queues continuously, as a worker does once a minute, and returns the repairs.
async fn audit(url: String, stopped: watch::Receiver<bool>) -> Vec<String> {
    let store = Store::open(&url, 1).expect("a URL of Redis");
    let mut repaired = Vec::new();
    while !*stopped.borrow() {
        // Redis may be unavailable at this moment.
        if let Ok(found) = store.home().audit_queues().await {
            repaired.extend(
                found
                    .into_iter()
                    .map(|r| format!("a sound queue was repaired: {r:?}")),
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    repaired
}

/// Issues that failed for a reason that no injected fault causes.
fn unexpected_failures(snapshot: &Snapshot) -> Vec<String> {
    let failed = snapshot.issues.values().filter(|issue| {
        issue.cause() == RejectionCause::Failed
            && !issue.reason.starts_with("dispatch failed after ")
            && !issue.reason.contains("times during the run")
    });
    failed
        .map(|issue| format!("issue {} failed: {}", issue.issue_id, issue.reason))
        .collect()
}

/// Waits until no issue is queued, leased or left in a list.
async fn drained(rig: &crate::rig::Rig) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let left = Snapshot::left(rig).await;
        let left: Vec<String> = left
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name} is {count}"))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if started.elapsed() > DRAIN {
            return Err(left.join(", "));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
