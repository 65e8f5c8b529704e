//! Requests to Redis and their replies: one request for each script.

use crate::model::state::{BlueprintNo, IssueNo, Place, Token, WorkerNo};

/// The decision of a settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Applied: a new version.
    Applied,
    /// A new version that needs a review.
    Review,
    /// Denied by a verifier.
    Denied,
}

/// The reason of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Release {
    /// The worker shuts down.
    Shutdown,
    /// A temporary fault.
    Fault,
    /// A resource of the issue is in use.
    Busy,
}

/// A lease as its holder identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Held {
    /// The issue.
    pub issue: IssueNo,
    /// The worker whose processing list has the element.
    pub worker: WorkerNo,
    /// The token, which the script sees.
    pub token: Token,
    /// The identity of the lease, which the script does not see.
    pub grant: u8,
}

/// A call with all its arguments. A late call is the same call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// `queue/submit.lua`
    Submit(IssueNo),
    /// `BRPOPLPUSH`
    Pop(WorkerNo),
    /// `queue/claim.lua`
    Claim {
        /// The caller.
        worker: WorkerNo,
        /// The issue of the element.
        issue: IssueNo,
        /// The caller's nonce.
        nonce: u8,
        /// Whether the caller promises to run no other issue.
        promise: bool,
    },
    /// `queue/settle.lua`
    Settle {
        /// The lease.
        held: Held,
        /// The decision.
        verdict: Verdict,
        /// The expected head.
        seq: u8,
        /// The head from which the result was computed.
        base: u8,
        /// The nonce of the request for the queue's next issue; `None` without a request.
        next: Option<u8>,
    },
    /// `queue/release.lua`
    Release {
        /// The lease.
        held: Held,
        /// The reason.
        why: Release,
    },
    /// `workers/beat.lua`
    Beat(WorkerNo),
    /// `queue/reap.lua`
    Reap {
        /// The issue of an expired lease, as read by the reaper.
        issue: IssueNo,
        /// Its holder, as read by the reaper.
        holder: Option<WorkerNo>,
    },
    /// `queue/return_element.lua`
    Return {
        /// The worker whose list has the element.
        worker: WorkerNo,
        /// The issue of the element.
        issue: IssueNo,
    },
    /// `queue/promote.lua`
    Promote(IssueNo),
    /// `queue/cancel.lua`
    Cancel {
        /// The issue.
        issue: IssueNo,
        /// Its holder, as read by intake.
        holder: Option<WorkerNo>,
    },
    /// `reviews/approve.lua`
    Approve {
        /// The issue.
        issue: IssueNo,
        /// The head of the proposal that the reviewer has seen.
        base: u8,
        /// Whether the reviewer submitted the issue.
        is_submitter: bool,
    },
    /// `reviews/decline.lua`
    Decline(IssueNo),
    /// `reviews/expire.lua`
    Expire(IssueNo),
    /// `blueprints/put.lua`: an operator writes a new head.
    Put(BlueprintNo),
    /// `queue/pause.lua`: pauses a Blueprint.
    Pause(BlueprintNo),
    /// `queue/resume.lua`: resumes a Blueprint.
    Resume(BlueprintNo),
    /// `queue/audit.lua`: compares a queue's place with the facts.
    Audit(BlueprintNo),
    /// `settings/put.lua`: a setting names a Blueprint as its orbit.
    NameOrbit(BlueprintNo),
}

impl Request {
    /// The verb.
    pub fn verb(&self) -> &'static str {
        match self {
            Request::Submit(_) => "submit",
            Request::Pop(_) => "pop",
            Request::Claim { .. } => "claim",
            Request::Settle {
                verdict: Verdict::Review,
                ..
            } => "propose",
            Request::Settle { .. } => "settle",
            Request::Release { .. } => "release",
            Request::Beat(_) => "beat",
            Request::Reap { .. } => "reap",
            Request::Return { .. } => "return",
            Request::Promote(_) => "promote",
            Request::Cancel { .. } => "cancel",
            Request::Approve { .. } => "approve",
            Request::Decline(_) => "decline",
            Request::Expire(_) => "expire",
            Request::Put(_) => "put",
            Request::Pause(_) => "pause",
            Request::Resume(_) => "resume",
            Request::Audit(_) => "audit",
            Request::NameOrbit(_) => "name orbit",
        }
    }
}

