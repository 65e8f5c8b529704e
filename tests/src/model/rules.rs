//! The rules that must hold in every state, and at the end.

use crate::model::state::{
    BlueprintNo, Call, Caller, IssueNo, IssueState, Lease, Phase, Place, Redis, State, Status,
};
use crate::model::{Protocol, actions};

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An issue has at most one commit; an applied issue has exactly one.
    OneCommit,
    /// A decided issue has exactly one log entry.
    OneEntry,
    /// The decision in the log never changes.
    TerminalStays,
    /// An issue is decided after all that were accepted before it, unless those were in review; a
    /// cancelled one at any time.
    Order,
    /// Commits are numbered without a gap, and the parent of each is the previous one.
    Chain,
    /// A result replaces the head from which it was computed.
    Base,
    /// Only the present lease decides or releases.
    Fenced,
    /// A caller is told that it has decided exactly if it has.
    Told,
    /// A running lease is not revoked.
    LeaseKept,
    /// A backlog holds exactly the accepted issues that are undecided and not in review, each once.
    QueueSound,
    /// A ready head is in exactly one list, and `pending` holds nothing else.
    OneList,
    /// The place matches the position of the head.
    PlaceTrue,
    /// Exactly the issues in flight have a lease.
    LeaseTrue,
    /// Deaths, retries and attempts stay within their bounds.
    Attempts,
    /// An issue is declared dead only after an exclusive run.
    DeadAlone,
    /// No other issue runs beside an exclusive run.
    RunsAlone,
    /// The commit of an issue that needs a review has the document that a person approved.
    Approved,
    /// The submitter of an issue does not approve it.
    SelfReview,
    /// Only issues and cancellations of an admin act on an orbit.
    OrbitKept,
    /// No issue of a paused Blueprint gets a new lease.
    PauseKept,
    /// Without deaths, stalls and late calls, each lease is known to its worker, or returned by a
    /// repeated call.
    NoneOrphaned,
    /// When no step of progress is possible, everything is decided or in review, and the queues are
    /// empty. So no issue waits for the review of another.
    Drained,
}

