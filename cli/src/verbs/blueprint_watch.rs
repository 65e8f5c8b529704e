//! A watch of Blueprints that continues after interruptions.
//!
//! Each attempt opens a new connection and sends the versions that the caller has. So nothing is
//! sent twice, and nothing is missed.

use std::collections::HashMap;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use proto::v1::watch_blueprints_response::Event;
use proto::v1::{
    BlueprintRemoval, BlueprintUpdate, RemovalReason, WatchBlueprintsRequest,
    WatchBlueprintsResponse,
};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming};

use super::issue_progress::is_over;
use crate::args::Common;
use crate::client::{CliError, Client, diagnose};

/// First and longest pause between two attempts.
const PAUSE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];
/// Silence after which a stream counts as broken: three heartbeats of intake.
const SILENCE: Duration = Duration::from_secs(45);

/// A watch.
pub(super) struct BlueprintWatch<'a> {
    options: &'a Common,
    request: WatchBlueprintsRequest,
    open: Option<(Client, Streaming<WatchBlueprintsResponse>)>,
    /// The next pauses; new after each event.
    pauses: ExponentialBackoff,
}

/// An event of a watch.
pub(super) enum Heard {
    /// A Blueprint has another version.
    Update(Box<BlueprintUpdate>),
    /// A Blueprint has no version any more.
    Removal(BlueprintRemoval),
    /// Everything that differed was sent. Repeated after each interruption.
    Synced,
    /// An attempt failed, or the stream ended. The next attempt follows after a pause.
    Away(CliError),
}

impl<'a> BlueprintWatch<'a> {
    /// Creates a watch, which connects with the first event. `request.known_versions` is what the
    /// caller has.
    pub(super) fn new(options: &'a Common, request: WatchBlueprintsRequest) -> Self {
        Self {
            options,
            request,
            open: None,
            pauses: pauses(),
        }
    }

    /// Returns the versions that the caller has. The caller changes them with each event.
    pub(super) fn known(&mut self) -> &mut HashMap<String, String> {
        &mut self.request.known_versions
    }

    /// Returns the client of the open stream.
    pub(super) fn client(&mut self) -> Option<&mut Client> {
        self.open.as_mut().map(|(client, _)| client)
    }

    /// Returns the next event.
    ///
    /// # Errors
    /// An error that another attempt does not change, such as an invalid pattern or a missing
    /// right.
    pub(super) async fn next(&mut self) -> Result<Heard, CliError> {
        loop {
            if self.open.is_none() {
                match self.connect().await {
                    Ok(open) => self.open = Some(open),
                    Err(error) if is_passing(&error) => return Ok(Heard::Away(error)),
                    Err(error) => return Err(error),
                }
            }
            let Some((_, stream)) = &mut self.open else {
                continue;
            };
            let ended = match timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(message))) => {
                    self.pauses = pauses();
                    match message.event {
                        Some(Event::Update(update)) => return Ok(Heard::Update(Box::new(update))),
                        Some(Event::Removal(removal)) => return Ok(Heard::Removal(removal)),
                        Some(Event::Synced(_)) => return Ok(Heard::Synced),
                        Some(Event::Heartbeat(_)) | None => continue,
                    }
                }
                Ok(Ok(None)) => Status::unavailable("the stream ended"),
                Ok(Err(status)) => status,
                Err(_) => Status::unavailable("intake sends nothing"),
            };
            self.open = None;
            // Intake ends a watch at its maximum duration, and serves the next one at once.
            if is_over(&ended) {
                continue;
            }
            let ended = CliError::from(ended);
            return match is_passing(&ended) {
                true => Ok(Heard::Away(ended)),
                false => Err(ended),
            };
        }
    }

    /// Waits before the next attempt.
    pub(super) async fn pause(&mut self) {
        sleep(self.pauses.next().unwrap_or(PAUSE[1])).await;
    }

    async fn connect(&self) -> Result<(Client, Streaming<WatchBlueprintsResponse>), CliError> {
        let mut client = Client::connect(self.options).await?;
        let opening = client.blueprints.watch_blueprints(self.request.clone());
        let late = |_| Status::unavailable("intake does not answer");
        let limit = client.limits.call().unwrap_or(SILENCE);
        let stream = match timeout(limit, opening).await.map_err(late)? {
            Ok(stream) => stream,
            // An address of another protocol is named, because waiting does not help.
            Err(status) => return Err(diagnose(self.options, status.into()).await),
        };
        Ok((client, stream.into_inner()))
    }
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_min_delay(PAUSE[0]);
    let pauses = pauses.with_max_delay(PAUSE[1]).without_max_times();
    pauses.with_jitter().build()
}

/// Returns whether another attempt can succeed. A connection that breaks under a stream yields
/// UNKNOWN, CANCELLED or INTERNAL, depending on where it broke.
pub(super) fn is_passing(error: &CliError) -> bool {
    match error {
        CliError::Connect { .. } => true,
        CliError::Status(status) => matches!(
            status.code(),
            Code::Unavailable
                | Code::Unknown
                | Code::Cancelled
                | Code::Internal
                | Code::ResourceExhausted
                | Code::DeadlineExceeded
        ),
        _ => false,
    }
}

/// Describes why a Blueprint was removed.
pub(super) fn removal_reason(removal: &BlueprintRemoval) -> &'static str {
    match removal.reason() {
        RemovalReason::Archived => "archived",
        RemovalReason::NotInChannel => "not_in_channel",
        RemovalReason::NotFound => "not_found",
        RemovalReason::Unspecified => "unspecified",
    }
}
