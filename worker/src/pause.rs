//! Pauses after errors, and logging of repeated errors.

use shared::error::chain;
use shared::store::StoreError;
use std::time::Duration;
use std::time::Instant;

/// The shortest and longest pause after an error.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The interval between two log lines about a persistent error.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// A growing pause after repeated errors: 0.1 s to 2 s, with jitter.
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Pause(PAUSES.0)
    }
}

impl Pause {
    /// Waits, longer each time.
    ///
    /// Cancel safe.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(PAUSES.1);
    }

    /// Resets the pause to its minimum after a success.
    pub(crate) fn reset(&mut self) {
        self.0 = PAUSES.0;
    }
}

/// Logs a repeated error at most once every few seconds.
#[derive(Default)]
pub(crate) struct RepeatedErrorLog {
    last: Option<Instant>,
}

impl RepeatedErrorLog {
    /// Logs the error with its role, unless an error was logged within `LOG_EVERY`.
    pub(crate) fn about(&mut self, role: &'static str, error: &StoreError) {
        if self.last.is_none_or(|at| at.elapsed() > LOG_EVERY) {
            self.last = Some(Instant::now());
            tracing::warn!(role, error = chain(error), "will be tried again");
            shared::fail_point::event("call.failed", &[("role", &role)]);
        }
    }
}
