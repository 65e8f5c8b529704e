//! The chaos rig: real programs under load while everything around them goes wrong, then peace, then
//! the checker.
//!
//! A private Redis, two intakes, several workers, and a proxy on either side of Redis. Submitters,
//! cancellers, operators and watchers work on all Blueprints, one of them hot. Two *lanes* of faults
//! run beside them, one for the programs and one for Redis and the network, each choosing by its own
//! dice: the same seed gives the same faults in the same order. Then everything is healed, the queues
//! drain, and what is left is held against the rules of [`crate::checker`].
//!
//! | file | role |
//! |---|---|
//! | `stage.rs` | the processes, and what can be done to them |
//! | `programs.rs` | the lane of faults of workers and intakes |
//! | `network.rs` | the lane of faults of Redis and the connections to it |
//! | `load.rs` | who submits, calls off, writes by hand and watches |
//! | `report.rs` | the table at the end |

mod load;
mod network;
mod programs;
mod report;
mod stage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::v1::RejectionCause;
use shared::store::Store;
use tokio::sync::watch;

use crate::chaos::load::Load;
use crate::chaos::stage::Stage;
use crate::checker::{Attempts, Snapshot, violations};
use crate::redis_server::Aof;

pub use self::report::{Report, Tally};

/// What a run is to be like.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decides every choice.
    pub seed: u64,
    /// How long load and faults go on; healing and checking come after.
    pub duration: Duration,
    /// How Redis writes its file.
    pub aof: Aof,
    /// False: the same load, and nothing goes wrong.
    pub faults: bool,
}

/// How long the queues may take to drain once everything is healed: the longest back-off is a minute.
const DRAIN: Duration = Duration::from_secs(240);

/// Runs it and returns what was found. Prints nothing.
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
    // Each lane ends the fault that it has begun.
    while let Some(lane) = lanes.join_next().await {
        lane.expect("a lane of faults does not panic");
    }
    stage.heal().await;
    let loaded = match tokio::time::timeout(DRAIN, loading.finish()).await {
        Ok(loaded) => loaded,
        Err(_) => return Report::stuck(options, started.elapsed(), &tally),
    };
    let repaired = auditing.await.expect("the auditor does not panic");
    let (rig, proxies) = Arc::into_inner(stage)
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
        // No fault here makes Redis lose what it acknowledged, so what had to be repaired was broken by us.
        if count > 0 && (!options.faults || name == "repaired") {
            found.push(format!("nothing went wrong, and {name} is {count}"));
        }
        counted.push((name, count));
    }
    // The rig is blind to half of the faults with programs that were built without their feature.
    let faults = tally.faults();
    let armed = faults.get(programs::ARMED).copied().unwrap_or(0);
    if armed >= 10 && !faults.contains_key(programs::DIED) {
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

/// Audits the queues all the time, as a worker does each minute, and says what it had to repair.
async fn audit(url: String, stopped: watch::Receiver<bool>) -> Vec<String> {
    let store = Store::open(&url, 1).expect("a URL of Redis");
    let mut repaired = Vec::new();
    while !*stopped.borrow() {
        // Redis may be away just now.
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

/// Issues that failed for a reason that no fault here gives.
fn unexpected_failures(snapshot: &Snapshot) -> Vec<String> {
    let failed = snapshot.issues.values().filter(|issue| {
        issue.cause() == RejectionCause::Failed
            && !issue.reason.starts_with("dispatch failed after ")
            && !issue.reason.contains("times while the issue was worked on")
    });
    failed
        .map(|issue| format!("issue {} failed: {}", issue.issue_id, issue.reason))
        .collect()
}

/// Waits until nothing is queued, held or left in a list.
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
