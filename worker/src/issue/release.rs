//! Releases a claimed issue: delayed after a temporary fault, at once at shutdown, or because the
//! lease is no longer trusted.

use std::time::{Duration, Instant};

use shared::error::chain;
use shared::fail_point;
use shared::store::{Claimed, Head, Release};
use shared::whole_ms::whole_ms;

use crate::flow::{FlowError, RunOutcome};
use crate::issue::dispatcher::Dispatcher;
use crate::issue::leases::{Signal, Stop};
use crate::issue::settlement;
use crate::metrics::Metrics;
use crate::pause::Pause;

/// The back-off after temporary faults: base and cap, before jitter.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The delay of an issue that needs a resource in use, before jitter.
const BUSY_DELAY: Duration = Duration::from_secs(2);
/// The maximum delay that a provider's retry-after can request.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

impl Dispatcher {
    /// Handles the temporary fault that a run ended with: delays the issue, or moves it to the dead
    /// list.
    pub(crate) async fn retry_later(
        &self,
        claimed: &Claimed,
        head: &Head,
        fault: &FlowError,
        outcome: &RunOutcome,
    ) {
        let is_busy = fault.is_busy();
        if !is_busy && claimed.retries >= self.max_retries {
            let settlement = settlement::of_exhausted(claimed, head, fault, outcome);
            // A failure does not depend on the head.
            let _ = self.settle(claimed, settlement, None).await;
            return;
        }
        Metrics::count(&self.metrics.put_off);
        let reason = chain(fault);
        let release = if is_busy {
            let delay = BUSY_DELAY.mul_f64(0.5 + fastrand::f64());
            let delay_ms = whole_ms(delay);
            Release::Busy { delay_ms, reason }
        } else {
            let delay = delay(claimed.retries, fault.retry_after(), fastrand::f64());
            let delay_ms = whole_ms(delay);
            Release::Fault { delay_ms, reason }
        };
        // Does not log the problem: it may quote a provider's answer about the intent. The issue's
        // reason contains it.
        tracing::warn!(
            is_busy,
            "delayed after a transient fault; the issue's reason says why"
        );
        self.release(claimed, &release).await;
    }

    pub(crate) async fn stopped(&self, claimed: &Claimed, signal: &Signal) {
        match signal.why() {
            Some(Stop::Shutdown) => {
                Metrics::count(&self.metrics.handed_back);
                tracing::info!("handed back");
                self.release(claimed, &Release::Shutdown).await;
            }
            Some(Stop::Cancelled) => tracing::info!("cancelled; work stopped"),
            Some(Stop::Lost) | None => {
                Metrics::count(&self.metrics.lost);
                tracing::warn!("lease lost; work stopped");
                self.release_untrusted(claimed).await;
            }
        }
    }

    /// Releases a lease that may have expired, for example because Redis was unavailable. If
    /// another worker has the issue, the call returns `stale` and changes nothing.
    pub(crate) async fn release_untrusted(&self, claimed: &Claimed) {
        let deadline = Instant::now() + self.lease;
        let goes_on = || Instant::now() < deadline;
        self.release_while(goes_on, claimed, &Release::Shutdown)
            .await;
    }

    async fn release(&self, claimed: &Claimed, release: &Release) {
        let is_ours = || self.leases.is_trusted(&claimed.lease.issue.issue_id);
        self.release_while(is_ours, claimed, release).await;
    }

    async fn release_while(
        &self,
        goes_on: impl Fn() -> bool,
        claimed: &Claimed,
        release: &Release,
    ) {
        let shard = self.store.of(&claimed.lease.issue.blueprint_id);
        let mut pause = Pause::default();
        while goes_on() {
            let released = shard.release(&claimed.lease, release).await;
            fail_point::pass("release.after");
            match released {
                Ok(_) => return,
                Err(error) if error.is_retryable() => pause.wait().await,
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "could not release; the lease will expire"
                    );
                    return;
                }
            }
        }
    }
}

/// Returns the delay of an issue after its fault number `retries`.
///
/// The delay is 1 s, doubled for each retry up to 60 s, times `jitter` (0 to 1). A longer delay
/// that the provider asked for has priority, up to ten minutes.
fn delay(retries: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let back_off = BACK_OFF.0.saturating_mul(1 << retries.min(16));
    let jittered = back_off.min(BACK_OFF.1).mul_f64(jitter);
    jittered.max(asked.unwrap_or_default().min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_and_a_longer_wish_of_the_provider_wins() {
        let secs = Duration::from_secs;
        let doubled: Vec<u64> = (0..8).map(|n| delay(n, None, 1.0).as_secs()).collect();
        assert_eq!(doubled, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(delay(u32::MAX, None, 1.0), secs(60));
        assert_eq!(delay(3, None, 0.25), secs(2));
        assert_eq!(delay(3, None, 0.0), Duration::ZERO);
        assert_eq!(delay(0, Some(secs(30)), 1.0), secs(30));
        assert_eq!(delay(6, Some(secs(30)), 1.0), secs(60));
        assert_eq!(delay(0, Some(secs(3_600)), 0.5), secs(600));
    }
}
