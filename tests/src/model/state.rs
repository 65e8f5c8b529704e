//! The state of the model: the content of Redis, the memory of each process, the calls in progress,
//! and, separate from these, the truth.

use crate::model::requests::Request;
use crate::model::rules::Broken;
use crate::model::scenarios::Faults;

/// The number of an issue. Issues of one Blueprint are accepted in this order.
pub type IssueNo = u8;
/// The number of a Blueprint.
pub type BlueprintNo = u8;
/// The number of a worker, which is also its id.
pub type WorkerNo = u8;

/// The state of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IssueState {
    /// Not accepted yet.
    Unknown,
    /// Waits in its queue.
    Pending,
    /// Leased.
    InFlight,
    /// Waits for the decision of a person.
    InReview,
    /// Decided: applied, with a new version.
    Applied,
    /// Decided: denied by a verifier.
    Denied,
    /// Decided: cancelled.
    Cancelled,
    /// Decided: declined by a person, or not reviewed in time.
    Declined,
    /// Decided: its workers died too often.
    Dead,
    /// Decided: its target became an orbit, and its author is not an admin.
    Refused,
}

impl IssueState {
    /// Whether the issue is decided.
    pub fn is_terminal(self) -> bool {
        !matches!(
            self,
            Self::Unknown | Self::Pending | Self::InFlight | Self::InReview
        )
    }
}

/// The fencing token of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u8, pub u8);

/// The hash of an issue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issue {
    /// Its state.
    pub state: IssueState,
    /// The number of attempts; only claim increments it.
    pub attempt: u8,
    /// The number of retries after temporary faults.
    pub retries: u8,
    /// The number of expired leases; only reap increments it.
    pub deaths: u8,
    /// Whether its present lease, or the one that decided it, was granted for an exclusive run.
    pub alone: bool,
    /// The fencing token.
    pub token: Option<Token>,
    /// The nonce of the claimer.
    pub nonce: Option<u8>,
    /// The last holder.
    pub worker: Option<WorkerNo>,
    /// The number of its proposals.
    pub round: u8,
    /// The head that its last proposal was made from.
    pub base: Option<u8>,
}

/// The position of a queue's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The queue is empty.
    None,
    /// The head is in `pending` or in one processing list.
    Ready,
    /// A worker holds it.
    Leased,
    /// It is delayed.
    Delayed,
    /// Its Blueprint is paused.
    Parked,
}

/// A commit. The first version of a Blueprint has number 0 and no commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Its number.
    pub seq: u8,
    /// The head that it replaced.
    pub parent: u8,
    /// The head from which its content was computed.
    pub base: u8,
    /// The issue that created it; `None` for a commit of an operator.
    pub by: Option<IssueNo>,
}

/// A Blueprint and its queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Queue {
    /// The undecided issues in order of acceptance.
    pub backlog: Vec<IssueNo>,
    /// The position of the head.
    pub place: Place,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether a setting names the Blueprint as its orbit.
    pub is_orbit: bool,
    /// The number of the newest commit.
    pub head: u8,
    /// All commits, in the order of their writing.
    pub commits: Vec<Commit>,
}

/// A lease, without a clock: the scheduler chooses when it may expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lease {
    /// No lease.
    None,
    /// The lease is valid.
    Runs,
    /// The lease has expired and is not reaped yet.
    RanOut,
}

/// The content of Redis.
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
    /// By worker: whether a reaper checks its processing list once it is silent.
    pub registered: Vec<bool>,
    /// By issue.
    pub leases: Vec<Lease>,
    /// By issue: whether it is in `delayed`.
    pub delayed: Vec<bool>,
    /// By issue: the head from which the stored proposal was computed.
    pub proposals: Vec<Option<u8>>,
    /// By issue: whether its proposal has expired.
    pub due: Vec<bool>,
    /// The counter from which tokens are made.
    pub fence: u8,
    /// The log: the decided issues with their states, in the order of decision.
    pub log: Vec<(IssueNo, IssueState)>,
}

/// The status of a worker's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It runs.
    Up,
    /// It is suspended, without noticing it.
    Paused,
    /// It shuts down: it pops nothing and returns its issues.
    Stopping,
    /// It died.
    Dead,
    /// It has shut down.
    Ended,
}

