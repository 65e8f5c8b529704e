//! Replays random traces of the model on the real scripts and a real Redis.
//!
//! After each call, the reply and the content of Redis must equal the model's: the places, states,
//! leases, tokens, attempts, lists, log entries and commits. So neither side can change alone.

mod calls;
mod content;
mod reviews;
mod stage;

use std::collections::{BTreeSet, HashSet};

use crate::model::actions::{self, Action};
use crate::model::mistakes::Mistake;
use crate::model::replay::calls::reply_text;
use crate::model::replay::stage::Stage;
use crate::model::requests::Reply;
use crate::model::scenarios::Scenario;
use crate::model::state::State;
use crate::model::{Protocol, first_state, steps};
use crate::rng::SeededRng;
use crate::store_fixture::Fixture;

/// The maximum number of steps of a trace.
const MAX_STEPS: usize = 40;

/// The name of a verb, and of an outcome.
type Outcome = (&'static str, &'static str);

/// What a replay has compared.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The number of steps of all traces.
    pub n_steps: usize,
    /// Every outcome of the calls.
    pub seen: BTreeSet<Outcome>,
}

/// Replays random traces of a scenario, with or without a mistake of the model, and then a shortest
/// trace to each outcome of [`Scenario::reaches`] that they did not reach. The same seed gives the
/// same traces. Deletes the content of the fixture's Redis.
///
/// # Errors
/// The first difference, with the trace to it.
///
/// # Panics
/// If Redis does not answer.
pub async fn replay(
    fixture: &Fixture,
    scenario: Scenario,
    mistake: Option<Mistake>,
    n_traces: usize,
    seed: u64,
) -> Result<Replayed, String> {
    let model = Protocol::new(scenario, mistake);
    let first = first_state(&model.scenario);
    let stage = Stage::new(fixture, &model.scenario, &first).await;
    let mut replayed = Replayed::default();
    for trace in 0..n_traces {
        let mut rng = SeededRng::part(seed, trace as u64);
        let next = |n: usize, state: &State| {
            (n < MAX_STEPS)
                .then(|| choose(&model, state, &mut rng))
                .flatten()
        };
        replay_one(&model, &stage, &first, next, &mut replayed).await?;
    }
    for outcome in model.scenario.reaches {
        if !replayed.seen.contains(outcome) {
            let way = way_to(&model, &first, *outcome);
            let next = |n: usize, _: &State| way.get(n).copied();
            replay_one(&model, &stage, &first, next, &mut replayed).await?;
        }
    }
    Ok(replayed)
}

/// Replays one trace. `next` returns the step after the first `n`.
async fn replay_one(
    model: &Protocol,
    stage: &Stage<'_>,
    first: &State,
    mut next: impl FnMut(usize, &State) -> Option<Action>,
    replayed: &mut Replayed,
) -> Result<(), String> {
    stage.reset().await;
    let (mut state, mut way) = (first.clone(), Vec::new());
    while let Some(action) = next(way.len(), &state) {
        way.push(action);
        let (after, reply) = steps::step(model, &state, action);
        let found = stage.execute(&state, action).await;
        let expected = reply.as_ref().map(reply_text);
        // Other steps are compared after the next call.
        if reply.is_some() {
            let (is, should_be) = (content::of_redis(stage).await, content::of_model(&after));
            if found != expected || is != should_be {
                return Err(format!(
                    "{}: {action:?}\nreplied {found:?}, the model {expected:?}\n\
                     --- Redis\n{is}\n--- model\n{should_be}\nafter {way:#?}",
                    model.scenario.name
                ));
            }
        }
        replayed.n_steps += 1;
        replayed.seen.extend(outcome_of(action, reply.as_ref()));
        state = after;
    }
    Ok(())
}

fn outcome_of(action: Action, reply: Option<&Reply>) -> Option<Outcome> {
    match action {
        Action::Call(request, _) | Action::Arrives(request) => {
            Some((request.verb(), reply?.outcome()))
        }
        _ => None,
    }
}

/// A random step that changes something; a fault in one of four steps. `None` if no step changes
/// anything.
fn choose(model: &Protocol, state: &State, rng: &mut SeededRng) -> Option<Action> {
    let (mut progress, mut faults) = (Vec::new(), Vec::new());
    actions::going_on(model, state, &mut progress);
    actions::going_wrong(model, state, &mut faults);
    loop {
        let from = match rng.one_in(4) || progress.is_empty() {
            true if !faults.is_empty() => &mut faults,
            _ => &mut progress,
        };
        let action = rng.draw(from)?;
        if steps::after(model, state, action) != *state {
            return Some(action);
        }
    }
}

/// A shortest trace to an outcome; empty if none reaches it.
fn way_to(model: &Protocol, first: &State, outcome: Outcome) -> Vec<Action> {
    let mut known = HashSet::from([first.clone()]);
    // Each state with the index of the state before it, and the step between them.
    let mut found: Vec<(State, usize, Option<Action>)> = vec![(first.clone(), 0, None)];
    let mut at = 0;
    while at < found.len() {
        let state = found[at].0.clone();
        let mut possible = Vec::new();
        actions::going_on(model, &state, &mut possible);
        actions::going_wrong(model, &state, &mut possible);
        for action in possible {
            let (after, reply) = steps::step(model, &state, action);
            if outcome_of(action, reply.as_ref()) == Some(outcome) {
                let mut way = vec![action];
                let mut back = at;
                while let (_, before, Some(action)) = found[back] {
                    way.push(action);
                    back = before;
                }
                way.reverse();
                return way;
            }
            if known.insert(after.clone()) {
                found.push((after, at, Some(action)));
            }
        }
        at += 1;
    }
    Vec::new()
}
