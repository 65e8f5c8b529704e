//! The subscription to every issue's changes. A wake-up, not the truth: whoever hears of a
//! change reads the issue again.

use futures::StreamExt;
use serde::Deserialize;

use super::Store;
use super::error::StoreError;
use super::keys::{CANCEL_CHANNEL, EVENTS_CHANNEL};
use crate::ids::IssueId;

/// Something changed about an issue.
#[derive(Debug, Clone)]
pub struct IssueEvent {
    /// Which issue.
    pub issue_id: IssueId,
    /// The revision that it got.
    pub revision: u64,
    /// The event as it was published.
    pub json: String,
}

#[derive(Deserialize)]
struct Wire {
    issue_id: String,
    revision: u64,
}

/// A running subscription to all changes.
pub struct EventStream {
    messages: Messages,
}

/// A running subscription to cancellations.
pub struct CancelStream {
    messages: Messages,
}

impl Store {
    /// Subscribes to all changes, over a connection of its own.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is away.
    pub async fn subscribe(&self) -> Result<EventStream, StoreError> {
        let messages = self.messages(EVENTS_CHANNEL).await?;
        Ok(EventStream { messages })
    }

    /// Subscribes to cancellations, over a connection of its own.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is away.
    pub async fn subscribe_cancelled(&self) -> Result<CancelStream, StoreError> {
        let messages = self.messages(CANCEL_CHANNEL).await?;
        Ok(CancelStream { messages })
    }

    async fn messages(&self, channel: &str) -> Result<Messages, StoreError> {
        let (mut sink, stream) = self.link.pubsub().await?.split();
        let subscribed = sink.subscribe(channel).await;
        subscribed.map_err(|source| StoreError::Redis {
            call: "subscribe",
            source,
        })?;
        Ok(Messages {
            stream,
            _sink: sink,
        })
    }
}

struct Messages {
    stream: redis::aio::PubSubStream,
    // Kept: dropping it ends the subscription.
    _sink: redis::aio::PubSubSink,
}

impl Messages {
    async fn next(&mut self) -> Result<String, StoreError> {
        loop {
            let lost = || (redis::ErrorKind::Io, "the subscription was cut").into();
            let message = self.stream.next().await.ok_or_else(|| StoreError::Redis {
                call: "subscribe",
                source: lost(),
            })?;
            if let Ok(text) = message.get_payload::<String>() {
                return Ok(text);
            }
        }
    }
}

impl CancelStream {
    /// The next issue that was called off. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when the connection is lost: subscribe again; heartbeats tell what was missed.
    pub async fn next(&mut self) -> Result<IssueId, StoreError> {
        loop {
            if let Ok(issue) = IssueId::parse(&self.messages.next().await?) {
                return Ok(issue);
            }
        }
    }
}

impl EventStream {
    /// The next change. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when the connection is lost: subscribe again, then read again
    /// everything that is watched, for what was published meanwhile is gone.
    pub async fn next(&mut self) -> Result<IssueEvent, StoreError> {
        loop {
            let json = self.messages.next().await?;
            let Ok(wire) = serde_json::from_str::<Wire>(&json) else {
                tracing::warn!(
                    channel = EVENTS_CHANNEL,
                    "something else publishes here; ignored"
                );
                continue;
            };
            if let Ok(issue_id) = IssueId::parse(&wire.issue_id) {
                return Ok(IssueEvent {
                    issue_id,
                    revision: wire.revision,
                    json,
                });
            }
        }
    }
}
