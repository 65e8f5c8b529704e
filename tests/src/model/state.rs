//! What the model knows: what Redis holds, what each process remembers, what is still under way,
//! and, kept apart from all of it, what really happened.

use crate::model::requests::Request;
use crate::model::rules::Broken;
use crate::model::scenarios::Faults;

/// An issue, by number: those of one Blueprint are accepted in this order.
pub type IssueNo = u8;
/// A Blueprint, by number.
pub type BlueprintNo = u8;
/// A worker, by number. It is also its id.
pub type WorkerNo = u8;

/// The state of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IssueState {
    /// Not accepted yet.
    Unknown,
    /// Waits.
    Pending,
    /// Leased.
    InFlight,
    /// Decided: a new version.
    Applied,
    /// Decided: a verifier said no.
    Denied,
    /// Decided: called off.
    Cancelled,
    /// Decided: it crashed its workers too often.
    Dead,
    /// Decided: its target became an orbit, and an admin did not file it.
    Refused,
}

impl IssueState {
    /// Whether it is decided.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Unknown | Self::Pending | Self::InFlight)
    }
}

/// What a lease is held by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u8, pub u8);

/// The hash of an issue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issue {
    /// Its state.
    pub state: IssueState,
    /// Counted by claim alone.
    pub attempt: u8,
    /// How often it was put off for a passing fault.
    pub retries: u8,
    /// How often a lease of it ran out: counted by reap alone.
    pub deaths: u8,
    /// Whether its last lease was given on the promise to run nothing else.
    pub alone: bool,
    /// The fencing token.
    pub token: Option<Token>,
    /// The claimer's nonce.
    pub nonce: Option<u8>,
    /// The last holder.
    pub worker: Option<WorkerNo>,
}

/// Where the head of a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The queue is empty.
    None,
    /// In `pending` or in one processing list.
    Ready,
    /// A worker has it.
    Leased,
    /// It waits for its time.
    Delayed,
    /// Its Blueprint is paused.
    Parked,
}

/// A commit: the first version of a Blueprint is number 0 and has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Its number.
    pub seq: u8,
    /// The head that it replaced.
    pub parent: u8,
    /// The head that its content was in truth computed from.
    pub base: u8,
    /// The issue that made it; none for an operator's.
    pub by: Option<IssueNo>,
}

/// A Blueprint and its queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Queue {
    /// The undecided issues in order of acceptance.
    pub backlog: Vec<IssueNo>,
    /// Where the head is.
    pub place: Place,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether a setting names the Blueprint as its orbit.
    pub is_orbit: bool,
    /// The number of the newest commit.
    pub head: u8,
    /// All commits, in the order in which they were written.
    pub commits: Vec<Commit>,
}

/// A lease, without a clock: when it may run out is the scheduler's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lease {
    /// There is none.
    None,
    /// It runs.
    Runs,
    /// Its time is over and nobody reaped it yet.
    RanOut,
}

/// What Redis holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Redis {
    /// By issue.
    pub issues: Vec<Issue>,
    /// By Blueprint.
    pub queues: Vec<Queue>,
    /// From left to right: pushed on the left, popped on the right.
    pub pending: Vec<IssueNo>,
    /// By worker.
    pub processing: Vec<Vec<IssueNo>>,
    /// By worker: whether a reaper looks at its processing list once it is silent.
    pub registered: Vec<bool>,
    /// By issue.
    pub leases: Vec<Lease>,
    /// By issue: whether it waits in `delayed`.
    pub delayed: Vec<bool>,
    /// The counter that tokens are made of.
    pub fence: u8,
    /// The log: who was decided, how, in the order in which it was done.
    pub log: Vec<(IssueNo, IssueState)>,
}

/// How a worker's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It runs.
    Up,
    /// It is stopped in its tracks, and does not know.
    Paused,
    /// It was asked to end: it pops no more and hands back.
    Stopping,
    /// It died.
    Dead,
    /// It ended in order.
    Ended,
}

/// How a worker's call ended that it has to repeat until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// Settle: applied.
    Apply {
        /// The queue's next issue was asked for.
        with_next: bool,
    },
    /// Settle: denied.
    Deny {
        /// The queue's next issue was asked for.
        with_next: bool,
    },
    /// Release, for a passing fault.
    PutOff,
    /// Release, because the worker ends.
    HandBack,
}

/// Where a dispatch is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before its claim was answered.
    Claiming {
        /// It was told to run alone, and promises it.
        promise: bool,
        /// A claim is out that was not answered.
        unsure: bool,
    },
    /// It has a lease, as far as it knows.
    Working {
        /// The lease's token.
        token: Token,
        /// Which lease this is in truth: no two have one number.
        grant: u8,
        /// The head that it names to settle.
        seq: u8,
        /// The head that its result is made from.
        base: u8,
        /// It runs alone.
        alone: bool,
        /// A call that was sent and not answered: it is repeated as it is.
        unsure: Option<Call>,
    },
}

/// One dispatch of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Task {
    /// The element's issue.
    pub issue: IssueNo,
    /// Its claim's nonce.
    pub nonce: u8,
    /// Where it is.
    pub phase: Phase,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Worker {
    /// Its process.
    pub status: Status,
    /// What it has in its slots.
    pub tasks: Vec<Task>,
}

impl Worker {
    /// Whether an issue is in one of its slots.
    pub fn is_open(&self, issue: IssueNo) -> bool {
        self.tasks.iter().any(|task| task.issue == issue)
    }
}

/// Somebody who calls intake until answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Has not called.
    Idle,
    /// Has called and got no answer: will repeat.
    Unsure,
    /// Was answered.
    Answered,
    /// Was refused.
    Refused,
}

/// What really happened, which no process can see: rules are held against it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Truth {
    /// By issue: which lease is its present one, or was its last.
    pub grants: Vec<u8>,
    /// By issue: which lease decided it, if one did.
    pub decided_by: Vec<Option<u8>>,
    /// By issue: whether it ever had a lease that was given on the promise to run nothing else.
    pub ran_alone: Vec<bool>,
    /// Rules that were broken in a step and leave no trace in the data.
    pub broken: Broken,
    /// Somebody wrote a false place: the rules about places wait for the audit.
    pub is_damaged: bool,
}

/// A state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// What Redis holds.
    pub redis: Redis,
    /// The workers.
    pub workers: Vec<Worker>,
    /// By issue: its submitter.
    pub submitters: Vec<Caller>,
    /// By issue: who calls it off.
    pub cancellers: Vec<Caller>,
    /// Calls that were sent and may still be carried out, without anybody waiting for the answer.
    pub late: Vec<Request>,
    /// What may still go wrong.
    pub faults: Faults,
    /// The next nonce.
    pub nonce: u8,
    /// What really happened.
    pub truth: Truth,
}
