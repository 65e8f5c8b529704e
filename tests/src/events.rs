//! Events on Redis pub/sub, as a consumer without gRPC receives them.

use futures::StreamExt;
use redis::aio::PubSubStream;
use serde_json::Value;

use crate::eventually::within_wait_limit;
use crate::redis_server::RedisServer;

/// The channel with the events of all issues.
pub const ALL_CHANNEL: &str = "draftsman:events";

/// The channel of one issue.
pub fn issue_channel(issue_id: &str) -> String {
    format!("{ALL_CHANNEL}:issue:{issue_id}")
}

/// An active subscription.
pub struct Events {
    stream: PubSubStream,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// Subscribes to `channel`.
    ///
    /// # Panics
    /// If Redis rejects the subscription.
    pub async fn subscribe(redis: &RedisServer, channel: &str) -> Self {
        let client = redis::Client::open(redis.url()).expect("a valid URL");
        let mut pubsub = client
            .get_async_pubsub()
            .await
            .expect("a connection for a subscription");
        pubsub.subscribe(channel).await.expect("SUBSCRIBE");
        Self {
            stream: pubsub.into_on_message(),
        }
    }

    /// The next event.
    ///
    /// # Panics
    /// If no event arrives, or it is not a JSON object.
    pub async fn next(&mut self) -> Value {
        let message = within_wait_limit("an event", self.stream.next())
            .await
            .expect("the subscription holds");
        let text: String = message.get_payload().expect("an event is text");
        let event: Value = serde_json::from_str(&text).expect("an event is JSON");
        assert!(event.is_object(), "an event is a JSON object: {text}");
        event
    }

    /// Everything that was published on `channel`, the one of this subscription, before this call.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn so_far(&mut self, redis: &RedisServer, channel: &str) -> Vec<Value> {
        let end = serde_json::json!({"end of": uuid::Uuid::now_v7().to_string()});
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(end.to_string());
        let mut connection = redis.connection().await;
        let _: i64 = publish.query_async(&mut connection).await.expect("PUBLISH");
        let mut events = Vec::new();
        loop {
            match self.next().await {
                event if event == end => return events,
                event => events.push(event),
            }
        }
    }

    /// The events of one issue up to and including its terminal one. Events of other issues are
    /// skipped.
    ///
    /// # Panics
    /// If the terminal event does not arrive.
    pub async fn until_decided(&mut self, issue_id: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            if event["issue_id"] != issue_id {
                continue;
            }
            let terminal = event["state"] == "applied" || event["state"] == "rejected";
            events.push(event);
            if terminal {
                return events;
            }
        }
    }
}
