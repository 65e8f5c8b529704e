//! Subscriptions to changes of issues, to progress of flow steps, and to moves of Blueprints.
//!
//! Events are hints. A subscriber reads the state again after a change, and progress events may be
//! lost.

use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::domain::progress::{StepProgress, StepStatus};
use crate::ids::{BlueprintId, IssueId};
use crate::store::redis::error::StoreError;
use crate::store::redis::keys::{CANCEL_CHANNEL, EVENTS_CHANNEL, HEADS_CHANNEL, STEPS_CHANNEL};
use crate::store::redis::shard::Shard;

/// A change of an issue.
#[derive(Debug, Clone)]
pub struct IssueEvent {
    /// The id of the issue.
    pub issue_id: IssueId,
    /// The new revision.
    pub revision: u64,
    /// The event as published.
    pub json: String,
}

/// Progress of the flow on one issue since the last event, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueSteps {
    /// The id of the issue.
    pub issue_id: IssueId,
    /// The steps.
    pub steps: Vec<StepProgress>,
}

/// A message for watchers.
#[derive(Debug, Clone)]
pub enum News {
    /// An issue changed.
    Changed(IssueEvent),
    /// Steps started or ended.
    Steps(IssueSteps),
    /// The head or a channel of a Blueprint moved, or the Blueprint was archived or unarchived.
    Moved(BlueprintId),
}

/// What a subscription receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Changes and steps of issues.
    Issues,
    /// Moves of Blueprints.
    Blueprints,
}

