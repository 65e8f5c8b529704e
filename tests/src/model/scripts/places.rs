//! The scripts that only place a queue's head.

use crate::model::mistakes::Mistake;
use crate::model::requests::Reply;
use crate::model::rules::{is_in_a_list, place_is_true};
use crate::model::scripts::Scripts;
use crate::model::state::{BlueprintNo, IssueState, Place};

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
        } else {
            self.place_head(blueprint, false);
            return Reply::Repaired;
        };
        self.queue(blueprint).place = place;
        Reply::Repaired
    }
}
