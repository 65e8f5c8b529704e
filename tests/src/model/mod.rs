//! A model of the Redis protocol that a model checker searches exhaustively.
//!
//! `scripts` has one step for each real script; [`actions`] lists the steps that may happen between
//! two scripts, and `steps` executes them. [`rules`] must hold in every state. [`scenarios`] are
//! the small worlds to search. [`mistakes`] are changes of single lines, each with the rule that
//! detects it.
//!
//! [`channels`] is a separate model, of channels and moves of the head.
//!
//! The model omits documents, watchers, settings, pruning, archived Blueprints and paid steps: no
//! script reads them to decide anything. Flows that fail are omitted too: they are decided like
//! denied ones, without the compare-and-set. Time is nondeterministic: a lease may expire whenever
//! no running worker extends it, and a delayed issue is due at once. A lost request equals an
//! unsent one, since its caller repeats it. A worker that no longer trusts its lease gives up
//! without a call. A suspended worker may still send its pending call.
//!
//! Change the model together with the scripts. The search shows that the protocol suffices.
//! [`replay`] executes traces of the model on the real scripts, and compares each reply and the
//! content of Redis: it shows that the scripts are those of the model.

pub mod actions;
pub mod channels;
pub mod mistakes;
pub mod replay;
pub mod requests;
pub mod rules;
pub mod scenarios;
pub mod state;

mod calls;
mod reviews;
mod scripts;
mod steps;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::model::actions::Action;
use crate::model::mistakes::Mistake;
use crate::model::rules::{Broken, Rule};
use crate::model::scenarios::Scenario;
use crate::model::state::{
    Caller, Issue, IssueState, Lease, Place, Queue, Redis, Reviewer, State, Status, Truth, Worker,
};

/// The protocol in a small world, with or without a mistake.
#[derive(Debug)]
pub struct Protocol {
    scenario: Scenario,
    mistake: Option<Mistake>,
    /// Every verb and outcome that the search reached.
    seen: Mutex<BTreeSet<(&'static str, &'static str)>>,
    /// The rules that the first bad state violates.
    first_broken: Mutex<Option<Vec<Rule>>>,
}

/// The result of a search.
#[derive(Debug)]
pub struct Found {
    /// The number of distinct states.
    pub n_states: usize,
    /// The length of the longest path, in steps.
    pub depth: usize,
    /// Every verb and outcome that was reached.
    pub seen: BTreeSet<(&'static str, &'static str)>,
    /// The rules that the first bad state violates; empty if no state is bad.
    pub broken: Vec<Rule>,
    /// The path to the first bad state.
    pub way: Vec<String>,
}

/// Searches every state of a scenario, or up to the first bad states.
pub fn search(scenario: Scenario, mistake: Option<Mistake>) -> Found {
    let model = Protocol::new(scenario, mistake);
    // With one thread, states come in the order of their distance, so the first bad one is a
    // nearest.
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let model = checker.model();
    // Taken out, because the path is found by executing it once more.
    let broken = model.first_broken().take().unwrap_or_default();
    let way = broken
        .first()
        .and_then(|rule| checker.discovery(rule.name()));
    Found {
        n_states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seen: model.seen(),
        way: way.map_or_else(Vec::new, |way| {
            way.into_actions()
                .iter()
                .map(|a| format!("{a:?}"))
                .collect()
        }),
        broken,
    }
}

impl Protocol {
    fn new(scenario: Scenario, mistake: Option<Mistake>) -> Self {
        Self {
            scenario,
            mistake,
            seen: Mutex::default(),
            first_broken: Mutex::default(),
        }
    }

