//! Limits how long a slot continues with the issues of one queue.
//!
//! A settle may hand over the queue's next issue, which saves a pop and a claim. The slot is not
//! free in between. Without a limit, a queue that never ends would starve other queues and
//! exclusive runs. A slot therefore takes over a limited number of issues for a limited time. After
//! the first two it does so only while no other queue waits. The next issue then goes to the end of
//! the pending list.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::issue::slots::Slots;

/// The maximum number of issues that a slot takes over without a pop.
const MAX_HAND_OVERS: u32 = 16;
/// The maximum number of them while other queues wait in the pending list.
const MAX_WHILE_OTHERS_WAIT: u32 = 2;
/// The time after its pop in which a slot takes over issues. For longer flows the cost of a pop is
/// negligible.
const MAX_DURATION: Duration = Duration::from_secs(1);

/// The number of issues that a slot has taken over since its pop.
#[derive(Clone)]
pub(crate) struct HandOvers {
    slots: Arc<Slots>,
    stop: CancellationToken,
    popped: Instant,
    n: u32,
}

impl HandOvers {
    /// Returns the state after a pop.
    pub(crate) fn new(slots: Arc<Slots>, stop: CancellationToken) -> HandOvers {
        HandOvers {
            slots,
            stop,
            popped: Instant::now(),
            n: 0,
        }
    }

    /// Counts an issue that was taken over.
    pub(crate) fn add(&mut self) {
        self.n += 1;
    }

    /// True if the next settle takes over an issue only while no other queue waits.
    pub(crate) fn yields(&self) -> bool {
        self.n >= MAX_WHILE_OTHERS_WAIT
    }

    /// True if the next settle asks for the queue's next issue.
    pub(crate) fn may_continue(&self) -> bool {
        self.n < MAX_HAND_OVERS
            && self.popped.elapsed() < MAX_DURATION
            && !self.stop.is_cancelled()
            && !self.slots.are_all_wanted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_goes_on_for_so_many_and_not_once_the_worker_ends() {
        let (slots, stop) = (Slots::new(1, 1), CancellationToken::new());
        let mut hand_overs = HandOvers::new(slots, stop.clone());
        for n in 0..MAX_HAND_OVERS {
            assert!(hand_overs.may_continue());
            assert_eq!(hand_overs.yields(), n >= 2);
            hand_overs.add();
        }
        assert!(!hand_overs.may_continue());
        let fresh = HandOvers::new(Slots::new(1, 1), stop.clone());
        assert!(fresh.may_continue());
        stop.cancel();
        assert!(!fresh.may_continue());
    }

    #[test]
    fn a_slot_goes_on_for_so_long_and_not_while_all_slots_are_waited_for() {
        let slots = Slots::new(2, 1);
        let mut hand_overs = HandOvers::new(Arc::clone(&slots), CancellationToken::new());
        {
            let _waiting = slots.want_all();
            assert!(!hand_overs.may_continue());
        }
        assert!(hand_overs.may_continue());
        hand_overs.popped = Instant::now().checked_sub(MAX_DURATION).expect("a time");
        assert!(!hand_overs.may_continue());
    }
}
