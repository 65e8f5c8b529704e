//! Pauses after errors, and logging of repeated errors.

use shared::error::chain;
use shared::store::StoreError;
use std::time::Duration;
use std::time::Instant;

/// The shortest and longest pause after an error.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// An error that goes on is logged once in this time.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Pauses that grow while things fail: 0.1 s to 2 s, with jitter.
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Pause(PAUSES.0)
    }
}

impl Pause {
    /// Waits, longer each time. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(PAUSES.1);
    }

    /// Things work again.
    pub(crate) fn reset(&mut self) {
        self.0 = PAUSES.0;
    }
}

/// Logs a repeated fault at most every few seconds: an outage is one line now and then.
#[derive(Default)]
pub(crate) struct RepeatedErrorLog {
    last: Option<Instant>,
}

impl RepeatedErrorLog {
    /// Says what went wrong in which role, if it has not been said just now.
    pub(crate) fn about(&mut self, role: &'static str, error: &StoreError) {
        if self.last.is_none_or(|at| at.elapsed() > LOG_EVERY) {
            self.last = Some(Instant::now());
            tracing::warn!(role, error = chain(error), "will be tried again");
        }
    }
}
