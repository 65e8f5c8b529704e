//! What must hold in every state, and what the end must look like.

use crate::model::state::{
    BlueprintNo, Call, Caller, IssueNo, IssueState, Lease, Phase, Place, Redis, State, Status,
};
use crate::model::{Protocol, actions};

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An issue has one commit at most, and an applied one has one.
    OneCommit,
    /// A decided issue has one log entry, and it never gets a second.
    OneEntry,
    /// What the log says of an issue stays so.
    TerminalStays,
    /// An issue is decided after all that were accepted before it; one that is called off,
    /// whenever.
    Order,
    /// Commits are numbered without a gap and each has the one before it as its parent.
    Chain,
    /// A result replaces the head that it was made from.
    Base,
    /// Only the present lease decides or gives back.
    Fenced,
    /// Who is told that it has decided has, and who has is not told that it has not.
    Told,
    /// A lease that runs is not taken away.
    LeaseKept,
    /// A backlog holds each accepted and undecided issue once, and nothing else.
    QueueSound,
    /// A ready head is in exactly one list, and `pending` holds nothing else.
    OneList,
    /// The place says where the head is.
    PlaceTrue,
    /// Exactly the issues in flight have a lease.
    LeaseTrue,
    /// Crashes, retries and attempts stay within their bounds.
    Attempts,
    /// An issue is called dead only after it had a lease to run alone.
    DeadAlone,
    /// Nothing runs beside an issue that runs alone.
    RunsAlone,
    /// Only what an admin files or calls off acts on an orbit.
    OrbitKept,
    /// Nothing of a paused Blueprint is leased anew.
    PauseKept,
    /// Where nothing dies, stalls or comes late, each lease is known to its worker, or is told when
    /// a call is repeated.
    NoneOrphaned,
    /// When nothing goes on any more, everything is decided and nothing is left.
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
            Rule::OrbitKept => "only an admin acts on an orbit",
            Rule::PauseKept => "nothing of a paused Blueprint is leased",
            Rule::NoneOrphaned => "no lease is left to nobody",
            Rule::Drained => "in the end all is decided and nothing is left",
        }
    }

    /// Whether a state keeps it.
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
                let was_decided = |i: u8| redis.log[..at].iter().any(|(who, _)| *who == i);
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
            // Broken in a step, or not at all.
            Rule::Fenced | Rule::Told | Rule::LeaseKept | Rule::OrbitKept | Rule::PauseKept => true,
            Rule::NoneOrphaned => {
                let is_known = |i: IssueNo| is_known_to_holder(of, state, i);
                model.scenario.faults.may_orphan()
                    || (0..redis.issues.len() as IssueNo).all(is_known)
            }
            Rule::QueueSound => numbers().all(|blueprint| {
                let undecided = (0..redis.issues.len() as u8).filter(|i| {
                    let state = redis.issues[*i as usize].state;
                    of[*i as usize] == blueprint
                        && state != IssueState::Unknown
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
            Rule::Attempts => redis.issues.iter().all(|issue| {
                let scenario = &model.scenario;
                issue.deaths <= scenario.max_deaths.max(scenario.alone_from + 1)
                    && issue.retries <= scenario.max_retries
                    && issue.attempt <= issue.deaths + issue.retries + 1
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

/// Whether the worker that has a lease of this issue works on it, or will be told of it: it repeats
/// a claim of it, or a settle that may have handed it over.
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
                unsure: Some(Call::Apply { with_next: true } | Call::Deny { with_next: true }),
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
    /// Adds one.
    pub fn add(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u32;
    }

    /// Whether it is in.
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

/// Whether a queue's place says where its head is, and the head is there. A second copy of it is
/// no fault that needs a repair: who claims it later is told that it is gone.
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

/// Every issue that was acknowledged is decided, and nothing is left anywhere.
fn is_drained(state: &State) -> bool {
    let redis = &state.redis;
    let acknowledged = state.submitters.iter().zip(&redis.issues);
    acknowledged
        .into_iter()
        .all(|(caller, issue)| *caller != Caller::Answered || issue.state.is_terminal())
        && redis
            .queues
            .iter()
            .all(|q| q.backlog.is_empty() && q.place == Place::None)
        && redis.pending.is_empty()
        && redis.processing.iter().all(Vec::is_empty)
        && redis.leases.iter().all(|l| *l == Lease::None)
        && redis.delayed.iter().all(|is_delayed| !is_delayed)
        && state.late.is_empty()
        && state
            .workers
            .iter()
            .all(|w| w.tasks.is_empty() || w.status == Status::Dead)
}
