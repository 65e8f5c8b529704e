//! The scripts, one function each, in the order of the real ones: read, check, write.
//!
//! A line that a [`Mistake`] changes checks for it. Data that only the rules need goes to `truth`,
//! which no script reads.

mod places;

use crate::model::mistakes::Mistake;
use crate::model::requests::{HandOver, Held, Release, Reply, Request, Verdict};
use crate::model::rules::Rule;
use crate::model::scenarios::Scenario;
use crate::model::state::{
    BlueprintNo, Commit, Issue, IssueNo, IssueState, Lease, Phase, Place, Queue, Redis, Token,
    Truth, Worker, WorkerNo,
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

    /// Decides an issue: the block that settle, cancel and reap share. Places the next head, unless
    /// `leaves_next`.
    fn decide(
        &mut self,
        issue: IssueNo,
        how: IssueState,
        holder: Option<WorkerNo>,
        leaves_next: bool,
    ) {
        let was_head = self.is_head(issue);
        let place = self.queue_of(issue).place;

        self.issue(issue).state = how;
        self.redis.log.push((issue, how));
        if !(self.makes(Mistake::CancelKeepsLease) && how == IssueState::Cancelled) {
            self.redis.leases[issue as usize] = Lease::None;
        }
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
        let queue = self.queue_of(issue);
        queue.backlog.push(issue);
        if queue.place == Place::None || always {
            self.place_head(self.scenario.issues[issue as usize], false);
        }
        Reply::Accepted
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

    /// Leases the next head to the caller of a settle, or places it.
    fn take_next(
        &mut self,
        worker: WorkerNo,
        blueprint: BlueprintNo,
        nonce: u8,
    ) -> Option<HandOver> {
        let queue = self.queue(blueprint);
        let (seq, paused) = (queue.head, queue.paused);
        let Some(&issue) = queue.backlog.first() else {
            self.place_head(blueprint, false);
            return None;
        };
        let waits = paused && !self.makes(Mistake::HandOverIgnoresPause);
        if waits || self.orbit_forbids(issue, Mistake::HandOverIgnoresOrbit) {
            self.place_head(blueprint, false);
            return None;
        }
        if self.makes(Mistake::HandOverPlacesToo) {
            self.redis.pending.insert(0, issue);
        }
        self.redis.processing[worker as usize].insert(0, issue);
        let (token, grant) = self.grant(worker, issue, nonce, false);
        Some(HandOver {
            issue,
            nonce,
            token,
            grant,
            seq,
        })
    }

    /// The issue that an earlier call of this settle handed over, if its lease is the present one.
    fn taken_before(&mut self, blueprint: BlueprintNo, nonce: u8) -> Option<HandOver> {
        if self.makes(Mistake::HandOverForgets) {
            return None;
        }
        let queue = self.queue(blueprint);
        let (seq, issue) = (queue.head, *queue.backlog.first()?);
        let f = self.issue(issue).clone();
        let is_it = f.state == IssueState::InFlight && f.nonce == Some(nonce);
        Some(HandOver {
            issue,
            nonce,
            token: f.token.filter(|_| is_it)?,
            grant: self.truth.grants[issue as usize],
            seq,
        })
    }

    fn settle(
        &mut self,
        held: Held,
        verdict: Verdict,
        seq: u8,
        base: u8,
        next: Option<u8>,
    ) -> Reply {
        let issue = held.issue;
        let blueprint = self.scenario.issues[issue as usize];
        let f = self.issue(issue).clone();
        if f.token != Some(held.token) && !self.makes(Mistake::SettleUnfenced) {
            return Reply::Stale;
        }
        if !self.makes(Mistake::SettleRepeats) {
            if f.state.is_terminal() {
                let forgets = self.makes(Mistake::SettleForgets);
                if f.state == IssueState::Cancelled || forgets {
                    return Reply::Stale;
                }
                if f.state == IssueState::Refused {
                    return Reply::OrbitNeedsAdmin;
                }
                let next = next.and_then(|nonce| self.taken_before(blueprint, nonce));
                return Reply::Settled { again: true, next };
            }
            if f.state != IssueState::InFlight {
                return Reply::Stale;
            }
        }
        if verdict == Verdict::Applied && self.orbit_forbids(issue, Mistake::SettleIgnoresOrbit) {
            self.decide(issue, IssueState::Refused, Some(held.worker), false);
            return Reply::OrbitNeedsAdmin;
        }
        let head = self.queue_of(issue).head;
        if head != seq && !self.makes(Mistake::SettleOverAnyHead) {
            return Reply::MovedHead(head);
        }

        self.hold_against_truth(held);
        let how = match verdict {
            Verdict::Denied => IssueState::Denied,
            Verdict::Applied => {
                let queue = self.queue_of(issue);
                queue.commits.push(Commit {
                    seq: seq + 1,
                    parent: head,
                    base,
                    by: Some(issue),
                });
                queue.head = seq + 1;
                IssueState::Applied
            }
        };
        // A head without a lease keeps its place.
        let next = next.filter(|_| self.is_head(issue));
        self.decide(issue, how, Some(held.worker), next.is_some());
        self.truth.decided_by[issue as usize] = Some(held.grant);
        let next = next.and_then(|nonce| self.take_next(held.worker, blueprint, nonce));
        Reply::Settled { again: false, next }
    }

    /// Checks that a caller which decides or releases holds the present lease, the last one granted
    /// for this issue.
    fn hold_against_truth(&mut self, held: Held) {
        let last = self.truth.grants[held.issue as usize];
        if last != held.grant {
            self.truth.broken.add(Rule::Fenced);
        }
    }

    fn release(&mut self, held: Held, why: Release) -> Reply {
        let issue = held.issue;
        let f = self.issue(issue).clone();
        let is_held = f.token == Some(held.token) || self.makes(Mistake::ReleaseUnfenced);
        if f.state != IssueState::InFlight || !is_held {
            return Reply::Stale;
        }

        self.hold_against_truth(held);
        self.redis.leases[issue as usize] = Lease::None;
        self.take_out(held.worker, issue);
        self.forget_lease(issue);
        match why {
            Release::Shutdown => {
                if !self.makes(Mistake::ReleaseKeepsAttempt) {
                    self.issue(issue).attempt -= 1;
                }
                if !self.makes(Mistake::ReleaseForgetsPlace) {
                    self.place_head(self.scenario.issues[issue as usize], true);
                }
                Reply::HandedBack
            }
            Release::Fault => {
                self.issue(issue).retries += 1;
                if self.makes(Mistake::PutOffGoesLast) {
                    self.queue_of(issue).backlog.rotate_left(1);
                    self.place_head(self.scenario.issues[issue as usize], false);
                    return Reply::PutOff;
                }
                self.redis.delayed[issue as usize] = true;
                self.queue_of(issue).place = Place::Delayed;
                Reply::PutOff
            }
        }
    }

    fn forget_lease(&mut self, issue: IssueNo) {
        let issue_hash = self.issue(issue);
        issue_hash.state = IssueState::Pending;
        issue_hash.token = None;
        issue_hash.nonce = None;
    }

    fn beat(&mut self, worker: WorkerNo) -> Reply {
        let (mut extended, mut lost, mut cancelled) = (false, Vec::new(), Vec::new());
        for task in &self.workers[worker as usize].tasks {
            let Phase::Working { token, .. } = task.phase else {
                continue;
            };
            let f = &self.redis.issues[task.issue as usize];
            if f.state == IssueState::InFlight && f.token == Some(token) {
                let lease = &mut self.redis.leases[task.issue as usize];
                extended |= *lease == Lease::RanOut;
                *lease = Lease::Runs;
            } else if f.state == IssueState::Cancelled {
                cancelled.push(task.issue);
            } else {
                lost.push(task.issue);
            }
        }
        let in_list = self.redis.processing[worker as usize].iter().copied();
        let unleased = in_list.filter(|e| self.redis.leases[*e as usize] == Lease::None);
        Reply::Beaten {
            extended,
            lost,
            cancelled,
            unleased: unleased.collect(),
        }
    }

    fn reap(&mut self, issue: IssueNo, holder: Option<WorkerNo>) -> Reply {
        let lease = self.redis.leases[issue as usize];
        if lease == Lease::None {
            return Reply::Gone;
        }
        if lease == Lease::Runs && !self.makes(Mistake::ReapWithoutExpiry) {
            return Reply::Alive;
        }
        let f = self.issue(issue).clone();
        if f.worker != holder && !self.makes(Mistake::ReapWithoutHolder) {
            return Reply::Moved;
        }
        if f.state != IssueState::InFlight {
            self.redis.leases[issue as usize] = Lease::None;
            return Reply::Gone;
        }

        if lease == Lease::Runs {
            self.truth.broken.add(Rule::LeaseKept);
        }
        let deaths = f.deaths + 1;
        self.issue(issue).deaths = deaths;
        let was_alone = f.alone || self.makes(Mistake::DeadWithoutAlone);
        if deaths >= self.scenario.max_deaths && was_alone {
            self.decide(issue, IssueState::Dead, holder, false);
            if !self.makes(Mistake::DeadKeepsToken) {
                self.issue(issue).token = None;
            }
            return Reply::Dead;
        }
        self.redis.leases[issue as usize] = Lease::None;
        if let Some(holder) = holder {
            self.take_out(holder, issue);
        }
        self.forget_lease(issue);
        self.redis.delayed[issue as usize] = true;
        self.queue_of(issue).place = Place::Delayed;
        Reply::Delayed
    }

    fn return_element(&mut self, worker: WorkerNo, issue: IssueNo) -> Reply {
        if !self.redis.processing[worker as usize].contains(&issue) {
            return Reply::NotMine;
        }
        let is_head = self.is_head(issue);
        let place = self.queue_of(issue).place;
        if place == Place::Leased && is_head && self.issue(issue).worker == Some(worker) {
            return Reply::LeftThere;
        }
        self.take_out(worker, issue);
        let is_ready = place == Place::Ready && is_head;
        if !is_ready && !self.makes(Mistake::ReturnWithoutPlace) {
            return Reply::Gone;
        }
        self.place_head(self.scenario.issues[issue as usize], true);
        Reply::Returned
    }

    fn promote(&mut self, issue: IssueNo) -> Reply {
        let is_delayed = self.redis.delayed[issue as usize];
        let is_place = self.queue_of(issue).place == Place::Delayed && self.is_head(issue);
        let looks = !self.makes(Mistake::PromoteWithoutDelayed);
        if !is_delayed && looks {
            return Reply::Gone;
        }

        self.redis.delayed[issue as usize] = false;
        if !is_place && looks {
            return Reply::Gone;
        }
        self.place_head(self.scenario.issues[issue as usize], false);
        Reply::Promoted
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
