//! Watches Blueprints: streams the versions that consumers should run.
//!
//! Delivery is by state, not by queue. The [`Hub`] reads a Blueprint once after it has moved, and
//! puts its newest state into the inbox of each of its watchers. A watcher is a stream that is
//! polled only when its client can receive more. It takes a state, reads commit and documents
//! through the cells that all watchers share, and sends them. A watcher without news reads nothing.
//!
//! A watcher registers before the read that its first states come from. So each move is either in
//! that read or wakes the watcher.

mod hub;
mod inbox;
mod index;
mod request;
mod state;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use proto::v1;
use proto::v1::watch_blueprints_response::Event;
use shared::store::StoreError;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;

use crate::backend::Backend;
use crate::blueprints::watch::hub::Registration;
use crate::blueprints::watch::inbox::{Move, Next};
use crate::error::request_error::RequestError;
use crate::error::status::refuse;
use crate::rpc::Rpc;
use crate::watching::RETRY_AFTER;
use crate::watching::lifetime::{Lifetime, WatchLimits};

pub(crate) use self::hub::Hub;

/// Time without an event after which a heartbeat is sent.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// The response stream of `WatchBlueprints`.
pub(crate) type WatchStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchBlueprintsResponse, Status>> + Send>>;

/// Returns the stream of the versions that the consumer should run.
///
/// # Errors
/// A field is invalid, the limit of watches is reached, or Redis is unavailable.
pub(crate) async fn watch(
    hub: &Hub,
    backend: &Backend,
    request: v1::WatchBlueprintsRequest,
    limits: WatchLimits,
) -> Result<WatchStream, RequestError> {
    let request = request::parse(request)?;
    backend.store()?;
    let lifetime = Lifetime::begin(backend, limits)?;
    let registration = hub.register(
        request.patterns,
        request.channel,
        request.consumer_id,
        request.known,
    );
    let watcher = Watcher {
        registration: registration.await?,
        lifetime,
        include_documents: request.include_documents,
        sending: None,
    };
    Ok(Box::pin(futures::stream::unfold(
        Some(Box::new(watcher)),
        |watcher| async {
            let mut watcher = watcher?;
            Some(match watcher.next().await {
                Ok(event) => {
                    let event = Some(event);
                    (Ok(v1::WatchBlueprintsResponse { event }), Some(watcher))
                }
                Err(error) => (Err(refuse(Rpc::WatchBlueprints, error)), None),
            })
        },
    )))
}

struct Watcher {
    registration: Registration,
    lifetime: Lifetime,
    include_documents: bool,
    /// The state that is being sent. It is kept when a heartbeat interrupts the read.
    sending: Option<Move>,
}

impl Watcher {
    /// Returns the next event.
    async fn next(&mut self) -> Result<Event, RequestError> {
        let silent_until = Instant::now() + HEARTBEAT_EVERY;
        loop {
            if self.sending.is_none() {
                match self.registration.inbox().next() {
                    Next::Moved(next) => self.sending = Some(next),
                    Next::Synced => return Ok(Event::Synced(v1::BlueprintsSynced {})),
                    Next::Nothing => {}
                }
            }
            let next = async {
                match &self.sending {
                    // Boxed, because an idle watcher does not need its memory.
                    Some(next) => Some(Box::pin(self.event(next)).await),
                    None => {
                        self.registration.inbox().woken().await;
                        None
                    }
                }
            };
            let next = async {
                tokio::select! {
                    next = next => Ok(next),
                    () = sleep_until(silent_until) => Err(Silence),
                }
            };
            match self.lifetime.limit(next).await? {
                Ok(None) => {}
                Ok(Some(Ok(event))) => {
                    self.sending = None;
                    return Ok(event);
                }
                Ok(Some(Err(error))) => self.note_failure(error).await?,
                Err(Silence) => return Ok(Event::Heartbeat(v1::WatchHeartbeat {})),
            }
        }
    }

    /// Returns the event of a state.
    async fn event(&self, next: &Move) -> Result<Event, StoreError> {
        let blueprint_id = &next.state.blueprint_id;
        let selected = match next.state.select(self.registration.inbox().channel()) {
            Ok(selected) => selected,
            Err(reason) => {
                return Ok(Event::Removal(v1::BlueprintRemoval {
                    blueprint_id: blueprint_id.to_string(),
                    reason: reason.into(),
                }));
            }
        };
        let shard = self.registration.shard_of(blueprint_id);
        let commit = selected.content.commit(shard, blueprint_id).await?.clone();
        let mut update = v1::BlueprintUpdate {
            commit: Some(commit),
            channel_revision: selected.revision,
            ..Default::default()
        };
        if self.include_documents {
            let kept = self.registration.hub().documents();
            let documents = selected.content.documents(shard, blueprint_id, kept);
            let documents = documents.await?;
            update.document_yaml = documents.yaml.clone();
            update.document_json = documents.json.clone();
        }
        Ok(Event::Update(update))
    }

    /// Returns the state to the inbox, where a newer one may replace it, and waits. Redis may have
    /// lost the commit, so the state is read again. A content that fails again is damaged: the move
    /// is dropped, and the stream continues with the others.
    ///
    /// # Errors
    /// The watch ends.
    async fn note_failure(&mut self, error: StoreError) -> Result<(), RequestError> {
        let Some(mut unsent) = self.sending.take() else {
            return Ok(());
        };
        if !error.is_retryable() {
            let inbox = self.registration.inbox();
            let content = match unsent.state.select(inbox.channel()) {
                Ok(selected) => Arc::clone(selected.content),
                // A removal has no content, so its event cannot fail.
                Err(_) => return Ok(()),
            };
            let blueprint_id = &unsent.state.blueprint_id;
            let failed = unsent.failed.as_ref();
            if failed.is_some_and(|failed| Arc::ptr_eq(failed, &content)) {
                content.report(blueprint_id, &error);
                return Ok(());
            }
            self.registration.hub().note_move(blueprint_id);
            unsent.failed = Some(content);
        }
        self.registration.inbox().put_back(unsent);
        self.lifetime.limit(sleep(RETRY_AFTER)).await
    }
}

/// Nothing happened for [`HEARTBEAT_EVERY`].
struct Silence;
