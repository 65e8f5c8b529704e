//! What is sent to Redis and what it answers: one request for each script.

use crate::model::state::{BlueprintNo, IssueNo, Place, Token, WorkerNo};

/// How a settle decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// A new version.
    Applied,
    /// A verifier said no.
    Denied,
}

/// Why an issue is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Release {
    /// The worker ends.
    Shutdown,
    /// A fault that may pass.
    Fault,
}

/// A lease as its holder names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Held {
    /// The issue.
    pub issue: IssueNo,
    /// Whose processing list it is in.
    pub worker: WorkerNo,
    /// What the script sees.
    pub token: Token,
    /// What it does not see: which lease this is in truth.
    pub grant: u8,
}

/// A call with all its arguments: carried out now or later, it is the same call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// `submit_issue.lua`
    Submit(IssueNo),
    /// `BRPOPLPUSH`
    Pop(WorkerNo),
    /// `claim_issue.lua`
    Claim {
        /// The caller.
        worker: WorkerNo,
        /// The element.
        issue: IssueNo,
        /// The caller's.
        nonce: u8,
        /// The caller promises to run nothing else.
        promise: bool,
    },
    /// `settle_issue.lua`
    Settle {
        /// The lease.
        held: Held,
        /// The decision.
        verdict: Verdict,
        /// The expected head.
        seq: u8,
        /// The head that the result is in truth made from.
        base: u8,
        /// The nonce under which the caller asks for the queue's next issue; none: it does not ask.
        next: Option<u8>,
    },
    /// `release_issue.lua`
    Release {
        /// The lease.
        held: Held,
        /// Why.
        why: Release,
    },
    /// `beat_worker.lua`
    Beat(WorkerNo),
    /// `reap_issue.lua`
    Reap {
        /// An expired lease, as the reaper has read it.
        issue: IssueNo,
        /// Its holder, as the reaper has read it.
        holder: Option<WorkerNo>,
    },
    /// `return_element.lua`
    Return {
        /// Whose list.
        worker: WorkerNo,
        /// The element.
        issue: IssueNo,
    },
    /// `promote_issue.lua`
    Promote(IssueNo),
    /// `cancel_issue.lua`
    Cancel {
        /// The issue.
        issue: IssueNo,
        /// Its holder, as intake has read it.
        holder: Option<WorkerNo>,
    },
    /// `put_blueprint.lua`: an operator writes a new head.
    Put(BlueprintNo),
    /// A Blueprint is paused.
    Pause(BlueprintNo),
    /// A Blueprint is resumed.
    Resume(BlueprintNo),
    /// A queue's place is compared with the facts.
    Audit(BlueprintNo),
    /// `put_setting.lua`: a setting names a Blueprint as its orbit.
    NameOrbit(BlueprintNo),
}

impl Request {
    /// The verb.
    pub fn verb(&self) -> &'static str {
        match self {
            Request::Submit(_) => "submit",
            Request::Pop(_) => "pop",
            Request::Claim { .. } => "claim",
            Request::Settle { .. } => "settle",
            Request::Release { .. } => "release",
            Request::Beat(_) => "beat",
            Request::Reap { .. } => "reap",
            Request::Return { .. } => "return",
            Request::Promote(_) => "promote",
            Request::Cancel { .. } => "cancel",
            Request::Put(_) => "put",
            Request::Pause(_) => "pause",
            Request::Resume(_) => "resume",
            Request::Audit(_) => "audit",
            Request::NameOrbit(_) => "name orbit",
        }
    }
}

/// The queue's next issue, as a settle hands it to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandOver {
    /// The issue.
    pub issue: IssueNo,
    /// The nonce that the settle named.
    pub nonce: u8,
    /// The token.
    pub token: Token,
    /// Which lease this is in truth.
    pub grant: u8,
    /// The head.
    pub seq: u8,
}

