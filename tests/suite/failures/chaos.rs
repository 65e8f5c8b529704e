//! A short run of the chaos rig (see `tests::chaos`), and one without faults. `make chaos
//! SECONDS=600` is the long one.

use std::time::Duration;

use tests::chaos::{Options, Report, run};
use tests::redis_server::Aof;

/// The default seed of the run with faults; `DRAFTSMAN_TEST_SEED` overrides it.
const SEED: u64 = 20_261;
/// The number of watchers of Blueprints; `make chaos` has 200.
const WATCHERS: usize = 40;

async fn run_for(seconds: u64, seed: u64, aof: Aof, faults: bool) -> Report {
    let options = Options {
        seed,
        duration: Duration::from_secs(seconds),
        aof,
        faults,
        watchers: WATCHERS,
    };
    let report = run(&options).await;
    assert!(report.violations.is_empty(), "{report}");
    assert!(
        report.outcomes.get("applied").is_some_and(|n| *n > 20),
        "{report}"
    );
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promise_holds_under_every_fault() {
    let seed = match std::env::var("DRAFTSMAN_TEST_SEED") {
        Ok(text) => text.parse().expect("DRAFTSMAN_TEST_SEED is a number"),
        Err(_) => SEED,
    };
    let report = run_for(25, seed, Aof::Always, true).await;
    assert!(report.faults.values().sum::<u64>() > 10, "{report}");
}

/// Every attempt is the first; nothing is reaped, repaired or retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nothing_goes_wrong_nothing_is_mended() {
    run_for(8, SEED, Aof::EverySecond, false).await;
}