impl Rule {
    /// Every rule.
    pub const ALL: &[Rule] = &[
        Rule::OneCommit,
        Rule::OneEntry,
        Rule::TerminalStays,
        Rule::Order,
        Rule::Chain,
        Rule::Base,
        Rule::Fenced,
        Rule::Told,
        Rule::LeaseKept,
        Rule::QueueSound,
        Rule::OneList,
        Rule::PlaceTrue,
        Rule::LeaseTrue,
        Rule::Attempts,
        Rule::DeadAlone,
        Rule::RunsAlone,
        Rule::Approved,
        Rule::SelfReview,
        Rule::OrbitKept,
        Rule::PauseKept,
        Rule::NoneOrphaned,
        Rule::Drained,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Rule::OneCommit => "one commit for each applied issue",
            Rule::OneEntry => "one log entry for each decided issue",
            Rule::TerminalStays => "decided stays decided",
            Rule::Order => "decided in order of acceptance",
            Rule::Chain => "each commit's parent is the head before it",
            Rule::Base => "a result replaces the head that it was made from",
            Rule::Fenced => "only the present lease decides",
            Rule::Told => "a settler is told the truth",
            Rule::LeaseKept => "a running lease is not taken",
            Rule::QueueSound => "a backlog holds what is undecided",
            Rule::OneList => "a ready head is in exactly one list",
            Rule::PlaceTrue => "a place is true",
            Rule::LeaseTrue => "what is in flight has a lease",
            Rule::Attempts => "attempts are bounded",
            Rule::DeadAlone => "dead only after having run alone",
            Rule::RunsAlone => "alone means alone",
            Rule::Approved => "what is committed is what a person approved",
            Rule::SelfReview => "nobody approves their own issue",
            Rule::OrbitKept => "only an admin acts on an orbit",
            Rule::PauseKept => "nothing of a paused Blueprint is leased",
            Rule::NoneOrphaned => "no lease is left to nobody",
            Rule::Drained => "in the end all is decided and nothing is left",
        }
    }

    /// Whether a state satisfies the rule.
    pub fn holds(self, model: &Protocol, state: &State) -> bool {
        if state.truth.broken.has(self) {
            return false;
        }
        let redis = &state.redis;
        let of = &model.scenario.issues;
        let numbers = || 0..redis.queues.len() as BlueprintNo;
        match self {
            Rule::OneCommit => (0..redis.issues.len()).all(|i| {
                let commits = redis.queues[of[i] as usize].commits.iter();
                let own = commits.filter(|c| c.by == Some(i as u8)).count();
                own <= 1 && (own == 1 || redis.issues[i].state != IssueState::Applied)
            }),
            Rule::OneEntry => (0..redis.issues.len()).all(|i| {
                let entries = redis.log.iter().filter(|(who, _)| *who == i as u8).count();
                entries <= 1 && (entries == 1 || !redis.issues[i].state.is_terminal())
            }),
            Rule::TerminalStays => {
                (redis.log.iter()).all(|(issue, how)| redis.issues[*issue as usize].state == *how)
            }
            Rule::Order => redis.log.iter().enumerate().all(|(at, (issue, how))| {
                let older = (0..*issue).filter(|i| of[*i as usize] == of[*issue as usize]);
                let was_decided = |i: u8| {
                    let was_in_review = redis.issues[i as usize].round > 0;
                    was_in_review || redis.log[..at].iter().any(|(who, _)| *who == i)
                };
                *how == IssueState::Cancelled || older.into_iter().all(was_decided)
            }),
            Rule::Chain => redis.queues.iter().all(|queue| {
                let mut before = 0;
                let is_next = queue.commits.iter().all(|c| {
                    let is_next = c.parent == before && c.seq == before + 1;
                    before = c.seq;
                    is_next
                });
                is_next && queue.head == before
            }),
            Rule::Base => {
                (redis.queues.iter()).all(|queue| queue.commits.iter().all(|c| c.base == c.parent))
            }
            Rule::Approved => redis.queues.iter().all(|queue| {
                queue.commits.iter().all(|commit| {
                    let reviewed = commit.by.filter(|i| model.scenario.reviews.contains(i));
                    reviewed
                        .is_none_or(|i| state.truth.approved[i as usize] & 1 << commit.base != 0)
                })
            }),
            // Violated by a step, not by a state.
            Rule::Fenced
            | Rule::Told
            | Rule::LeaseKept
            | Rule::SelfReview
            | Rule::OrbitKept
            | Rule::PauseKept => true,
            Rule::NoneOrphaned => {
                let is_known = |i: IssueNo| is_known_to_holder(of, state, i);
                model.scenario.faults.may_orphan()
                    || (0..redis.issues.len() as IssueNo).all(is_known)
            }
            Rule::QueueSound => numbers().all(|blueprint| {
                let undecided = (0..redis.issues.len() as u8).filter(|i| {
                    let state = redis.issues[*i as usize].state;
                    of[*i as usize] == blueprint
                        && !matches!(state, IssueState::Unknown | IssueState::InReview)
                        && !state.is_terminal()
                });
                let mut backlog = redis.queues[blueprint as usize].backlog.clone();
                backlog.sort_unstable();
                undecided.eq(backlog)
            }),
            Rule::OneList => {
                state.truth.is_damaged
                    || (numbers().all(|b| ready_head_is_in_one_list(redis, b))
                        && (redis.pending.iter()).all(|e| {
                            let queue = &redis.queues[of[*e as usize] as usize];
                            queue.place == Place::Ready && queue.backlog.first() == Some(e)
                        }))
            }
            Rule::PlaceTrue => {
                state.truth.is_damaged || numbers().all(|b| place_says_the_facts(redis, b))
            }
            Rule::LeaseTrue => redis.issues.iter().enumerate().all(|(i, issue)| {
                (issue.state == IssueState::InFlight) == (redis.leases[i] != Lease::None)
            }),
            Rule::Attempts => redis
                .issues
                .iter()
                .zip(state.truth.waits.iter().zip(&state.truth.earlier))
                .all(|(issue, (waits, earlier))| {
                    let scenario = &model.scenario;
                    issue.deaths <= scenario.max_deaths.max(scenario.alone_from + 1)
                        && issue.retries <= scenario.max_retries
                        && issue.attempt <= issue.deaths + issue.retries + waits + earlier + 1
                }),
            Rule::DeadAlone => (redis.issues.iter().enumerate())
                .all(|(i, f)| f.state != IssueState::Dead || state.truth.ran_alone[i]),
            Rule::RunsAlone => state.workers.iter().all(|worker| {
                let (mut running, mut alone) = (0, false);
                for task in &worker.tasks {
                    if let Phase::Working { alone: a, .. } = task.phase {
                        running += 1;
                        alone |= a;
                    }
                }
                running <= 1 || !alone
            }),
            Rule::Drained => is_drained(state) || actions::goes_on(model, state),
        }
    }
}

