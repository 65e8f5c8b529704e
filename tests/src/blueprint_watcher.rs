//! A watcher of Blueprints that keeps what it was told.

use std::collections::BTreeMap;

use proto::v1;
use proto::v1::watch_blueprints_response::Event;
use tonic::{Status, Streaming};

use crate::client::Client;
use crate::eventually::within_wait_limit;

/// An open `WatchBlueprints`.
#[derive(Debug)]
pub struct BlueprintWatcher {
    stream: Streaming<v1::WatchBlueprintsResponse>,
    /// The version of each Blueprint, as told.
    pub have: BTreeMap<String, String>,
}

/// A request with these patterns.
pub fn request<const N: usize>(patterns: [&str; N]) -> v1::WatchBlueprintsRequest {
    v1::WatchBlueprintsRequest {
        patterns: patterns.map(str::to_owned).into(),
        ..Default::default()
    }
}

impl BlueprintWatcher {
    /// Opens a watch.
    ///
    /// # Errors
    /// The error that the server returns.
    pub async fn try_start(
        client: &Client,
        request: v1::WatchBlueprintsRequest,
    ) -> Result<Self, Status> {
        let have = request.known_versions.clone().into_iter().collect();
        let answer = client.blueprints.clone().watch_blueprints(request).await?;
        Ok(Self {
            stream: answer.into_inner(),
            have,
        })
    }

    /// As [`BlueprintWatcher::try_start`].
    ///
    /// # Panics
    /// If the server returns an error.
    pub async fn start(client: &Client, request: v1::WatchBlueprintsRequest) -> Self {
        let started = Self::try_start(client, request).await;
        started.expect("WatchBlueprints")
    }

    /// Returns the next event, and keeps what it tells.
    ///
    /// # Errors
    /// The error that ends the stream.
    pub async fn try_next(&mut self) -> Result<Event, Status> {
        let message = self.stream.message().await?;
        let message = message.ok_or_else(|| Status::unavailable("the stream ended"))?;
        let event = message.event.expect("each message has an event");
        match &event {
            Event::Update(update) => {
                let commit = update.commit.as_ref().expect("an update has a commit");
                let (id, version) = (commit.blueprint_id.clone(), commit.version.clone());
                self.have.insert(id, version);
            }
            Event::Removal(removal) => {
                self.have.remove(&removal.blueprint_id);
            }
            Event::Synced(_) | Event::Heartbeat(_) => {}
        }
        Ok(event)
    }

    /// Returns the next event.
    ///
    /// # Panics
    /// If the stream ends, or no event arrives within the wait limit.
    pub async fn next(&mut self) -> Event {
        let event = within_wait_limit("the watcher is told", self.try_next()).await;
        event.unwrap_or_else(|status| panic!("WatchBlueprints: {status}"))
    }

    /// Returns the next update.
    ///
    /// # Panics
    /// As [`BlueprintWatcher::next`], and for another event.
    pub async fn update(&mut self) -> v1::BlueprintUpdate {
        match self.next().await {
            Event::Update(update) => update,
            other => panic!("an update is expected: {other:?}"),
        }
    }

    /// Returns the reason of the next removal, of this Blueprint.
    ///
    /// # Panics
    /// As [`BlueprintWatcher::next`], and for another event.
    pub async fn removal(&mut self, blueprint_id: &str) -> v1::RemovalReason {
        match self.next().await {
            Event::Removal(removal) if removal.blueprint_id == blueprint_id => removal.reason(),
            other => panic!("a removal of {blueprint_id} is expected: {other:?}"),
        }
    }

    /// Reads up to `synced`. Returns the number of events before it.
    ///
    /// # Panics
    /// As [`BlueprintWatcher::next`].
    pub async fn until_synced(&mut self) -> usize {
        let mut count = 0;
        while !matches!(self.next().await, Event::Synced(_)) {
            count += 1;
        }
        count
    }
}
