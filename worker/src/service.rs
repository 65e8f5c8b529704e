//! What all background loops have in common: one body, repeated until stopped, that never lets
//! an error end it.

use std::time::{Duration, Instant};

use shared::error::chain;
use shared::store::{ConnectionId, Shard, StoreError};
use tokio_util::sync::CancellationToken;

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
pub(crate) struct Complaint {
    last: Option<Instant>,
}

impl Complaint {
    /// Says what went wrong in which role, if it has not been said just now.
    pub(crate) fn about(&mut self, role: &'static str, error: &StoreError) {
        if self.last.is_none_or(|at| at.elapsed() > LOG_EVERY) {
            self.last = Some(Instant::now());
            tracing::warn!(role, error = chain(error), "will be tried again");
        }
    }
}

/// Waits for a call that blocks on the connection of this id. When it is to stop, the call is not
/// dropped (it may be bringing something), but Redis is asked to end it.
pub(crate) async fn blocking<T>(
    shard: &Shard,
    connection: &ConnectionId,
    stop: &CancellationToken,
    call: impl Future<Output = T>,
) -> T {
    tokio::pin!(call);
    tokio::select! {
        answer = &mut call => return answer,
        () = stop.cancelled() => {}
    }
    if let Err(error) = shard.unblock_connection(connection).await {
        tracing::debug!(error = chain(&error), "the last pop takes its time");
    }
    call.await
}

/// Repeats `once` with `every` in between until `stop`. A round that fails is logged and repeated.
pub(crate) async fn repeat<F>(
    role: &'static str,
    every: Duration,
    stop: CancellationToken,
    mut once: impl FnMut() -> F,
) where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut complaint = Complaint::default();
    while !stop.is_cancelled() {
        if let Err(error) = once().await {
            complaint.about(role, &error);
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => {}
        }
    }
}
