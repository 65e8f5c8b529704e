//! Searches the Redis protocol in every order of events in small worlds.

use std::time::Instant;

use tests::model::mistakes::Mistake;
use tests::model::rules::Rule;
use tests::model::{scenarios, search};

#[test]
fn the_protocol_keeps_every_rule_and_reaches_every_outcome() {
    let (mut n_states, mut wrong) = (0, Vec::new());
    for scenario in scenarios::all() {
        let (name, reaches, begun) = (scenario.name, scenario.reaches, Instant::now());
        let found = search(scenario, None);
        println!(
            "{name}: {} states, up to {} steps, {:?}",
            found.n_states,
            found.depth,
            begun.elapsed()
        );
        if !found.broken.is_empty() {
            wrong.push(format!("{name}: {:?} after {:#?}", found.broken, found.way));
        }
        let missed = reaches.iter().filter(|o| !found.seen.contains(o));
        wrong.extend(missed.map(|outcome| format!("{name} does not reach {outcome:?}")));
        n_states += found.n_states;
    }
    println!("{n_states} states");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mistake_is_caught_by_the_rules_that_name_it() {
    let mut wrong = Vec::new();
    for &mistake in Mistake::ALL {
        let found = search(mistake.scenario(), Some(mistake));
        println!(
            "{mistake:?}: {:?} after {} steps, {} states",
            found.broken,
            found.way.len(),
            found.n_states
        );
        if found.broken != mistake.caught_by() {
            wrong.push(format!(
                "{mistake:?}: {:?} after {:#?}",
                found.broken, found.way
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_catches_a_mistake() {
    for rule in Rule::ALL {
        let catches = |mistake: &&Mistake| mistake.caught_by().contains(rule);
        assert!(
            Mistake::ALL.iter().any(|mistake| catches(&mistake)),
            "{rule:?} is not known to catch anything"
        );
    }
}
