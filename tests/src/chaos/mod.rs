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

use tokio::sync::watch;

use crate::checker::{Attempts, Snapshot, violations};
use crate::redis_server::Aof;
use load::Load;
pub use report::{Report, Tally};
use stage::Stage;

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
    let loaded = loading.finish().await;
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
    if let Err(left) = drained(&rig).await {
        found.push(format!("the queues do not drain: {left}"));
    }
    let mut snapshot = Snapshot::take(&rig, &loaded.acknowledged).await;
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
    let mut counted = Vec::new();
    for name in ["reaped", "repaired", "retries"] {
        let count = rig.counted(name).await;
        if !options.faults && count > 0 {
            found.push(format!("nothing went wrong, and {name} is {count}"));
        }
        counted.push((name, count));
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