impl Topic {
    fn channels(self) -> &'static [&'static str] {
        match self {
            Topic::Issues => &[EVENTS_CHANNEL, STEPS_CHANNEL],
            Topic::Blueprints => &[HEADS_CHANNEL],
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    issue_id: String,
    revision: u64,
}

#[derive(Deserialize)]
struct WireMove {
    blueprint_id: String,
}

#[derive(Serialize, Deserialize)]
struct WireSteps {
    issue_id: String,
    steps: Vec<WireStep>,
}

#[derive(Serialize, Deserialize)]
struct WireStep {
    step: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    axis: String,
    status: String,
    duration_us: u64,
    attempt: u32,
}

/// An active subscription to any of the [`Topic`]s.
pub struct EventStream {
    messages: Messages,
}

/// An active subscription to cancellations.
pub struct CancelStream {
    messages: Messages,
}

impl Shard {
    /// Opens a connection for subscriptions, without a topic.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is unavailable.
    pub async fn subscribe(&self) -> Result<EventStream, StoreError> {
        Ok(EventStream {
            messages: self.messages().await?,
        })
    }

    /// Publishes progress of steps, in one round trip for all issues.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is unavailable. Some events may be published. Do not repeat
    /// the call: events are hints.
    pub async fn publish_steps(&self, news: &[IssueSteps]) -> Result<(), StoreError> {
        if news.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for steps in news {
            let publish = pipeline.cmd("PUBLISH").arg(STEPS_CHANNEL);
            publish.arg(write_steps(steps)).ignore();
        }
        self.handle.pipeline("publish steps", &pipeline).await
    }

    /// Subscribes to cancellations over a connection of its own.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is unavailable.
    pub async fn subscribe_cancelled(&self) -> Result<CancelStream, StoreError> {
        let mut messages = self.messages().await?;
        let subscribed = messages.sink.subscribe(CANCEL_CHANNEL).await;
        subscribed.map_err(cannot_subscribe)?;
        Ok(CancelStream { messages })
    }

    async fn messages(&self) -> Result<Messages, StoreError> {
        let (sink, stream) = self.handle.pubsub().await?.split();
        Ok(Messages { stream, sink })
    }
}

fn cannot_subscribe(source: redis::RedisError) -> StoreError {
    StoreError::Redis {
        call: "subscribe",
        source,
    }
}

struct Messages {
    stream: redis::aio::PubSubStream,
    // A dropped sink ends the subscription.
    sink: redis::aio::PubSubSink,
}

impl Messages {
    /// Returns the next message and its channel.
    async fn next(&mut self) -> Result<(String, String), StoreError> {
        loop {
            let lost = || (redis::ErrorKind::Io, "the subscription was cut").into();
            let message = self.stream.next().await;
            let message = message.ok_or_else(|| cannot_subscribe(lost()))?;
            if let Ok(text) = message.get_payload::<String>() {
                return Ok((message.get_channel_name().to_owned(), text));
            }
        }
    }
}

impl CancelStream {
    /// Returns the next cancelled issue. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when the connection is lost. Subscribe again; heartbeats report missed
    /// cancellations.
    pub async fn next(&mut self) -> Result<IssueId, StoreError> {
        loop {
            let (_, text) = self.messages.next().await?;
            if let Ok(issue) = IssueId::parse(&text) {
                return Ok(issue);
            }
        }
    }
}

impl EventStream {
    /// Starts to receive the events of a topic. Events from before are lost.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when the connection is lost.
    pub async fn add(&mut self, topic: Topic) -> Result<(), StoreError> {
        let added = self.messages.sink.subscribe(topic.channels()).await;
        added.map_err(cannot_subscribe)
    }

    /// Stops to receive the events of a topic. A few may still arrive.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when the connection is lost.
    pub async fn remove(&mut self, topic: Topic) -> Result<(), StoreError> {
        let removed = self.messages.sink.unsubscribe(topic.channels()).await;
        removed.map_err(cannot_subscribe)
    }

    /// Returns the next event. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when the connection is lost. Subscribe again and then read everything
    /// that is watched again: missed messages are lost.
    pub async fn next(&mut self) -> Result<News, StoreError> {
        loop {
            let (channel, json) = self.messages.next().await?;
            if channel == STEPS_CHANNEL {
                match read_steps(&json) {
                    Some(steps) => return Ok(News::Steps(steps)),
                    None => tracing::debug!(channel, "cannot be read; ignored"),
                }
                continue;
            }
            if channel == HEADS_CHANNEL {
                match read_move(&json) {
                    Some(blueprint_id) => return Ok(News::Moved(blueprint_id)),
                    None => tracing::debug!(channel, "cannot be read; ignored"),
                }
                continue;
            }
            let Ok(wire) = serde_json::from_str::<Wire>(&json) else {
                tracing::warn!(
                    channel = EVENTS_CHANNEL,
                    "something else publishes here; ignored"
                );
                continue;
            };
            if let Ok(issue_id) = IssueId::parse(&wire.issue_id) {
                return Ok(News::Changed(IssueEvent {
                    issue_id,
                    revision: wire.revision,
                    json,
                }));
            }
        }
    }
}

fn write_steps(news: &IssueSteps) -> String {
    let steps = news.steps.iter().map(|step| WireStep {
        step: step.step.clone(),
        axis: step.axis.clone(),
        status: step.status.as_str().to_owned(),
        duration_us: u64::try_from(step.duration.as_micros()).unwrap_or(u64::MAX),
        attempt: step.attempt,
    });
    let wire = WireSteps {
        issue_id: news.issue_id.to_string(),
        steps: steps.collect(),
    };
    serde_json::to_string(&wire).expect("texts and numbers can be written as JSON")
}

fn read_move(json: &str) -> Option<BlueprintId> {
    let wire: WireMove = serde_json::from_str(json).ok()?;
    BlueprintId::parse(&wire.blueprint_id).ok()
}

fn read_steps(json: &str) -> Option<IssueSteps> {
    let wire: WireSteps = serde_json::from_str(json).ok()?;
    let steps = wire.steps.into_iter().filter_map(|step| {
        Some(StepProgress {
            status: StepStatus::parse(&step.status)?,
            step: step.step,
            axis: step.axis,
            duration: Duration::from_micros(step.duration_us),
            attempt: step.attempt,
        })
    });
    Some(IssueSteps {
        issue_id: IssueId::parse(&wire.issue_id).ok()?,
        steps: steps.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_back_as_they_went() {
        let step = |axis: &str, status, ms| StepProgress {
            step: "verifier-router".to_owned(),
            axis: axis.to_owned(),
            status,
            duration: Duration::from_millis(ms),
            attempt: 2,
        };
        let news = IssueSteps {
            issue_id: IssueId::parse("i").unwrap(),
            steps: vec![
                step("noop", StepStatus::Started, 0),
                step("", StepStatus::Finished, 1_200),
                step("des", StepStatus::Failed, 3),
            ],
        };
        assert_eq!(read_steps(&write_steps(&news)), Some(news));
        for bad in ["", "{}", "[]", r#"{"issue_id":"/","steps":[]}"#] {
            assert_eq!(read_steps(bad), None, "{bad}");
        }
        let unknown =
            r#"{"issue_id":"i","steps":[{"step":"s","status":"odd","duration_us":1,"attempt":1}]}"#;
        assert_eq!(read_steps(unknown).map(|news| news.steps), Some(Vec::new()));
    }
}
