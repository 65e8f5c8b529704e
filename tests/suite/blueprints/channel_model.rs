//! Searches the scripts of channels in every order of calls, and compares the real ones with them.

use tests::model::channels::mistakes::Mistake;
use tests::model::channels::replay::replay;
use tests::model::channels::rules::Rule;
use tests::model::channels::{scenarios, search};
use tests::store_fixture::Fixture;

const N_TRACES: usize = 150;
const SEED: u64 = 11;

#[test]
fn channels_keep_every_rule_and_reach_every_outcome() {
    let mut wrong = Vec::new();
    for scenario in scenarios::all() {
        let (name, reaches) = (scenario.name, scenario.reaches);
        let found = search(scenario, None);
        println!("{name}: {} states", found.n_states);
        if !found.broken.is_empty() {
            wrong.push(format!("{name}: {:?} after {:#?}", found.broken, found.way));
        }
        let missed = reaches
            .iter()
            .filter(|outcome| !found.seen.contains(outcome));
        wrong.extend(missed.map(|outcome| format!("{name} does not reach {outcome:?}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_missing_check_is_caught_by_the_rules_that_name_it() {
    let mut wrong = Vec::new();
    for &mistake in Mistake::ALL {
        let found = search(mistake.scenario(), Some(mistake));
        if found.broken != mistake.caught_by() {
            wrong.push(format!(
                "{mistake:?}: {:?} after {:#?}",
                found.broken, found.way
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for rule in Rule::ALL {
        let mut mistakes = Mistake::ALL.iter();
        let is_known = mistakes.any(|mistake| mistake.caught_by().contains(rule));
        assert!(is_known, "{rule:?} is not known to catch anything");
    }
}

#[tokio::test]
async fn the_scripts_of_channels_do_what_the_model_does() {
    let fixture = Fixture::start().await;
    let (mut n_calls, mut wrong) = (0, Vec::new());
    for scenario in scenarios::all() {
        let (name, reaches) = (scenario.name, scenario.reaches);
        match replay(&fixture, scenario, None, N_TRACES, SEED).await {
            Ok(replayed) => {
                n_calls += replayed.n_calls;
                let missed = reaches.iter().filter(|o| !replayed.seen.contains(o));
                wrong.extend(missed.map(|o| format!("{name} does not reach {o:?}")));
            }
            Err(difference) => wrong.push(difference),
        }
    }
    println!("{n_calls} calls");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Shows that a changed line of the model differs from its script.
#[tokio::test]
async fn every_change_of_the_model_is_noticed() {
    let fixture = Fixture::start().await;
    for &mistake in Mistake::ALL {
        let scenario = mistake.scenario();
        let replayed = replay(&fixture, scenario, Some(mistake), N_TRACES, SEED).await;
        assert!(replayed.is_err(), "{mistake:?}: {replayed:?}");
    }
}
