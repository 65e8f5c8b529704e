//! A model of the channels of one Blueprint, with its head and its archive, that a model checker
//! searches exhaustively.
//!
//! `scripts` has one step for each real script. A call is sent with the revision that its caller
//! has just read, and is executed at any later time, once or twice, or never. So the calls of any
//! number of racing callers are in the model. A watcher reads after each message. [`rules`] must
//! hold in every state. [`mistakes`] are changes of single lines, each with the rules that detect
//! it; [`scenarios`] are the small worlds to search. [`replay`] executes traces on the real
//! scripts.
//!
//! The model omits settings that follow a channel: `tests/mutants` shows which tests catch a
//! missing check of them.

pub mod mistakes;
pub mod replay;
pub mod rules;
pub mod scenarios;
pub mod state;

mod scripts;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::model::channels::mistakes::Mistake;
use crate::model::channels::rules::Rule;
use crate::model::channels::scenarios::Scenario;
use crate::model::channels::scripts::Executed;
use crate::model::channels::state::{Request, State};

/// The name of a verb, and of an outcome.
pub type Outcome = (&'static str, &'static str);

/// The maximum number of calls between their sending and their execution.
const MAX_SENT: usize = 2;

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A caller sends a call.
    Send(Request),
    /// A sent call is executed.
    Execute(Request),
    /// A sent call is executed, and will be executed again.
    Double(Request),
    /// The watcher reads the present state, after a message.
    Read,
}

/// The channels of a small world, with or without a mistake.
#[derive(Debug)]
pub struct Channels {
    scenario: Scenario,
    mistake: Option<Mistake>,
    /// Every verb and outcome that the search reached.
    seen: Mutex<BTreeSet<Outcome>>,
    /// The rules that the first bad state violates.
    first_broken: Mutex<Option<Vec<Rule>>>,
}

/// The result of a search.
#[derive(Debug)]
pub struct Found {
    /// The number of distinct states.
    pub n_states: usize,
    /// Every verb and outcome that was reached.
    pub seen: BTreeSet<Outcome>,
    /// The rules that the first bad state violates; empty if no state is bad.
    pub broken: Vec<Rule>,
    /// The path to the first bad state.
    pub way: Vec<String>,
}

/// Searches every state of a scenario, or up to the first bad state.
pub fn search(scenario: Scenario, mistake: Option<Mistake>) -> Found {
    let model = Channels::new(scenario, mistake);
    // With one thread, the first bad state is a nearest one.
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let model = checker.model();
    // Taken out, because the path is found by executing it once more.
    let broken = lock(&model.first_broken).take().unwrap_or_default();
    let way = broken
        .first()
        .and_then(|rule| checker.discovery(rule.name()));
    let way = way.map_or_else(Vec::new, |way| way.into_actions());
    Found {
        n_states: checker.unique_state_count(),
        seen: lock(&model.seen).clone(),
        broken,
        way: way.iter().map(|action| format!("{action:?}")).collect(),
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Channels {
    fn new(scenario: Scenario, mistake: Option<Mistake>) -> Self {
        Self {
            scenario,
            mistake,
            seen: Mutex::default(),
            first_broken: Mutex::default(),
        }
    }

    /// Whether a state satisfies a rule. Records all rules that the first bad state violates.
    fn keeps(&self, rule: Rule, state: &State) -> bool {
        let holds = rule.holds(&self.scenario, state);
        if !holds {
            let broken = Rule::ALL.iter().copied();
            let broken = broken.filter(|rule| !rule.holds(&self.scenario, state));
            lock(&self.first_broken).get_or_insert_with(|| broken.collect());
        }
        holds
    }

    /// The possible next steps.
    fn steps(&self, state: &State) -> Vec<Action> {
        let mut steps = Vec::new();
        if state.left > 0 && state.sent.len() < MAX_SENT {
            steps.extend(self.scenario.requests(&state.redis).map(Action::Send));
        }
        let mut sent = state.sent.clone();
        sent.dedup();
        steps.extend(sent.iter().copied().map(Action::Execute));
        if state.doubles > 0 {
            steps.extend(sent.into_iter().map(Action::Double));
        }
        if state.is_woken {
            steps.push(Action::Read);
        }
        steps
    }

    /// The state after a step, and what was executed.
    fn step(&self, before: &State, action: Action) -> (State, Option<Executed>) {
        let mut state = before.clone();
        let request = match action {
            Action::Send(request) => {
                state.left -= 1;
                state.sent.push(request);
                state.sent.sort_unstable();
                return (state, None);
            }
            Action::Read => {
                state.view = state.redis.view();
                state.is_woken = false;
                return (state, None);
            }
            Action::Execute(request) => {
                let at = state.sent.iter().position(|sent| *sent == request);
                state.sent.remove(at.expect("only a sent call is executed"));
                request
            }
            Action::Double(request) => {
                state.doubles -= 1;
                request
            }
        };
        let executed = scripts::execute(&self.scenario, self.mistake, &mut state.redis, request);
        state.is_woken |= executed.message.is_some();
        let revision = executed.revision;
        state
            .truth
            .note(&before.redis, request, &executed.reply, revision);
        lock(&self.seen).insert((request.verb(), executed.reply.outcome()));
        (state, Some(executed))
    }
}

impl Model for Channels {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.scenario.first_state()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // States after a bad state are not of interest.
        if lock(&self.first_broken).is_none() {
            actions.extend(self.steps(state));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        Some(self.step(before, action).0)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! properties {
            ($($rule:ident),+) => { vec![$(
                Property::always(Rule::$rule.name(), |model, state| model.keeps(Rule::$rule, state))
            ),+] };
        }
        properties![
            Compared,
            OneWinner,
            AppendOnly,
            Linked,
            LastMove,
            InHistory,
            ArchiveKept,
            Bounded,
            Woken
        ]
    }
}
