//! Whether a topic has watchers, and when they are polled.

use std::future::Future;
use std::time::Duration;

use shared::store::StoreError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::watching::RETRY_AFTER;

/// Interval between two polls.
const POLL_EVERY: Duration = Duration::from_secs(3);
/// How long a topic stays subscribed after its last watcher has ended.
const UNSUBSCRIBE_AFTER: Duration = Duration::from_secs(30);
/// The share of one call to Redis in the interval between two polls. So an idle hub makes at most
/// two calls a second, whatever it watches.
const PAUSE_PER_CALL: Duration = Duration::from_millis(500);

/// The number of watchers and of subscriptions of one topic.
pub(crate) struct Demand {
    watchers: watch::Sender<Watchers>,
    /// Number of subscriptions so far; each new one triggers a poll.
    subscriptions: watch::Sender<u64>,
}

#[derive(Clone, Copy)]
struct Watchers {
    count: usize,
    /// When the count last became zero.
    idle_since: Instant,
}

impl Demand {
    /// Creates the state without watchers.
    pub(crate) fn new() -> Self {
        let none = Watchers {
            count: 0,
            idle_since: Instant::now(),
        };
        Self {
            watchers: watch::Sender::new(none),
            subscriptions: watch::Sender::new(0),
        }
    }

    /// Sets the number of watchers.
    pub(crate) fn set(&self, count: usize) {
        self.watchers.send_modify(|watchers| {
            if count == 0 && watchers.count > 0 {
                watchers.idle_since = Instant::now();
            }
            watchers.count = count;
        });
    }

    /// Returns the number of watchers.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.watchers.borrow().count
    }

    /// Notes that the topic was subscribed.
    pub(crate) fn note_subscription(&self) {
        self.subscriptions.send_modify(|times| *times += 1);
    }

    /// Waits until the topic has a watcher.
    pub(crate) async fn begins(&self) {
        let mut watchers = self.watchers.subscribe();
        // Cannot fail: `self` holds the sender.
        let _ = watchers.wait_for(|watchers| watchers.count > 0).await;
    }

    /// Waits until the topic has had no watcher for [`UNSUBSCRIBE_AFTER`].
    pub(crate) async fn ends(&self) {
        let mut watchers = self.watchers.subscribe();
        loop {
            // Neither wait can fail: `self` holds the sender.
            let idle = watchers.wait_for(|watchers| watchers.count == 0).await;
            let Ok(until) = idle.map(|idle| idle.idle_since + UNSUBSCRIBE_AFTER) else {
                continue;
            };
            tokio::select! {
                () = sleep_until(until) => return,
                _ = watchers.wait_for(|watchers| watchers.count > 0) => {}
            }
        }
    }

    /// Polls after each subscription and every few seconds while watchers exist. `poll` gets true
    /// after a subscription, and returns the number of its calls. Never returns.
    pub(crate) async fn poll<P>(&self, poll: impl Fn(bool) -> P)
    where
        P: Future<Output = Result<usize, StoreError>>,
    {
        let mut subscriptions = self.subscriptions.subscribe();
        let mut pause = POLL_EVERY;
        loop {
            self.begins().await;
            let is_subscribed_anew = tokio::select! {
                () = sleep(pause) => subscriptions.has_changed().unwrap_or_default(),
                _ = subscriptions.changed() => true,
            };
            subscriptions.borrow_and_update();
            pause = match poll(is_subscribed_anew).await {
                Ok(calls) => {
                    let calls = u32::try_from(calls).unwrap_or(u32::MAX);
                    POLL_EVERY.max(PAUSE_PER_CALL.saturating_mul(calls))
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot read what is watched");
                    RETRY_AFTER
                }
            };
        }
    }
}