/// A worker's call that it repeats until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// Settle: applied.
    Apply {
        /// Whether it asks for the queue's next issue.
        with_next: bool,
    },
    /// Settle: needs a review.
    Propose {
        /// Whether it asks for the queue's next issue.
        with_next: bool,
    },
    /// Settle: denied.
    Deny {
        /// Whether it asks for the queue's next issue.
        with_next: bool,
    },
    /// Release, after a temporary fault.
    PutOff,
    /// Release, because a resource is in use.
    Wait,
    /// Release, because the worker shuts down.
    HandBack,
}

/// The phase of a dispatch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before its claim was answered.
    Claiming {
        /// Whether it promises an exclusive run, as the previous answer required.
        promise: bool,
        /// Whether a claim was sent and not answered.
        unsure: bool,
    },
    /// It holds a lease, as far as it knows.
    Working {
        /// The lease's token.
        token: Token,
        /// The identity of the lease, which is unique.
        grant: u8,
        /// The head that it sends to settle.
        seq: u8,
        /// The head from which its result was computed.
        base: u8,
        /// Whether it runs exclusively.
        alone: bool,
        /// The call that was sent and not answered. It is repeated unchanged.
        unsure: Option<Call>,
    },
}

/// A dispatch of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Task {
    /// The issue of the element.
    pub issue: IssueNo,
    /// The nonce of its claim.
    pub nonce: u8,
    /// Its phase.
    pub phase: Phase,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Worker {
    /// The status of its process.
    pub status: Status,
    /// The dispatches in its slots.
    pub tasks: Vec<Task>,
}

impl Worker {
    /// Whether an issue is in one of its slots.
    pub fn is_open(&self, issue: IssueNo) -> bool {
        self.tasks.iter().any(|task| task.issue == issue)
    }
}

/// A client that repeats its call of intake until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// It has not called.
    Idle,
    /// It has called without an answer, and will repeat.
    Unsure,
    /// It has an answer.
    Answered,
    /// It was refused.
    Refused,
}

/// The decision of a reviewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Review {
    /// Approves the proposal that was made from this head.
    Approve {
        /// The head that the reviewer has seen.
        base: u8,
        /// Whether the reviewer submitted the issue.
        is_submitter: bool,
    },
    /// Declines.
    Decline,
}

/// A reviewer, who repeats a call until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reviewer {
    /// Whether the last call is answered.
    pub caller: Caller,
    /// The last call; `None` before the first.
    pub review: Option<Review>,
}

impl Reviewer {
    /// A reviewer without a call.
    pub fn idle() -> Self {
        Self {
            caller: Caller::Idle,
            review: None,
        }
    }
}

/// The truth, which no process can see. The rules compare the state with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Truth {
    /// By issue: the identity of its present or last lease.
    pub grants: Vec<u8>,
    /// By issue: the identity of the lease that decided or proposed it.
    pub decided_by: Vec<Option<u8>>,
    /// By issue: whether it ever had a lease for an exclusive run.
    pub ran_alone: Vec<bool>,
    /// By issue: the number of releases because a resource was in use.
    pub waits: Vec<u8>,
    /// By issue: the number of attempts before it joined its queue again.
    pub earlier: Vec<u8>,
    /// By issue: the heads of the proposals that a person has approved, as bits.
    pub approved: Vec<u8>,
    /// Rules that a step violated without a trace in the data.
    pub broken: Broken,
    /// Whether a false place was written. The rules about places then wait for the audit.
    pub is_damaged: bool,
}

/// A state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The content of Redis.
    pub redis: Redis,
    /// The workers.
    pub workers: Vec<Worker>,
    /// By issue: its submitter.
    pub submitters: Vec<Caller>,
    /// By issue: its canceller.
    pub cancellers: Vec<Caller>,
    /// By issue: its reviewer.
    pub reviewers: Vec<Reviewer>,
    /// Calls that may still be executed although their callers no longer wait.
    pub late: Vec<Request>,
    /// The faults that may still happen.
    pub faults: Faults,
    /// The next nonce.
    pub nonce: u8,
    /// The truth.
    pub truth: Truth,
}
