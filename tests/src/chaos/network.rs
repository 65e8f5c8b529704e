//! The lane of faults of Redis and the connections to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::chaos::programs::rest;
use crate::chaos::stage::Stage;
use crate::programs::Signal;
use crate::resp_proxy::{Fault, RespProxy};
use crate::rng::SeededRng;

/// The calls of a worker.
const WORKER_CALLS: [&str; 10] = [
    "claim_issue",
    "settle_issue",
    "release_issue",
    "beat_worker",
    "promote_issue",
    "reap_issue",
    "return_element",
    "audit_queue",
    "BRPOPLPUSH",
    "RPOPLPUSH",
];
/// The calls of an intake.
const INTAKE_CALLS: [&str; 6] = [
    "submit_issue",
    "cancel_issue",
    "put_blueprint",
    "set_channel",
    "delete_channel",
    "archive_blueprint",
];

/// Starts and ends faults until it is stopped. When it returns, Redis runs and is a master.
pub(super) async fn lane(stage: Arc<Stage>, seed: u64, stopped: watch::Receiver<bool>) {
    let mut rng = SeededRng::part(seed, 2);
    while !*stopped.borrow() {
        let proxy = if rng.one_in(3) {
            &stage.intake_proxy
        } else {
            &stage.worker_proxy
        };
        let a_while = Duration::from_millis(rng.roll(1_500) as u64);
        let happened = match rng.roll(14) {
            // Counted when the fault fires.
            0..=5 => {
                order(&stage, &mut rng);
                ""
            }
            6 => {
                // Some holds last longer than a lease.
                hold(proxy, a_while * 3).await;
                "network: partition"
            }
            7 => {
                proxy.drop_all();
                "network: all connections closed"
            }
            8 => {
                proxy.refuse(true);
                proxy.drop_all();
                tokio::time::sleep(a_while).await;
                proxy.refuse(false);
                "network: connections refused"
            }
            9 => {
                stage.kill_redis(a_while / 2);
                "redis: SIGKILL and restart"
            }
            10 => {
                stage.restart_redis();
                "redis: SIGTERM and restart"
            }
            11 => {
                stage.signal_redis(Signal::Stop);
                tokio::time::sleep(a_while * 3).await;
                stage.signal_redis(Signal::Continue);
                "redis: SIGSTOP"
            }
            12 => {
                for _ in 0..20 {
                    run(&stage, &["SCRIPT", "FLUSH"]).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                "redis: SCRIPT FLUSH in a loop"
            }
            _ if rng.one_in(2) => {
                run(&stage, &["CLIENT", "KILL", "TYPE", "normal"]).await;
                "redis: CLIENT KILL"
            }
            _ => {
                // No server listens on port 1: Redis stays a replica without a master, and
                // read-only.
                run(&stage, &["REPLICAOF", "127.0.0.1", "1"]).await;
                tokio::time::sleep(a_while).await;
                run(&stage, &["REPLICAOF", "NO", "ONE"]).await;
                "redis: read-only"
            }
        };
        if !happened.is_empty() {
            stage.tally.fault_happened(happened);
        }
        rest(&mut rng, &stopped).await;
    }
}

/// Schedules a fault for one of the next calls of a random name.
fn order(stage: &Stage, rng: &mut SeededRng) {
    let (proxy, name) = if rng.one_in(3) {
        (&stage.intake_proxy, rng.pick(&INTAKE_CALLS))
    } else {
        (&stage.worker_proxy, rng.pick(&WORKER_CALLS))
    };
    let faults = [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::CutAfter,
        Fault::SilenceAfter,
        Fault::Double,
    ];
    let (Some(name), Some(fault)) = (name, rng.pick(&faults)) else {
        return;
    };
    proxy.order(fault, name, 1 + rng.roll(5) as u64);
}

async fn hold(proxy: &RespProxy, duration: Duration) {
    proxy.stall(true);
    tokio::time::sleep(duration).await;
    proxy.stall(false);
}

/// Runs a command on Redis, which only this lane stops. On a busy machine the answer may be
/// delayed.
async fn run(stage: &Stage, words: &[&str]) {
    // CLIENT KILL also closes the connection of the caller before it receives an answer.
    while stage.command(words).await.is_err() && words[0] != "CLIENT" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