/// The queue's next issue, which a settle hands over to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandOver {
    /// The issue.
    pub issue: IssueNo,
    /// The nonce of the settle's request.
    pub nonce: u8,
    /// The token.
    pub token: Token,
    /// The identity of the lease.
    pub grant: u8,
    /// The head.
    pub seq: u8,
}

/// A script's reply, with the script's names of its outcomes.
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
        /// Whether an earlier call with this nonce was granted.
        again: bool,
        /// The token.
        token: Token,
        /// The identity of the lease.
        grant: u8,
        /// The head.
        seq: u8,
    },
    /// claim, return, promote, reap, expire: no effect, because the issue is no longer there
    Gone,
    /// claim, return
    NotMine,
    /// return: that worker has claimed the element
    LeftThere,
    /// claim
    Held,
    /// claim
    Parked,
    /// claim: only granted with the promise to run no other issue
    Alone,
    /// settle: decided or proposed, now or by an earlier call with this token
    Settled {
        /// Whether an earlier call decided.
        again: bool,
        /// The queue's next issue, if leased to the caller.
        next: Option<HandOver>,
    },
    /// settle, release: the token is not current
    Stale,
    /// settle: the head has changed; the new head
    MovedHead(u8),
    /// release, of a worker that shuts down
    HandedBack,
    /// release, for a fault
    PutOff,
    /// release, because a resource is in use
    MadeToWait,
    /// beat
    Beaten {
        /// Whether an expired lease was extended.
        extended: bool,
        /// Issues that the caller no longer holds.
        lost: Vec<IssueNo>,
        /// Cancelled issues.
        cancelled: Vec<IssueNo>,
        /// Elements without a lease.
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
    /// cancel: the previous place of a queue's head; `None` for other issues, which have no place
    Cancelled(Option<Place>),
    /// cancel: already cancelled
    CancelledBefore,
    /// cancel: terminal for another reason
    Decided,
    /// approve: committed
    Approved {
        /// Whether an earlier call with the same approval committed.
        again: bool,
    },
    /// approve: the head has moved, and the issue has joined its queue
    JoinedAgain {
        /// Whether an earlier call found it.
        again: bool,
    },
    /// approve: in review with another proposal
    OtherProposal,
    /// approve: by the submitter
    SelfReview,
    /// approve, decline
    NotInReview,
    /// decline
    Declined {
        /// Whether it was declined before.
        again: bool,
    },
    /// expire
    Expired,
    /// expire: not due
    Waits,
    /// audit
    Repaired,
    /// audit: a parked head that no pause holds
    Placed,
    /// put, pause, resume, name orbit
    Done,
    /// submit, cancel: refused; claim, settle, approve: decided as failed
    OrbitNeedsAdmin,
}

impl Reply {
    /// The outcome's name. Each variant of an outcome has its own name.
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
            Reply::MadeToWait => "ok, delayed without a retry",
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
            Reply::Approved { again: false } | Reply::Declined { again: false } => "ok",
            Reply::Approved { again: true } | Reply::Declined { again: true } => "again",
            Reply::JoinedAgain { again: false } => "moved_head",
            Reply::JoinedAgain { again: true } => "moved_head, as before",
            Reply::OtherProposal => "other",
            Reply::SelfReview => "self_review",
            Reply::NotInReview => "not_in_review",
            Reply::Expired => "expired",
            Reply::Waits => "waits",
            Reply::Repaired => "repaired",
            Reply::Placed => "placed",
            Reply::Done => "done",
            Reply::OrbitNeedsAdmin => "orbit_needs_admin",
        }
    }
}