/// What a script answers, by the names that it gives its outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// submit
    Accepted,
    /// submit
    Existed,
    /// pop
    Popped(IssueNo),
    /// claim: the lease, and the head
    Claimed {
        /// By an earlier call with this nonce.
        again: bool,
        /// The token.
        token: Token,
        /// Which lease this is in truth.
        grant: u8,
        /// The head.
        seq: u8,
    },
    /// claim, return, promote, reap: nothing to do any more
    Gone,
    /// claim, return
    NotMine,
    /// return: that worker has claimed it
    LeftThere,
    /// claim
    Held,
    /// claim
    Parked,
    /// claim: only with the promise to run nothing else
    Alone,
    /// settle: decided, now or by an earlier call with this token
    Settled {
        /// By an earlier call.
        again: bool,
        /// The queue's next issue, leased to the caller.
        next: Option<HandOver>,
    },
    /// settle, release
    Stale,
    /// settle: the head
    MovedHead(u8),
    /// release, of a worker that ends
    HandedBack,
    /// release, for a fault
    PutOff,
    /// beat
    Beaten {
        /// An expired lease was extended.
        extended: bool,
        /// Not the caller's any more.
        lost: Vec<IssueNo>,
        /// Called off.
        cancelled: Vec<IssueNo>,
        /// Elements that no lease has.
        unleased: Vec<IssueNo>,
    },
    /// reap
    Delayed,
    /// reap
    Dead,
    /// reap
    Alive,
    /// reap, cancel: another worker holds it
    Moved,
    /// return
    Returned,
    /// promote
    Promoted,
    /// cancel, with where the issue was; a head only: others were nowhere
    Cancelled(Option<Place>),
    /// cancel: before
    CancelledBefore,
    /// cancel: otherwise terminal
    Decided,
    /// audit
    Repaired,
    /// put, pause, resume, name orbit
    Done,
    /// submit, cancel: refused; claim, settle: decided, failed
    OrbitNeedsAdmin,
}

impl Reply {
    /// The outcome's name. Where one outcome has several ways, each has its own.
    pub fn outcome(&self) -> &'static str {
        match self {
            Reply::Accepted => "accepted",
            Reply::Existed => "existed",
            Reply::Popped(_) => "popped",
            Reply::Claimed { again: false, .. } => "ok",
            Reply::Claimed { again: true, .. } => "again",
            Reply::Gone => "gone",
            Reply::NotMine => "not_mine",
            Reply::LeftThere => "leased",
            Reply::Held => "held",
            Reply::Parked => "parked",
            Reply::Alone => "alone",
            Reply::Settled {
                again: false,
                next: None,
            } => "ok",
            Reply::Settled {
                again: false,
                next: Some(_),
            } => "ok, with the next",
            Reply::Settled {
                again: true,
                next: None,
            } => "ok, as before",
            Reply::Settled {
                again: true,
                next: Some(_),
            } => "ok, as before, with the next",
            Reply::Stale => "stale",
            Reply::MovedHead(_) => "moved_head",
            Reply::HandedBack => "ok, at once",
            Reply::PutOff => "ok, delayed",
            Reply::Beaten { extended: true, .. } => "expired lease extended",
            Reply::Beaten { cancelled, .. } if !cancelled.is_empty() => "cancelled",
            Reply::Beaten { lost, .. } if !lost.is_empty() => "lost",
            Reply::Beaten { .. } => "unleased",
            Reply::Delayed => "delayed",
            Reply::Dead => "dead",
            Reply::Alive => "alive",
            Reply::Moved => "moved",
            Reply::Returned => "returned",
            Reply::Promoted => "promoted",
            Reply::Cancelled(None) => "ok, not the head",
            Reply::Cancelled(Some(Place::Ready)) => "ok, was ready",
            Reply::Cancelled(Some(Place::Leased)) => "ok, was leased",
            Reply::Cancelled(Some(Place::Delayed)) => "ok, was delayed",
            Reply::Cancelled(Some(Place::Parked)) => "ok, was parked",
            Reply::Cancelled(Some(Place::None)) => "ok, was nowhere",
            Reply::CancelledBefore => "again",
            Reply::Decided => "decided",
            Reply::Repaired => "repaired",
            Reply::Done => "done",
            Reply::OrbitNeedsAdmin => "orbit_needs_admin",
        }
    }
}
