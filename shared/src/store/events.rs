//! The subscription to every issue's changes, and to what the steps of long runs are doing. A wake-up,
//! not the truth: whoever hears of a change reads the issue again, and news of steps may be lost.

use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::domain::progress::{StepProgress, StepStatus};
use crate::ids::IssueId;
use crate::store::redis::error::StoreError;
use crate::store::redis::keys::{CANCEL_CHANNEL, EVENTS_CHANNEL, STEPS_CHANNEL};
use crate::store::redis::shard::Shard;

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

/// What steps of the flow on one issue have done since it was told last, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueSteps {
    /// Which issue.
    pub issue_id: IssueId,
    /// The steps.
    pub steps: Vec<StepProgress>,
}

/// What a watcher hears of.
#[derive(Debug, Clone)]
pub enum News {
    /// An issue has changed.
    Changed(IssueEvent),
    /// Steps have begun or ended.
    Steps(IssueSteps),
}

#[derive(Deserialize)]
struct Wire {
    issue_id: String,
    revision: u64,
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

/// A running subscription to all changes and steps.
pub struct EventStream {
    messages: Messages,
}

/// A running subscription to cancellations.
pub struct CancelStream {
    messages: Messages,
}

impl Shard {
    /// Subscribes to all changes and steps, over one connection of its own.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is away.
    pub async fn subscribe(&self) -> Result<EventStream, StoreError> {
        let messages = self.messages(&[EVENTS_CHANNEL, STEPS_CHANNEL]).await?;
        Ok(EventStream { messages })
    }

    /// Tells whoever listens what steps have done, in one round trip for all issues.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is away; some may have been told. Not to be repeated: it is a hint.
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

    /// Subscribes to cancellations, over a connection of its own.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is away.
    pub async fn subscribe_cancelled(&self) -> Result<CancelStream, StoreError> {
        let messages = self.messages(&[CANCEL_CHANNEL]).await?;
        Ok(CancelStream { messages })
    }

    async fn messages(&self, channels: &[&str]) -> Result<Messages, StoreError> {
        let (mut sink, stream) = self.handle.pubsub().await?.split();
        let subscribed = sink.subscribe(channels).await;
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
    /// The next message, and the channel it came on.
    async fn next(&mut self) -> Result<(String, String), StoreError> {
        loop {
            let lost = || (redis::ErrorKind::Io, "the subscription was cut").into();
            let message = self.stream.next().await.ok_or_else(|| StoreError::Redis {
                call: "subscribe",
                source: lost(),
            })?;
            if let Ok(text) = message.get_payload::<String>() {
                return Ok((message.get_channel_name().to_owned(), text));
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
            let (_, text) = self.messages.next().await?;
            if let Ok(issue) = IssueId::parse(&text) {
                return Ok(issue);
            }
        }
    }
}

impl EventStream {
    /// The next change or steps. Cancel safe.
    ///
    /// # Errors
    /// [`StoreError::Redis`] when the connection is lost: subscribe again, then read again
    /// everything that is watched, for what was published meanwhile is gone.
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
