//! Pauses after errors, and logging of repeated errors.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use shared::error::chain;
use shared::store::StoreError;
use shared::throttle::Throttle;

/// The pauses after errors: from 50 ms, doubled up to 1 s, and up to as much again at random.
pub(crate) const BACK_OFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_secs(1))
    .with_jitter()
    .without_max_times();

/// The interval between two log lines about a persistent error.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// A growing pause after repeated errors, as [`BACK_OFF`].
pub(crate) struct Pause(ExponentialBackoff);

impl Default for Pause {
    fn default() -> Self {
        Pause(BACK_OFF.build())
    }
}

impl Pause {
    /// Waits, longer each time.
    ///
    /// Cancel safe.
    pub(crate) async fn wait(&mut self) {
        let pause = self.0.next().expect("the number of pauses is not limited");
        tokio::time::sleep(pause).await;
    }

    /// Resets the pause to its minimum after a success.
    pub(crate) fn reset(&mut self) {
        self.0 = BACK_OFF.build();
    }
}

/// Logs a repeated error at most once every few seconds.
pub(crate) struct RepeatedErrorLog(Throttle);

impl Default for RepeatedErrorLog {
    fn default() -> Self {
        RepeatedErrorLog(Throttle::new(LOG_EVERY))
    }
}

impl RepeatedErrorLog {
    /// Logs the error with its role, unless an error was logged within `LOG_EVERY`.
    pub(crate) fn log(&mut self, role: &'static str, error: &StoreError) {
        if self.0.pass() {
            tracing::warn!(role, error = chain(error), "failed; retrying");
        }
    }
}