    /// Every verb and outcome so far.
    fn seen(&self) -> BTreeSet<(&'static str, &'static str)> {
        let seen = self.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn first_broken(&self) -> MutexGuard<'_, Option<Vec<Rule>>> {
        self.first_broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a state satisfies a rule. Records all rules that the first bad state violates.
    fn keeps(&self, rule: Rule, state: &State) -> bool {
        let holds = rule.holds(self, state);
        if !holds {
            let broken = |rule: &&Rule| !rule.holds(self, state);
            self.first_broken()
                .get_or_insert_with(|| Rule::ALL.iter().filter(broken).copied().collect());
        }
        holds
    }

    fn note(&self, verb: &'static str, outcome: &'static str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert((verb, outcome));
    }
}

macro_rules! properties {
    ($($rule:ident),+) => { vec![$(
        Property::always(Rule::$rule.name(), |model, state| model.keeps(Rule::$rule, state))
    ),+] };
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![first_state(&self.scenario)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // States after a bad state are not of interest.
        if self.first_broken().is_none() {
            actions::going_on(self, state, actions);
            actions::going_wrong(self, state, actions);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        Some(steps::after(self, before, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties![
            OneCommit,
            OneEntry,
            TerminalStays,
            Order,
            Chain,
            Base,
            Fenced,
            Told,
            LeaseKept,
            QueueSound,
            OneList,
            PlaceTrue,
            LeaseTrue,
            Attempts,
            DeadAlone,
            RunsAlone,
            Approved,
            SelfReview,
            OrbitKept,
            PauseKept,
            NoneOrphaned,
            Drained
        ]
    }
}

fn first_state(scenario: &Scenario) -> State {
    let n_issues = scenario.issues.len();
    let n_queues = scenario.issues.iter().max().map_or(0, |b| *b as usize + 1);
    let issue = |i: usize| Issue {
        state: if i < scenario.n_accepted {
            IssueState::Pending
        } else {
            IssueState::Unknown
        },
        attempt: 0,
        retries: 0,
        deaths: 0,
        alone: false,
        token: None,
        nonce: None,
        worker: None,
        round: 0,
        base: None,
    };
    let queue = |b: usize| {
        let own = (0..scenario.n_accepted).filter(|i| scenario.issues[*i] as usize == b);
        let backlog: Vec<u8> = own.map(|i| i as u8).collect();
        Queue {
            place: if backlog.is_empty() {
                Place::None
            } else {
                Place::Ready
            },
            backlog,
            paused: false,
            is_orbit: false,
            head: 0,
            commits: Vec::new(),
        }
    };
    let queues: Vec<Queue> = (0..n_queues).map(queue).collect();
    let worker = Worker {
        status: Status::Up,
        tasks: Vec::new(),
    };
    let submitter = |i: usize| {
        if i < scenario.n_accepted {
            Caller::Answered
        } else {
            Caller::Idle
        }
    };
    State {
        redis: Redis {
            issues: (0..n_issues).map(issue).collect(),
            // The head of the first queue was pushed first, so it is popped first.
            pending: (queues.iter().rev())
                .filter_map(|q| q.backlog.first().copied())
                .collect(),
            queues,
            processing: vec![Vec::new(); scenario.n_workers],
            registered: vec![true; scenario.n_workers],
            leases: vec![Lease::None; n_issues],
            delayed: vec![false; n_issues],
            proposals: vec![None; n_issues],
            due: vec![false; n_issues],
            fence: 0,
            log: Vec::new(),
        },
        workers: vec![worker; scenario.n_workers],
        submitters: (0..n_issues).map(submitter).collect(),
        cancellers: vec![Caller::Idle; n_issues],
        reviewers: vec![Reviewer::idle(); n_issues],
        late: Vec::new(),
        faults: scenario.faults,
        nonce: 0,
        truth: Truth {
            grants: vec![0; n_issues],
            decided_by: vec![None; n_issues],
            ran_alone: vec![false; n_issues],
            waits: vec![0; n_issues],
            earlier: vec![0; n_issues],
            approved: vec![0; n_issues],
            broken: Broken::default(),
            is_damaged: false,
        },
    }
}
