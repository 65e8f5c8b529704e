//! Small worlds, each with a few possible faults. Together they reach every outcome; each is small
//! enough to be searched exhaustively within a second or two.

use crate::model::requests::Request;
use crate::model::state::{BlueprintNo, IssueNo};

/// How often each fault, or action of people, may still happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Lost replies.
    pub lost: u8,
    /// Calls that are executed late, or twice.
    pub late: u8,
    /// Processes that are suspended for a while.
    pub freezes: u8,
    /// Processes that die.
    pub deaths: u8,
    /// Dispatches that end without a call.
    pub give_ups: u8,
    /// Workers that are asked to shut down.
    pub stops: u8,
    /// Workers that restart under the same name.
    pub restarts: u8,
    /// Heads that an operator writes.
    pub puts: u8,
    /// Cancelled issues.
    pub cancels: u8,
    /// Denials by verifiers.
    pub denials: u8,
    /// Temporary faults.
    pub passing: u8,
    /// Runs that find a resource in use.
    pub busy: u8,
    /// Blueprints that are paused.
    pub holds: u8,
    /// Overwritten places or lost elements.
    pub damages: u8,
    /// Blueprints that a setting names as its orbit.
    pub orbits: u8,
    /// Approvals of proposals.
    pub approvals: u8,
    /// Declined proposals.
    pub declines: u8,
    /// Proposals that expire.
    pub expiries: u8,
}

impl Faults {
    /// Whether a lease may be left to expire: its holder may die, stall or give up, or a call may
    /// be executed without a caller.
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
    /// The number of issues that are accepted at the start.
    pub n_accepted: usize,
    /// The number of workers.
    pub n_workers: usize,
    /// The issues that an admin submits.
    pub admins: &'static [IssueNo],
    /// Whether an admin cancels issues, or a submitter.
    pub admin_cancels: bool,
    /// The issues that need a review.
    pub reviews: &'static [IssueNo],
    /// Whether the submitter also tries to approve.
    pub self_reviews: bool,
    /// The number of issues that each worker runs at once.
    pub slots: usize,
    /// Whether a worker that settles asks for the queue's next issue.
    pub hands_over: bool,
    /// The number of deaths from which an issue runs exclusively, at least 1.
    pub alone_from: u8,
    /// The number of deaths from which an issue that ran exclusively is dead.
    pub max_deaths: u8,
    /// The maximum number of retries of an issue.
    pub max_retries: u8,
    /// The verbs that may be late; empty: all.
    pub late_verbs: &'static [&'static str],
    /// The possible faults.
    pub faults: Faults,
    /// The verbs and outcomes that the search must reach.
    pub reaches: &'static [(&'static str, &'static str)],
}

impl Scenario {
    pub(super) fn may_be_late(&self, request: &Request) -> bool {
        // A late beat only keeps a lease that would have expired; an audit reads and writes in one
        // step.
        let never = matches!(request, Request::Beat(_) | Request::Audit(_));
        !never && (self.late_verbs.is_empty() || self.late_verbs.contains(&request.verb()))
    }
}

