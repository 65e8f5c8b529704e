//! The scripts that extend a lease or end it without a decision of its holder.

use crate::model::mistakes::Mistake;
use crate::model::requests::{Held, Release, Reply};
use crate::model::rules::Rule;
use crate::model::scripts::Scripts;
use crate::model::state::{IssueNo, IssueState, Lease, Phase, Place, WorkerNo};

impl Scripts<'_> {
    pub(super) fn release(&mut self, held: Held, why: Release) -> Reply {
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
            Release::Busy => {
                if self.makes(Mistake::BusyCountsRetry) {
                    self.issue(issue).retries += 1;
                }
                self.truth.waits[issue as usize] += 1;
                self.delay(issue);
                Reply::MadeToWait
            }
            Release::Fault => {
                self.issue(issue).retries += 1;
                if self.makes(Mistake::PutOffGoesLast) {
                    self.queue_of(issue).backlog.rotate_left(1);
                    self.place_head(self.scenario.issues[issue as usize], false);
                    return Reply::PutOff;
                }
                self.delay(issue);
                Reply::PutOff
            }
        }
    }

    fn delay(&mut self, issue: IssueNo) {
        self.redis.delayed[issue as usize] = true;
        self.queue_of(issue).place = Place::Delayed;
    }

    pub(super) fn forget_lease(&mut self, issue: IssueNo) {
        let issue_hash = self.issue(issue);
        issue_hash.state = IssueState::Pending;
        issue_hash.token = None;
        issue_hash.nonce = None;
        issue_hash.alone = false;
    }

    pub(super) fn beat(&mut self, worker: WorkerNo) -> Reply {
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

    pub(super) fn reap(&mut self, issue: IssueNo, holder: Option<WorkerNo>) -> Reply {
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
        self.delay(issue);
        Reply::Delayed
    }
}
