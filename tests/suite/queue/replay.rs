//! Compares the real scripts with the model of the protocol, step by step.

use tests::model::mistakes::Mistake;
use tests::model::replay::{Replayed, replay};
use tests::model::scenarios;
use tests::store_fixture::Fixture;
use tokio::task::JoinSet;

/// The number of traces of each scenario: about 8,000 traces and 75,000 steps in total.
const N_TRACES: usize = 300;
const SEED: u64 = 7;
/// The number of servers, each with a part of the scenarios.
const N_SERVERS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scripts_do_what_the_model_does() {
    let mut servers = JoinSet::new();
    for server in 0..N_SERVERS {
        servers.spawn(async move {
            let fixture = Fixture::start().await;
            let (mut n_steps, mut wrong) = (0, Vec::new());
            for scenario in scenarios::all().into_iter().skip(server).step_by(N_SERVERS) {
                let (name, reaches) = (scenario.name, scenario.reaches);
                match replay(&fixture, scenario, None, N_TRACES, SEED).await {
                    Ok(Replayed { n_steps: n, seen }) => {
                        n_steps += n;
                        let missed = reaches.iter().filter(|outcome| !seen.contains(outcome));
                        wrong.extend(missed.map(|o| format!("{name} does not reach {o:?}")));
                    }
                    Err(difference) => wrong.push(difference),
                }
            }
            (n_steps, wrong)
        });
    }
    let (n_steps, wrong): (Vec<usize>, Vec<Vec<String>>) =
        servers.join_all().await.into_iter().unzip();
    println!("{} steps", n_steps.iter().sum::<usize>());
    let wrong = wrong.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Shows that a changed line of the model differs from its script.
#[tokio::test]
async fn a_change_of_the_model_is_noticed() {
    let fixture = Fixture::start().await;
    for mistake in [
        Mistake::DecideForgetsNext,
        Mistake::ReleaseKeepsAttempt,
        Mistake::BusyCountsRetry,
        Mistake::HandOverPlacesToo,
    ] {
        let scenario = mistake.scenario();
        let replayed = replay(&fixture, scenario, Some(mistake), N_TRACES, SEED).await;
        assert!(replayed.is_err(), "{mistake:?}: {replayed:?}");
    }
}
