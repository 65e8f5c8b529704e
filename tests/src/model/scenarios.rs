//! Small worlds, each with a few things that may go wrong: together they reach every outcome, and
//! each is small enough to be searched to its end in a second or two.

use crate::model::requests::Request;
use crate::model::state::{BlueprintNo, IssueNo};

/// What may still go wrong, or be asked for by people, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Replies that get lost.
    pub lost: u8,
    /// Calls that are carried out later, or twice.
    pub late: u8,
    /// Processes that are stopped in their tracks for a while.
    pub freezes: u8,
    /// Processes that die.
    pub deaths: u8,
    /// Dispatches that end without a word.
    pub give_ups: u8,
    /// Workers that are asked to end.
    pub stops: u8,
    /// Workers that start again under their name.
    pub restarts: u8,
    /// Heads that an operator writes.
    pub puts: u8,
    /// Issues that are called off.
    pub cancels: u8,
    /// Verifiers that say no.
    pub denials: u8,
    /// Faults that pass.
    pub passing: u8,
    /// Blueprints that are paused.
    pub holds: u8,
    /// Places that somebody overwrites, or elements that get lost.
    pub damages: u8,
    /// Blueprints that a setting is going to name as its orbit.
    pub orbits: u8,
}

impl Faults {
    /// Whether a lease may be left to run out: its holder may die, stall or give up, or a call may
    /// be carried out when nobody waits for its answer.
    pub(super) fn may_orphan(&self) -> bool {
        self.late + self.freezes + self.deaths + self.give_ups + self.damages > 0
    }
}

/// A small world.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The Blueprint of each issue.
    pub issues: &'static [BlueprintNo],
    /// How many of them are accepted at the start.
    pub n_accepted: usize,
    /// How many workers there are.
    pub n_workers: usize,
    /// The issues that an admin files.
    pub admins: &'static [IssueNo],
    /// Whether an admin calls issues off, or a submitter.
    pub admin_cancels: bool,
    /// How many issues each works on at once.
    pub slots: usize,
    /// Whether a worker that settles asks for the queue's next issue.
    pub hands_over: bool,
    /// From how many crashes on an issue runs alone.
    pub alone_from: u8,
    /// From how many crashes on an issue that ran alone is dead.
    pub max_deaths: u8,
    /// How often an issue may be put off.
    pub max_retries: u8,
    /// The verbs that may be late; all if empty.
    pub late_verbs: &'static [&'static str],
    /// What may go wrong.
    pub faults: Faults,
    /// What must be seen: verb and outcome.
    pub reaches: &'static [(&'static str, &'static str)],
}

impl Scenario {
    pub(super) fn may_be_late(&self, request: &Request) -> bool {
        // A late beat only lets a lease run on that would have run out; an audit reads and writes
        // at once.
        let never = matches!(request, Request::Beat(_) | Request::Audit(_));
        !never && (self.late_verbs.is_empty() || self.late_verbs.contains(&request.verb()))
    }
}

/// What a scenario is where it says nothing else: two workers, two issues of one Blueprint.
const PLAIN: Scenario = Scenario {
    name: "",
    issues: &[0, 0],
    n_accepted: 2,
    n_workers: 2,
    admins: &[],
    admin_cancels: false,
    slots: 1,
    hands_over: false,
    alone_from: 2,
    max_deaths: 3,
    max_retries: 1,
    late_verbs: &[],
    faults: NO_FAULTS,
    reaches: &[],
};

const NO_FAULTS: Faults = Faults {
    lost: 0,
    late: 0,
    freezes: 0,
    deaths: 0,
    give_ups: 0,
    stops: 0,
    restarts: 0,
    puts: 0,
    cancels: 0,
    denials: 0,
    passing: 0,
    holds: 0,
    damages: 0,
    orbits: 0,
};

