//! What the watches of issues and of Blueprints share: the demand for events, the polls, and the
//! end of a stream.
//!
//! An event only wakes watchers; the store has the state. Events are lost while the subscription is
//! down. So a hub polls everything that is watched after each subscription, and every few seconds.
//!
//! A topic is subscribed when its first watcher registers, and unsubscribed some time after the
//! last one has ended. So an intake without watchers does not receive the events of a busy queue.

pub(crate) mod demand;
pub(crate) mod lifetime;

use std::time::Duration;

/// Pause after a failed poll, read or subscription.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(500);
