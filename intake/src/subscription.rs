//! The one event subscription of this process.

use shared::store::{EventStream, News, Store, StoreError, Topic};
use tokio::time::sleep;

use crate::blueprints::watch::Hub as BlueprintHub;
use crate::issues::watch::Hub as IssueHub;
use crate::watching::RETRY_AFTER;
use crate::watching::demand::Demand;

/// Keeps a subscription while watchers exist, and passes its events to the hubs. Never returns.
pub(crate) async fn keep_subscribed(store: &Store, issues: &IssueHub, blueprints: &BlueprintHub) {
    loop {
        tokio::select! {
            () = issues.demand().begins() => {}
            () = blueprints.demand().begins() => {}
        }
        let ended = match store.subscribe().await {
            Ok(events) => follow(events, issues, blueprints).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => tracing::debug!("nobody watches, unsubscribed"),
            Err(error) => {
                tracing::debug!(%error, "event subscription lost");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Returns once no topic is wanted, or with the error that ended the subscription.
async fn follow(
    mut events: EventStream,
    issues: &IssueHub,
    blueprints: &BlueprintHub,
) -> Result<(), StoreError> {
    let mut issue_topic = Subscribed::new(Topic::Issues, issues.demand());
    let mut blueprint_topic = Subscribed::new(Topic::Blueprints, blueprints.demand());
    loop {
        tokio::select! {
            news = events.next() => match news? {
                News::Changed(event) => issues.announce(&event),
                News::Steps(news) => issues.tell(news),
                News::Moved(blueprint_id) => blueprints.note_move(&blueprint_id),
            },
            () = issue_topic.turns() => issue_topic.turn(&mut events).await?,
            () = blueprint_topic.turns() => blueprint_topic.turn(&mut events).await?,
        }
        if !issue_topic.is_on && !blueprint_topic.is_on {
            return Ok(());
        }
    }
}

/// Whether a topic is subscribed.
struct Subscribed<'a> {
    topic: Topic,
    demand: &'a Demand,
    is_on: bool,
}

impl<'a> Subscribed<'a> {
    fn new(topic: Topic, demand: &'a Demand) -> Self {
        Self {
            topic,
            demand,
            is_on: false,
        }
    }

    /// Waits until the topic must be subscribed or unsubscribed.
    async fn turns(&self) {
        if self.is_on {
            self.demand.ends().await;
        } else {
            self.demand.begins().await;
        }
    }

    /// Subscribes or unsubscribes.
    async fn turn(&mut self, events: &mut EventStream) -> Result<(), StoreError> {
        if self.is_on {
            events.remove(self.topic).await?;
        } else {
            events.add(self.topic).await?;
            self.demand.note_subscription();
        }
        self.is_on = !self.is_on;
        Ok(())
    }
}