macro_rules! scenarios {
    ($($(#[doc = $doc:literal])+ $name:ident { $($field:ident: $value:expr),* $(,)? }
        faults { $($fault:ident: $n:expr),* } reaches $reaches:expr;)+) => {
        $($(#[doc = $doc])+
        pub fn $name() -> Scenario {
            Scenario {
                name: stringify!($name),
                faults: Faults { $($fault: $n,)* ..NO_FAULTS },
                reaches: $reaches,
                $($field: $value,)*
                ..PLAIN
            }
        })+

        /// Every scenario.
        pub fn all() -> Vec<Scenario> {
            vec![$($name()),+]
        }
    };
}

scenarios! {
    /// Nothing goes wrong: every issue is decided in its first attempt.
    calm { issues: &[0, 0, 1], n_accepted: 1, slots: 2 }
        faults {}
        reaches &[("submit", "accepted"), ("pop", "popped"), ("claim", "ok"), ("settle", "ok")];
    /// Replies get lost, and callers repeat.
    lost_replies { n_accepted: 1 }
        faults { lost: 2 }
        reaches &[
            ("submit", "accepted"), ("submit", "existed"), ("pop", "popped"), ("claim", "ok"),
            ("claim", "again"), ("settle", "ok"), ("settle", "ok, as before"), ("beat", "unleased"),
        ];
    /// A worker is stopped in its tracks past its lease, and wakes.
    pauses {}
        faults { freezes: 1, late: 1 }
        reaches &[
            ("settle", "stale"), ("reap", "delayed"), ("reap", "alive"), ("reap", "gone"),
            ("beat", "expired lease extended"), ("beat", "lost"), ("return", "returned"),
            ("claim", "not_mine"), ("promote", "promoted"),
        ];
    /// Workers die, at any point; what they still had sent is carried out after their death.
    deaths { issues: &[0, 0, 1], n_accepted: 3 }
        faults { deaths: 1, late: 1 }
        reaches &[("return", "returned"), ("return", "not_mine"), ("reap", "delayed"), ("promote", "gone")];
    /// A reaper has read a holder that is not the holder any more.
    two_readers { n_accepted: 1, issues: &[0], late_verbs: &["reap", "cancel"] }
        faults { late: 1, give_ups: 2, cancels: 1 }
        reaches &[("reap", "moved"), ("reap", "gone"), ("reap", "alive"), ("cancel", "moved")];
    /// An operator writes heads while issues are worked on.
    operator { issues: &[0, 0, 1], n_accepted: 3 }
        faults { puts: 1, denials: 1, lost: 1 }
        reaches &[("settle", "moved_head"), ("settle", "ok, as before"), ("put", "done")];
    /// Issues are called off, in every state.
    cancels { n_accepted: 1 }
        faults { cancels: 2, lost: 1, passing: 1 }
        reaches &[
            ("cancel", "ok, was ready"), ("cancel", "ok, was leased"), ("cancel", "ok, was delayed"),
            ("cancel", "ok, not the head"), ("cancel", "again"), ("cancel", "decided"),
            ("beat", "cancelled"), ("settle", "stale"), ("claim", "gone"), ("release", "stale"),
        ];
    /// Issues are called off while a worker dies that has popped them.
    cancels_crash {}
        faults { cancels: 1, deaths: 1 }
        reaches &[("return", "gone"), ("return", "returned"), ("cancel", "ok, was ready")];
    /// A worker ends in order.
    shutdown {}
        faults { stops: 1, late: 1 }
        reaches &[("release", "ok, at once"), ("release", "stale"), ("return", "returned")];
    /// A worker ends and starts again under its name, with calls of its former life in the air.
    restarts { n_workers: 1 }
        faults { stops: 1, restarts: 1, late: 1, give_ups: 1 }
        reaches &[("release", "ok, at once"), ("release", "stale"), ("settle", "stale"), ("claim", "held")];
    /// Faults pass.
    delays { late_verbs: &["promote", "release", "settle"] }
        faults { passing: 1, late: 2 }
        reaches &[("release", "ok, delayed"), ("release", "stale"), ("promote", "promoted"), ("promote", "gone")];
    /// A Blueprint is paused and resumed.
    paused { late_verbs: &["resume", "claim"] }
        faults { holds: 1, late: 1, cancels: 1 }
        reaches &[("claim", "parked"), ("cancel", "ok, was parked"), ("resume", "done")];
    /// An issue that brings its worker down, beside one that does not.
    poison { issues: &[0, 1], slots: 2, alone_from: 1, max_deaths: 1 }
        faults { give_ups: 3, lost: 1 }
        reaches &[("claim", "alone"), ("reap", "delayed"), ("reap", "dead"), ("claim", "again")];
    /// An issue that runs alone and whose worker stalls.
    poison_paused { issues: &[0], n_accepted: 1, alone_from: 0, max_deaths: 1 }
        faults { freezes: 1 , late: 1 }
        reaches &[("claim", "alone"), ("reap", "dead"), ("settle", "stale")];
    /// Somebody overwrites a place, or an element gets lost.
    damage { n_accepted: 1 }
        faults { damages: 1, passing: 1, cancels: 1, give_ups: 1 }
        reaches &[("audit", "repaired")];
    /// A setting names the Blueprint as its orbit while issues of an admin and of submitters are on
    /// their way.
    orbits { issues: &[0, 0, 0], n_accepted: 1, n_workers: 1, admins: &[1] }
        faults { orbits: 1, cancels: 1, lost: 1 }
        reaches &[
            ("submit", "orbit_needs_admin"), ("submit", "existed"), ("claim", "orbit_needs_admin"),
            ("settle", "orbit_needs_admin"), ("cancel", "orbit_needs_admin"), ("settle", "ok"),
            ("name orbit", "done"),
        ];
    /// A settle hands over the queue's next issue; replies get lost.
    handed_over { issues: &[0, 0, 0, 1], n_accepted: 2, n_workers: 1, hands_over: true }
        faults { lost: 2, denials: 1 }
        reaches &[
            ("settle", "ok"), ("settle", "ok, with the next"), ("settle", "ok, as before"),
            ("settle", "ok, as before, with the next"),
        ];
    /// The worker dies, or gives up, with an issue that was handed over, or with the reply that
    /// says so under way.
    handed_over_crash { issues: &[0, 0, 0], n_accepted: 3, hands_over: true, late_verbs: &["settle"] }
        faults { deaths: 1, late: 1, give_ups: 1 }
        reaches &[("settle", "ok, with the next"), ("reap", "delayed"), ("promote", "promoted"), ("settle", "stale")];
    /// The worker stalls past the lease of an issue that was handed over, and wakes.
    handed_over_stall { issues: &[0, 0, 0], n_accepted: 3, hands_over: true, late_verbs: &["settle"] }
        faults { freezes: 1, late: 1 }
        reaches &[
            ("settle", "ok, with the next"), ("settle", "ok, as before"), ("settle", "stale"),
            ("beat", "expired lease extended"), ("reap", "delayed"),
        ];
    /// Issues are called off, and heads written, before and after they are handed over.
    handed_over_cancel { issues: &[0, 0, 0], n_accepted: 3, hands_over: true }
        faults { cancels: 2, puts: 1, lost: 1 }
        reaches &[
            ("settle", "ok, with the next"), ("settle", "ok, as before"), ("settle", "moved_head"),
            ("cancel", "ok, was leased"), ("cancel", "ok, not the head"), ("beat", "cancelled"),
        ];
    /// The Blueprint is paused while an issue is worked on.
    handed_over_pause { issues: &[0, 0, 0], n_accepted: 3, hands_over: true }
        faults { holds: 1, lost: 1, passing: 1 }
        reaches &[("settle", "ok"), ("settle", "ok, with the next"), ("resume", "done"), ("release", "ok, delayed")];
    /// The worker is asked to end while a settle is under way that hands over.
    handed_over_shutdown { issues: &[0, 0, 0], n_accepted: 3, hands_over: true }
        faults { stops: 1, lost: 1, late: 1 }
        reaches &[
            ("settle", "ok"), ("settle", "ok, with the next"), ("settle", "ok, as before, with the next"),
            ("release", "ok, at once"),
        ];
    /// Two slots of one worker, and a second Blueprint.
    handed_over_slots { issues: &[0, 0, 1, 1], n_accepted: 4, n_workers: 1, slots: 2, hands_over: true }
        faults { late: 1, lost: 1 }
        reaches &[("settle", "ok, with the next"), ("settle", "ok, as before, with the next")];
    /// A setting names the Blueprint as its orbit while an issue is worked on: what an admin filed
    /// is handed over, what a submitter filed is not.
    handed_over_orbits { issues: &[0, 0, 0], n_accepted: 3, n_workers: 1, admins: &[0, 1], hands_over: true }
        faults { orbits: 1, lost: 1 }
        reaches &[
            ("settle", "ok"), ("settle", "ok, with the next"), ("claim", "orbit_needs_admin"),
            ("settle", "orbit_needs_admin"),
        ];
}
