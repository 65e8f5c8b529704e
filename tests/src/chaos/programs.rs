//! The lane of faults of workers and intakes: SIGKILL, SIGSTOP, SIGTERM, death at a named fail
//! point, and temporary faults.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::chaos::stage::{LEASE, N_INTAKES, N_WORKERS, Stage};
use crate::programs::Signal;
use crate::rng::SeededRng;

/// The fault of a worker that is armed to die at a fail point.
pub(super) const ARMED: &str = "worker: armed to die at a place";
/// The fault of a worker that died at its fail point.
pub(super) const DIED: &str = "worker: died by itself";
/// The fail points at which a worker can die.
const WORKER_PLACES: [&str; 11] = [
    "register.after",
    "pop.after",
    "claim.after",
    "flow.after",
    "settle.after",
    "release.after",
    "promote.after",
    "beat.before",
    "beat.after",
    "reap.after",
    "sign_off.before",
];
/// The fail points at which an intake can die.
const INTAKE_PLACES: [&str; 3] = ["submit.after", "cancel.after", "put.after"];

/// Starts and ends faults until it is stopped. When it returns, no program is suspended.
pub(super) async fn lane(stage: Arc<Stage>, seed: u64, stopped: watch::Receiver<bool>) {
    let mut rng = SeededRng::part(seed, 1);
    while !*stopped.borrow() {
        let worker = rng.roll(N_WORKERS);
        let intake = rng.roll(N_INTAKES);
        let happened = match rng.roll(12) {
            0 | 1 => {
                stage.replace_worker(worker, "");
                "worker: SIGKILL"
            }
            2 => {
                let longer = LEASE + Duration::from_millis(rng.roll(3_000) as u64);
                freeze(&stage, worker, longer).await;
                "worker: SIGSTOP past its lease"
            }
            3 => {
                let shorter = Duration::from_millis(rng.roll(1_200) as u64);
                freeze(&stage, worker, shorter).await;
                "worker: SIGSTOP within its lease"
            }
            4 | 5 => {
                stage.restart_worker(worker).await;
                "worker: SIGTERM"
            }
            6..=8 => {
                let place = rng.pick(&WORKER_PLACES).unwrap_or_default();
                let passes = rng.roll(12);
                stage.replace_worker(worker, &format!("{place}={passes}*off->return(kill)"));
                ARMED
            }
            9 => {
                let (first, second) = (rng.roll(5), rng.roll(5));
                let faults =
                    format!("flow.fault={first}*off->2*return(busy)->{second}*off->3*return(away)");
                stage.replace_worker(worker, &faults);
                "worker: passing faults"
            }
            10 => {
                let signal = rng.one_in(2).then_some(Signal::Terminate);
                stage.replace_intake(intake, signal, "").await;
                if signal.is_some() {
                    "intake: SIGTERM"
                } else {
                    "intake: SIGKILL"
                }
            }
            _ => {
                let place = rng.pick(&INTAKE_PLACES).unwrap_or_default();
                let passes = rng.roll(8);
                let arms = format!("{place}={passes}*off->return(kill)");
                stage.replace_intake(intake, None, &arms).await;
                "intake: armed to die at a place"
            }
        };
        stage.tally.fault_happened(happened);
        rest(&mut rng, &stopped).await;
        stage
            .tally
            .faults_happened(DIED.to_owned(), stage.seat_the_missing());
        for n in 0..N_INTAKES {
            if stage.intake_died(n) {
                stage.replace_intake(n, None, "").await;
                stage.tally.fault_happened("intake: died by itself");
            }
        }
    }
}

async fn freeze(stage: &Stage, worker: usize, duration: Duration) {
    stage.signal_worker(worker, Signal::Stop);
    tokio::time::sleep(duration).await;
    stage.signal_worker(worker, Signal::Continue);
}

/// Lets the load continue for up to a second, or until the end of the run.
pub(super) async fn rest(rng: &mut SeededRng, stopped: &watch::Receiver<bool>) {
    let pause = Duration::from_millis(100 + rng.roll(900) as u64);
    let mut stopped = stopped.clone();
    // Ends early if the run stops. The sender outlives this task.
    let _ended = tokio::time::timeout(pause, stopped.wait_for(|stop| *stop)).await;
}