/// The defaults of a scenario: two workers, two issues of one Blueprint.
const PLAIN: Scenario = Scenario {
    name: "",
    issues: &[0, 0],
    n_accepted: 2,
    n_workers: 2,
    admins: &[],
    admin_cancels: false,
    reviews: &[],
    self_reviews: false,
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
    busy: 0,
    holds: 0,
    damages: 0,
    orbits: 0,
    approvals: 0,
    declines: 0,
    expiries: 0,
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
    /// Without faults every issue is decided in its first attempt.
    calm { issues: &[0, 0, 1], n_accepted: 1, slots: 2 }
        faults {}
        reaches &[("submit", "accepted"), ("pop", "popped"), ("claim", "ok"), ("settle", "ok")];
    /// Replies are lost, and callers repeat.
    lost_replies { n_accepted: 1 }
        faults { lost: 2 }
        reaches &[
            ("submit", "accepted"), ("submit", "existed"), ("pop", "popped"), ("claim", "ok"),
            ("claim", "again"), ("settle", "ok"), ("settle", "ok, as before"), ("beat", "unleased"),
        ];
    /// A worker is suspended past its lease, and resumes.
    pauses {}
        faults { freezes: 1, late: 1 }
        reaches &[
            ("settle", "stale"), ("reap", "delayed"), ("reap", "alive"), ("reap", "gone"),
            ("beat", "expired lease extended"), ("beat", "lost"), ("return", "returned"),
            ("claim", "not_mine"), ("promote", "promoted"),
        ];
    /// Workers die at any point; calls that they sent may be executed after their death.
    deaths { issues: &[0, 0, 1], n_accepted: 3 }
        faults { deaths: 1, late: 1 }
        reaches &[("return", "returned"), ("return", "not_mine"), ("reap", "delayed"), ("promote", "gone")];
    /// A reaper acts on a holder that it read too early.
    two_readers { n_accepted: 1, issues: &[0], late_verbs: &["reap", "cancel"] }
        faults { late: 1, give_ups: 2, cancels: 1 }
        reaches &[("reap", "moved"), ("reap", "gone"), ("reap", "alive"), ("cancel", "moved")];
    /// An operator writes heads while issues run.
    operator { issues: &[0, 0, 1], n_accepted: 3 }
        faults { puts: 1, denials: 1, lost: 1 }
        reaches &[("settle", "moved_head"), ("settle", "ok, as before"), ("put", "done")];
    /// Issues are cancelled in every state.
    cancels { n_accepted: 1 }
        faults { cancels: 2, lost: 1, passing: 1 }
        reaches &[
            ("cancel", "ok, was ready"), ("cancel", "ok, was leased"), ("cancel", "ok, was delayed"),
            ("cancel", "ok, not the head"), ("cancel", "again"), ("cancel", "decided"),
            ("beat", "cancelled"), ("settle", "stale"), ("claim", "gone"), ("release", "stale"),
        ];
    /// Issues are cancelled while a worker dies that has popped them.
    cancels_crash {}
        faults { cancels: 1, deaths: 1 }
        reaches &[("return", "gone"), ("return", "returned"), ("cancel", "ok, was ready")];
    /// A worker shuts down.
    shutdown {}
        faults { stops: 1, late: 1 }
        reaches &[("release", "ok, at once"), ("release", "stale"), ("return", "returned")];
    /// A worker shuts down and restarts under its name, while its earlier calls may still be
    /// executed.
    restarts { n_workers: 1 }
        faults { stops: 1, restarts: 1, late: 1, give_ups: 1 }
        reaches &[("release", "ok, at once"), ("release", "stale"), ("settle", "stale"), ("claim", "held")];
    /// Temporary faults delay issues.
    delays { late_verbs: &["promote", "release", "settle"] }
        faults { passing: 1, late: 2 }
        reaches &[("release", "ok, delayed"), ("release", "stale"), ("promote", "promoted"), ("promote", "gone")];
    /// A resource is in use: the issue is delayed, and no retry counts.
    busy { max_retries: 0, late_verbs: &["release", "promote"] }
        faults { busy: 2, late: 1 }
        reaches &[
            ("release", "ok, delayed without a retry"), ("release", "stale"), ("promote", "promoted"),
            ("promote", "gone"),
        ];
    /// A Blueprint is paused and resumed.
    paused { late_verbs: &["resume", "claim"] }
        faults { holds: 1, late: 1, cancels: 1 }
        reaches &[("claim", "parked"), ("cancel", "ok, was parked"), ("resume", "done")];
    /// An issue that crashes its worker, beside one that does not.
    poison { issues: &[0, 1], slots: 2, alone_from: 1, max_deaths: 1 }
        faults { give_ups: 3, lost: 1 }
        reaches &[("claim", "alone"), ("reap", "delayed"), ("reap", "dead"), ("claim", "again")];
    /// An exclusive run whose worker stalls.
    poison_paused { issues: &[0], n_accepted: 1, alone_from: 1, max_deaths: 1 }
        faults { freezes: 1, late: 1, give_ups: 1 }
        reaches &[("claim", "alone"), ("reap", "dead"), ("settle", "stale")];
    /// A place is overwritten, or an element is lost.
    damage { n_accepted: 1 }
        faults { damages: 1, passing: 1, cancels: 1, give_ups: 1 }
        reaches &[("audit", "repaired"), ("audit", "placed")];
    /// A setting names the Blueprint as its orbit while issues of an admin and of submitters are
    /// undecided.
    orbits { issues: &[0, 0, 0], n_accepted: 1, n_workers: 1, admins: &[1] }
        faults { orbits: 1, cancels: 1, lost: 1 }
        reaches &[
            ("submit", "orbit_needs_admin"), ("submit", "existed"), ("claim", "orbit_needs_admin"),
            ("settle", "orbit_needs_admin"), ("cancel", "orbit_needs_admin"), ("settle", "ok"),
            ("name orbit", "done"),
        ];
    /// A settle hands over the queue's next issue; replies are lost.
    handed_over { issues: &[0, 0, 0, 1], n_accepted: 2, n_workers: 1, hands_over: true }
        faults { lost: 2, denials: 1 }
        reaches &[
            ("settle", "ok"), ("settle", "ok, with the next"), ("settle", "ok, as before"),
            ("settle", "ok, as before, with the next"),
        ];
    /// The worker dies or gives up with a handed-over issue, or before the reply that hands it over
    /// arrives.
    handed_over_crash { issues: &[0, 0, 0], n_accepted: 3, hands_over: true, late_verbs: &["settle"] }
        faults { deaths: 1, late: 1, give_ups: 1 }
        reaches &[("settle", "ok, with the next"), ("reap", "delayed"), ("promote", "promoted"), ("settle", "stale")];
    /// The worker stalls past the lease of a handed-over issue, and resumes.
    handed_over_stall { issues: &[0, 0, 0], n_accepted: 3, hands_over: true, late_verbs: &["settle"] }
        faults { freezes: 1, late: 1 }
        reaches &[
            ("settle", "ok, with the next"), ("settle", "ok, as before"), ("settle", "stale"),
            ("beat", "expired lease extended"), ("reap", "delayed"),
        ];
    /// Issues are cancelled, and heads written, before and after they are handed over.
    handed_over_cancel { issues: &[0, 0, 0], n_accepted: 3, hands_over: true }
        faults { cancels: 2, puts: 1, lost: 1 }
        reaches &[
            ("settle", "ok, with the next"), ("settle", "ok, as before"), ("settle", "moved_head"),
            ("cancel", "ok, was leased"), ("cancel", "ok, not the head"), ("beat", "cancelled"),
        ];
    /// The Blueprint is paused while an issue runs.
    handed_over_pause { issues: &[0, 0, 0], n_accepted: 3, hands_over: true }
        faults { holds: 1, lost: 1, passing: 1 }
        reaches &[("settle", "ok"), ("settle", "ok, with the next"), ("resume", "done"), ("release", "ok, delayed")];
    /// The worker is asked to shut down while a settle that hands over is in progress.
    handed_over_shutdown { issues: &[0, 0, 0], n_accepted: 3, hands_over: true }
        faults { stops: 1, lost: 1, late: 1 }
        reaches &[
            ("settle", "ok"), ("settle", "ok, with the next"), ("settle", "ok, as before, with the next"),
            ("release", "ok, at once"),
        ];
    /// Two slots of one worker, and a second Blueprint.
    handed_over_slots {
        issues: &[0, 0, 1, 1], n_accepted: 4, n_workers: 1, slots: 2, hands_over: true
    }
        faults { late: 1, lost: 1 }
        reaches &[("settle", "ok, with the next"), ("settle", "ok, as before, with the next")];
    /// A setting names the Blueprint as its orbit while an issue runs: issues of an admin are
    /// handed over, issues of a submitter are not.
    handed_over_orbits {
        issues: &[0, 0, 0], n_accepted: 3, n_workers: 1, admins: &[0, 1], hands_over: true
    }
        faults { orbits: 1, lost: 1 }
        reaches &[
            ("settle", "ok"), ("settle", "ok, with the next"), ("claim", "orbit_needs_admin"),
            ("settle", "orbit_needs_admin"),
        ];
    /// An issue waits for a review, and a later one does not wait for it. It is approved, also by
    /// its submitter, declined or cancelled, and replies are lost.
    reviews { n_workers: 1, reviews: &[0], self_reviews: true }
        faults { approvals: 1, declines: 1, cancels: 1, lost: 1, late: 1 }
        reaches &[
            ("propose", "ok"), ("propose", "ok, as before"), ("approve", "ok"),
            ("approve", "again"), ("approve", "self_review"), ("approve", "not_in_review"),
            ("decline", "ok"), ("decline", "again"), ("decline", "not_in_review"), ("cancel", "ok, not the head"),
        ];
    /// The head moves while an issue is in review. It joins its queue again, and its next proposal
    /// is approved too, while the first approval is late.
    reviews_moved { n_workers: 1, reviews: &[0], late_verbs: &["approve"] }
        faults { approvals: 2, puts: 1, lost: 1, late: 1 }
        reaches &[
            ("propose", "ok"), ("propose", "moved_head"), ("approve", "moved_head"),
            ("approve", "moved_head, as before"), ("approve", "other"), ("approve", "ok"),
        ];
    /// A proposal expires.
    reviews_expire { n_workers: 1, n_accepted: 1, reviews: &[0], late_verbs: &["expire", "approve"] }
        faults { approvals: 1, declines: 1, expiries: 1, late: 1 }
        reaches &[
            ("expire", "expired"), ("expire", "gone"), ("approve", "not_in_review"), ("decline", "ok"),
        ];
    /// A proposal that was late to expire is replaced by another one.
    reviews_expire_late { n_workers: 1, issues: &[0], n_accepted: 1, reviews: &[0], late_verbs: &["expire"] }
        faults { approvals: 2, puts: 1, expiries: 1, late: 1 }
        reaches &[("expire", "gone"), ("approve", "moved_head"), ("approve", "not_in_review")];
    /// A worker stalls past its lease, and proposes late.
    reviews_stall { issues: &[0], n_accepted: 1, reviews: &[0], late_verbs: &["propose"] }
        faults { freezes: 1, late: 1, approvals: 1 }
        reaches &[("propose", "stale"), ("propose", "ok"), ("approve", "ok"), ("reap", "delayed")];
    /// A worker dies while it verifies a change again.
    reviews_crash { issues: &[0], n_accepted: 1, reviews: &[0] }
        faults { deaths: 1, approvals: 2, puts: 1 }
        reaches &[("approve", "moved_head"), ("approve", "ok"), ("reap", "delayed"), ("promote", "promoted")];
    /// The Blueprint becomes an orbit while an issue is in review.
    reviews_orbits { n_workers: 1, issues: &[0], n_accepted: 1, reviews: &[0] }
        faults { approvals: 1, orbits: 1, lost: 1 }
        reaches &[("approve", "orbit_needs_admin"), ("propose", "orbit_needs_admin"), ("approve", "ok")];
    /// The Blueprint is paused while an issue is in review.
    reviews_paused { n_workers: 1, reviews: &[0] }
        faults { approvals: 1, puts: 1, holds: 1 }
        reaches &[("approve", "ok"), ("approve", "moved_head"), ("resume", "done")];
    /// A settle that proposes hands over the queue's next issue.
    handed_over_review { issues: &[0, 0, 0], n_accepted: 3, n_workers: 1, hands_over: true, reviews: &[0, 1] }
        faults { lost: 1, approvals: 1 }
        reaches &[
            ("propose", "ok, with the next"), ("propose", "ok, as before, with the next"),
            ("approve", "ok"), ("approve", "moved_head"),
        ];
}
