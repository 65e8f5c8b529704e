//! The scripts, one function each, in the order of the real ones: read, check, write.
//!
//! A line that a [`Mistake`] changes checks for it. Data that only the rules need goes to `truth`,
//! which no script reads.

mod leases;
mod places;
mod review;
mod settle;

use crate::model::mistakes::Mistake;
use crate::model::requests::{Reply, Request};
use crate::model::rules::Rule;
use crate::model::scenarios::Scenario;
use crate::model::state::{
    BlueprintNo, Commit, Issue, IssueNo, IssueState, Lease, Place, Queue, Redis, Token, Truth,
    Worker, WorkerNo,
};

/// Redis during the execution of one script.
pub(super) struct Scripts<'a> {
    pub(super) redis: &'a mut Redis,
    pub(super) truth: &'a mut Truth,
    /// Needed for the arguments of a beat.
    pub(super) workers: &'a [Worker],
    pub(super) scenario: &'a Scenario,
    pub(super) mistake: Option<Mistake>,
}

impl Scripts<'_> {
    /// Executes a request.
    pub(super) fn run(&mut self, request: Request) -> Reply {
        match request {
            Request::Submit(issue) => self.submit(issue),
            Request::Pop(worker) => self.pop(worker),
            Request::Claim {
                worker,
                issue,
                nonce,
                promise,
            } => self.claim(worker, issue, nonce, promise),
            Request::Settle {
                held,
                verdict,
                seq,
                base,
                next,
            } => self.settle(held, verdict, seq, base, next),
            Request::Release { held, why } => self.release(held, why),
            Request::Beat(worker) => self.beat(worker),
            Request::Reap { issue, holder } => self.reap(issue, holder),
            Request::Return { worker, issue } => self.return_element(worker, issue),
            Request::Promote(issue) => self.promote(issue),
            Request::Cancel { issue, holder } => self.cancel(issue, holder),
            Request::Approve {
                issue,
                base,
                is_submitter,
            } => self.approve(issue, base, is_submitter),
            Request::Decline(issue) => self.decline(issue),
            Request::Expire(issue) => self.expire(issue),
            Request::Put(blueprint) => {
                let queue = self.queue(blueprint);
                queue.commits.push(Commit {
                    seq: queue.head + 1,
                    parent: queue.head,
                    base: queue.head,
                    by: None,
                });
                queue.head += 1;
                Reply::Done
            }
            Request::Pause(blueprint) => {
                self.queue(blueprint).paused = true;
                Reply::Done
            }
            Request::Resume(blueprint) => self.resume(blueprint),
            Request::Audit(blueprint) => self.audit(blueprint),
            Request::NameOrbit(blueprint) => {
                self.queue(blueprint).is_orbit = true;
                Reply::Done
            }
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn issue(&mut self, issue: IssueNo) -> &mut Issue {
        &mut self.redis.issues[issue as usize]
    }

    fn queue(&mut self, blueprint: BlueprintNo) -> &mut Queue {
        &mut self.redis.queues[blueprint as usize]
    }

    fn queue_of(&mut self, issue: IssueNo) -> &mut Queue {
        self.queue(self.scenario.issues[issue as usize])
    }

    fn is_head(&mut self, issue: IssueNo) -> bool {
        self.queue_of(issue).backlog.first() == Some(&issue)
    }

    /// Whether the target is an orbit that only an admin may change. With the mistake `overlooks`
    /// the script continues anyway.
    fn orbit_forbids(&mut self, issue: IssueNo, overlooks: Mistake) -> bool {
        let is_admin = match overlooks {
            Mistake::CancelIgnoresOrbit => self.scenario.admin_cancels,
            _ => self.scenario.admins.contains(&issue),
        };
        let forbids = self.queue_of(issue).is_orbit && !is_admin;
        if forbids && self.makes(overlooks) {
            self.truth.broken.add(Rule::OrbitKept);
            return false;
        }
        forbids
    }

    fn take_out(&mut self, worker: WorkerNo, issue: IssueNo) {
        self.redis.processing[worker as usize].retain(|e| *e != issue);
    }

    /// Places the queue's head. No other function pushes to `pending`.
    fn place_head(&mut self, blueprint: BlueprintNo, given_back: bool) {
        let queue = self.queue(blueprint);
        let Some(&head) = queue.backlog.first() else {
            queue.place = Place::None;
            return;
        };
        if queue.paused {
            queue.place = Place::Parked;
            return;
        }
        queue.place = Place::Ready;
        if given_back {
            self.redis.pending.push(head);
        } else {
            self.redis.pending.insert(0, head);
        }
    }

    /// Decides an issue: the block that all decisions share. Places the next head, unless
    /// `leaves_next`.
    fn decide(
        &mut self,
        issue: IssueNo,
        how: IssueState,
        holder: Option<WorkerNo>,
        leaves_next: bool,
    ) {
        let lease = self.redis.leases[issue as usize];
        if self.issue(issue).state != IssueState::InReview {
            self.leave_queue(issue, holder, leaves_next);
        } else if matches!(how, IssueState::Cancelled | IssueState::Refused) {
            // A repeated settle of the proposal is told so.
            self.truth.decided_by[issue as usize] = None;
        }
        if self.makes(Mistake::CancelKeepsLease) && how == IssueState::Cancelled {
            self.redis.leases[issue as usize] = lease;
        }
        self.issue(issue).state = how;
        self.redis.log.push((issue, how));
        self.redis.proposals[issue as usize] = None;
        self.redis.due[issue as usize] = false;
    }

    /// Removes an issue from its queue: the block that decisions and proposals share. Places the
    /// next head, unless `leaves_next`.
    fn leave_queue(&mut self, issue: IssueNo, holder: Option<WorkerNo>, leaves_next: bool) {
        let was_head = self.is_head(issue);
        let place = self.queue_of(issue).place;

        self.redis.leases[issue as usize] = Lease::None;
        if let Some(holder) = holder {
            self.take_out(holder, issue);
        }
        self.queue_of(issue).backlog.retain(|i| *i != issue);
        if was_head {
            if place == Place::Ready {
                self.redis.pending.retain(|i| *i != issue);
            }
            if place == Place::Delayed {
                self.redis.delayed[issue as usize] = false;
            }
            if !leaves_next && !self.makes(Mistake::DecideForgetsNext) {
                self.place_head(self.scenario.issues[issue as usize], false);
            }
        }
    }

    fn submit(&mut self, issue: IssueNo) -> Reply {
        if self.issue(issue).state != IssueState::Unknown && !self.makes(Mistake::SubmitRepeats) {
            return Reply::Existed;
        }

        if self.orbit_forbids(issue, Mistake::SubmitIgnoresOrbit) {
            return Reply::OrbitNeedsAdmin;
        }

        let always = self.makes(Mistake::SubmitPlacesAlways);
        self.issue(issue).state = IssueState::Pending;
        self.join_queue(issue, always);
        Reply::Accepted
    }

    /// Appends an issue to its queue, and places it if it is the head, or `always`.
    fn join_queue(&mut self, issue: IssueNo, always: bool) {
        let queue = self.queue_of(issue);
        queue.backlog.push(issue);
        if queue.place == Place::None || always {
            self.place_head(self.scenario.issues[issue as usize], false);
        }
    }

    fn pop(&mut self, worker: WorkerNo) -> Reply {
        let Some(element) = self.redis.pending.pop() else {
            return Reply::Gone;
        };
        self.redis.processing[worker as usize].insert(0, element);
        Reply::Popped(element)
    }

    fn claim(&mut self, worker: WorkerNo, issue: IssueNo, nonce: u8, promise: bool) -> Reply {
        let f = self.issue(issue).clone();
        let is_head = self.is_head(issue);
        let (place, paused, seq) = {
            let queue = self.queue_of(issue);
            (queue.place, queue.paused, queue.head)
        };
        let in_flight = f.state == IssueState::InFlight && place == Place::Leased;
        if in_flight && f.worker == Some(worker) && is_head {
            return match f.token.filter(|_| f.nonce == Some(nonce)) {
                Some(token) => Reply::Claimed {
                    again: true,
                    token,
                    grant: self.truth.grants[issue as usize],
                    seq,
                },
                None => Reply::Held,
            };
        }
        if !self.redis.processing[worker as usize].contains(&issue) {
            return Reply::NotMine;
        }
        let is_ready = f.state == IssueState::Pending && place == Place::Ready && is_head;
        if !is_ready && !self.makes(Mistake::ClaimTakesAnything) {
            self.take_out(worker, issue);
            return Reply::Gone;
        }
        if paused {
            self.take_out(worker, issue);
            self.queue_of(issue).place = Place::Parked;
            return Reply::Parked;
        }
        if self.orbit_forbids(issue, Mistake::ClaimIgnoresOrbit) {
            self.decide(issue, IssueState::Refused, Some(worker), false);
            return Reply::OrbitNeedsAdmin;
        }
        if f.deaths >= self.scenario.alone_from && !promise {
            return Reply::Alone;
        }

        let (token, grant) = self.grant(worker, issue, nonce, promise);
        Reply::Claimed {
            again: false,
            token,
            grant,
            seq,
        }
    }

    /// Leases the queue's head: the code that claim and settle share (`queue/include/grant.lua`).
    fn grant(&mut self, worker: WorkerNo, issue: IssueNo, nonce: u8, promise: bool) -> (Token, u8) {
        if self.queue_of(issue).paused {
            self.truth.broken.add(Rule::PauseKept);
        }
        self.redis.fence += 1;
        let grant = self.redis.fence;
        let attempt = self.issue(issue).attempt + 1;
        let token = if self.makes(Mistake::TokenOfAttempt) {
            Token(worker, attempt)
        } else {
            Token(grant, nonce)
        };
        let issue_hash = self.issue(issue);
        issue_hash.state = IssueState::InFlight;
        issue_hash.token = Some(token);
        issue_hash.nonce = Some(nonce);
        issue_hash.worker = Some(worker);
        issue_hash.attempt = attempt;
        issue_hash.alone = promise;
        self.redis.leases[issue as usize] = Lease::Runs;
        self.queue_of(issue).place = Place::Leased;
        self.truth.grants[issue as usize] = grant;
        self.truth.ran_alone[issue as usize] |= promise;
        (token, grant)
    }

    fn cancel(&mut self, issue: IssueNo, holder: Option<WorkerNo>) -> Reply {
        let f = self.issue(issue).clone();
        if f.state.is_terminal() {
            return if f.state == IssueState::Cancelled {
                Reply::CancelledBefore
            } else {
                Reply::Decided
            };
        }
        if self.orbit_forbids(issue, Mistake::CancelIgnoresOrbit) {
            return Reply::OrbitNeedsAdmin;
        }
        if f.state == IssueState::InFlight && f.worker != holder {
            return Reply::Moved;
        }
        let place = self.is_head(issue).then(|| self.queue_of(issue).place);

        self.decide(issue, IssueState::Cancelled, holder, false);
        Reply::Cancelled(place)
    }
}
