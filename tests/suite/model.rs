//! The Redis protocol, searched in every order in which things can happen.

use tests::model::mistakes::Mistake;
use tests::model::rules::Rule;
use tests::model::{scenarios, search};

#[test]
fn the_protocol_keeps_every_rule_and_reaches_every_outcome() {
    let mut total = 0;
    let mut bad = Vec::new();
    for scenario in scenarios::all() {
        let begun = std::time::Instant::now();
        let (name, reaches) = (scenario.name, scenario.reaches);
        let found = search(scenario, None);
        println!(
            "{name}: {} states, {} steps deep, {:?}",
            found.n_states,
            found.depth,
            begun.elapsed()
        );
        if !found.broken.is_empty() {
            bad.push(format!("{name}: {:?} after {:#?}", found.broken, found.way));
        }
        for outcome in reaches.iter().filter(|o| !found.seen.contains(o)) {
            bad.push(format!("{name} does not reach {outcome:?}"));
        }
        total += found.n_states;
    }
    println!("{total} states");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn every_mistake_is_caught_by_the_rule_that_names_it() {
    let mut bad = Vec::new();
    for rule in Rule::ALL {
        if !(Mistake::ALL.iter()).any(|mistake| mistake.caught_by().contains(rule)) {
            bad.push(format!("{rule:?} catches nothing"));
        }
    }
    for &mistake in Mistake::ALL {
        let begun = std::time::Instant::now();
        let found = search(mistake.scenario(), Some(mistake));
        println!(
            "{mistake:?}: {:?} after {} steps, {} states, {:?}",
            found.broken,
            found.way.len(),
            found.n_states,
            begun.elapsed()
        );
        if found.broken != mistake.caught_by() {
            bad.push(format!(
                "{mistake:?}: {:?} after {:#?}",
                found.broken, found.way
            ));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
