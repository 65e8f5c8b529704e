//! The scripts that only place a queue's head.

use crate::model::mistakes::Mistake;
use crate::model::requests::Reply;
use crate::model::rules::{is_in_a_list, place_is_true};
use crate::model::scripts::Scripts;
use crate::model::state::{BlueprintNo, IssueNo, IssueState, Place, WorkerNo};

impl Scripts<'_> {
    pub(super) fn resume(&mut self, blueprint: BlueprintNo) -> Reply {
        let always = self.makes(Mistake::ResumePlacesAlways);
        let queue = self.queue(blueprint);
        queue.paused = false;
        if queue.place == Place::Parked || always {
            self.place_head(blueprint, false);
        }
        Reply::Done
    }

    /// Corrects a queue's place, and moves the element to that place.
    pub(super) fn audit(&mut self, blueprint: BlueprintNo) -> Reply {
        if place_is_true(self.redis, blueprint) {
            return Reply::Gone;
        }
        let Some(&head) = self.queue(blueprint).backlog.first() else {
            self.queue(blueprint).place = Place::None;
            return Reply::Repaired;
        };
        let is_in_flight = self.issue(head).state == IssueState::InFlight;
        let is_delayed = self.redis.delayed[head as usize];
        let place = if is_in_flight {
            Place::Leased
        } else if is_delayed {
            Place::Delayed
        } else if is_in_a_list(self.redis, head) {
            Place::Ready
        } else if self.queue(blueprint).place == Place::Parked {
            self.place_head(blueprint, false);
            return Reply::Placed;
        } else {
            self.place_head(blueprint, true);
            return Reply::Repaired;
        };
        self.queue(blueprint).place = place;
        Reply::Repaired
    }

    pub(super) fn return_element(&mut self, worker: WorkerNo, issue: IssueNo) -> Reply {
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

    pub(super) fn promote(&mut self, issue: IssueNo) -> Reply {
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
}
