//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::calls::Intake;
use crate::edge::form_token::FormKey;
use crate::edge::hosts::Hosts;
use crate::edge::sessions::Sessions;
use crate::failure::Failure;

/// The number of pages that are built at once. A page can have two documents of 1 MiB in memory.
const MAX_PAGES: usize = 16;
/// How long a request waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// The number of open event streams.
const MAX_STREAMS: usize = 128;
/// The number of previews at once. A preview lasts as long as its flow.
const MAX_PREVIEWS: usize = 8;

/// The state of the server.
pub(crate) struct App {
    /// The connection to intake.
    pub(crate) intake: Intake,
    /// The people who signed in.
    pub(crate) sessions: Sessions,
    /// The accepted names of this server.
    pub(crate) hosts: Hosts,
    /// The key of the tokens in forms.
    pub(crate) form_key: FormKey,
    /// Cancelled when the server stops; ends event streams.
    pub(crate) stopping: CancellationToken,
    pages: Semaphore,
    streams: Arc<Semaphore>,
    previews: Semaphore,
}

impl App {
    pub(crate) fn new(intake: Intake, hosts: Hosts) -> Result<Self, getrandom::Error> {
        Ok(Self {
            intake,
            sessions: Sessions::default(),
            hosts,
            form_key: FormKey::random()?,
            stopping: CancellationToken::new(),
            pages: Semaphore::new(MAX_PAGES),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            previews: Semaphore::new(MAX_PREVIEWS),
        })
    }

    /// Waits for the right to build a page.
    pub(crate) async fn page_turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        match timeout(TURN_WITHIN, self.pages.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Failure::Busy),
        }
    }

    /// Takes the right to run a preview.
    pub(crate) fn preview_turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        self.previews.try_acquire().map_err(|_| Failure::Busy)
    }

    /// Takes the right to open an event stream.
    pub(crate) fn stream_turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let streams = Arc::clone(&self.streams);
        streams.try_acquire_owned().map_err(|_| Failure::Busy)
    }
}
