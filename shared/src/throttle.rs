//! Limits how often something repeats, such as a log line about a persistent error.

use std::time::{Duration, Instant};

/// Allows an action at most once per interval. The first one is allowed at once.
#[derive(Debug)]
pub struct Throttle {
    every: Duration,
    last: Option<Instant>,
}

impl Throttle {
    /// Creates a throttle that allows one action every `every`.
    pub const fn new(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// Returns true if the action is allowed now, and begins the next interval.
    pub fn pass(&mut self) -> bool {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= self.every);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_action_passes_in_each_interval() {
        let mut hourly = Throttle::new(Duration::from_secs(3_600));
        assert!(hourly.pass());
        assert!(!hourly.pass());
        let mut unlimited = Throttle::new(Duration::ZERO);
        assert!(unlimited.pass());
        assert!(unlimited.pass());
    }
}