/// Whether the worker that holds a lease of this issue works on it or will learn of it. It learns
/// of it by repeating a claim, or a settle that may have handed it over.
fn is_known_to_holder(of: &[BlueprintNo], state: &State, issue: IssueNo) -> bool {
    let f = &state.redis.issues[issue as usize];
    let Some(holder) = f.worker.filter(|_| f.state == IssueState::InFlight) else {
        return true;
    };
    let tasks = &state.workers[holder as usize].tasks;
    tasks.iter().any(|task| {
        let repeats = matches!(
            task.phase,
            Phase::Working {
                unsure: Some(
                    Call::Apply { with_next: true }
                        | Call::Propose { with_next: true }
                        | Call::Deny { with_next: true }
                ),
                ..
            }
        );
        let is_same_queue = of[task.issue as usize] == of[issue as usize];
        task.issue == issue || (repeats && is_same_queue)
    })
}

/// A set of rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Broken(u32);

impl Broken {
    /// Adds a rule.
    pub fn add(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u32;
    }

    /// Whether the set contains a rule.
    pub fn has(self, rule: Rule) -> bool {
        self.0 & 1 << rule as u32 != 0
    }
}

fn ready_head_is_in_one_list(redis: &Redis, blueprint: BlueprintNo) -> bool {
    let queue = &redis.queues[blueprint as usize];
    let Some(head) = queue
        .backlog
        .first()
        .filter(|_| queue.place == Place::Ready)
    else {
        return true;
    };
    let lists = redis.processing.iter().chain([&redis.pending]);
    lists.flatten().filter(|e| *e == head).count() == 1
}

fn place_says_the_facts(redis: &Redis, blueprint: BlueprintNo) -> bool {
    let queue = &redis.queues[blueprint as usize];
    let Some(&head) = queue.backlog.first() else {
        return queue.place == Place::None;
    };
    let in_flight = redis.issues[head as usize].state == IssueState::InFlight;
    let delayed = redis.delayed[head as usize];
    match queue.place {
        Place::None => false,
        Place::Leased => in_flight && !delayed,
        Place::Delayed => delayed && !in_flight,
        Place::Ready => !delayed && !in_flight,
        Place::Parked => !delayed && !in_flight && queue.paused,
    }
}

/// Whether a queue's place matches the position of its head. A second copy of the head needs no
/// repair: a later claim of it returns gone.
pub fn place_is_true(redis: &Redis, blueprint: BlueprintNo) -> bool {
    let queue = &redis.queues[blueprint as usize];
    let is_there = |head| queue.place != Place::Ready || is_in_a_list(redis, head);
    place_says_the_facts(redis, blueprint) && queue.backlog.first().copied().is_none_or(is_there)
}

/// Whether an element is in `pending` or in any processing list.
pub fn is_in_a_list(redis: &Redis, element: IssueNo) -> bool {
    let mut lists = redis.processing.iter().chain([&redis.pending]);
    lists.any(|list| list.contains(&element))
}

/// Whether every acknowledged issue is decided or in review, and all queues are empty.
fn is_drained(state: &State) -> bool {
    let redis = &state.redis;
    let acknowledged = state.submitters.iter().zip(&redis.issues);
    acknowledged.into_iter().all(|(caller, issue)| {
        let is_done = issue.state.is_terminal() || issue.state == IssueState::InReview;
        *caller != Caller::Answered || is_done
    }) && redis
        .queues
        .iter()
        .all(|q| q.backlog.is_empty() && q.place == Place::None)
        && redis.pending.is_empty()
        && redis.processing.iter().all(Vec::is_empty)
        && redis.leases.iter().all(|l| *l == Lease::None)
        && redis.delayed.iter().all(|is_delayed| !is_delayed)
        && redis.due.iter().all(|is_due| !is_due)
        && state.late.is_empty()
        && state
            .workers
            .iter()
            .all(|w| w.tasks.is_empty() || w.status == Status::Dead)
}
