//! Previews an issue: sends a request to the workers and waits for the answer.
//!
//! The answer is a Redis key that is polled at intervals of 5 to 100 milliseconds. Each poll also
//! reads the number of connected workers. When no worker is connected any more, the call fails
//! without waiting for the deadline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use proto::v1;
use shared::domain::issue::Authority;
use shared::domain::preview::PreviewAnswer;
use shared::domain::trace_parent::TraceParent;
use shared::ids::IssueId;
use shared::store::{PreviewRequestOutcome, PreviewTicket, Shard};
use tokio::time::{Instant, sleep};
use tonic::metadata::MetadataMap;

use crate::backend::Backend;
use crate::error::request_error::RequestError;
use crate::issues::convert::preview_to_wire;

/// Time added to the time limit of the flow, for the transfer in both directions.
const TRANSFER_TIME: Duration = Duration::from_secs(5);
/// The pauses between two polls.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(5))
    .with_max_delay(Duration::from_millis(100))
    .without_max_times();
/// How long no worker may be connected. A worker may be starting or reconnecting.
const NO_WORKER_FOR: Duration = Duration::from_secs(2);

/// Previews an issue. The call ends after `client_deadline` at the latest. The worker continues
/// `trace`.
///
/// # Errors
/// - [`RequestError::OrbitNeedsAdmin`] if the target is an orbit and the caller is not an admin.
/// - [`RequestError::NoWorker`] if no worker is running, or none any more.
/// - [`RequestError::MemoryFull`] and [`RequestError::TooManyPreviews`] if it is not admitted.
/// - The failures and faults of the flow.
/// - [`RequestError::PreviewLate`] after the time limit of the flow.
///
/// Cancel safety: a dropped call withdraws its request, and a worker that runs it stops.
pub(crate) async fn preview(
    backend: &Backend,
    request: v1::PreviewIssueRequest,
    client_deadline: Option<Duration>,
    authority: Authority,
    trace: Option<TraceParent>,
) -> Result<v1::PreviewIssueResponse, RequestError> {
    let (blueprint_id, intent) = crate::issues::convert::preview(request)?;
    let store = backend.store()?;
    match store.of(&blueprint_id).summary(&blueprint_id).await? {
        None => return Err(RequestError::BlueprintNotFound(blueprint_id)),
        Some(head) if head.archived => return Err(RequestError::BlueprintArchived(blueprint_id)),
        Some(_) => {}
    }
    let id = IssueId::generate();
    if store.home().look_for_preview(&id).await?.n_workers == 0
        && store.queue_stats().await?.workers.is_empty()
    {
        return Err(RequestError::NoWorker);
    }
    // Workers may use different settings, and any of them may take the request.
    let settings = store.home().list_settings().await?;
    let ttl_secs = settings.iter().map(|s| s.ttl_secs).max().unwrap_or(0);
    let ceiling = Duration::from_secs(ttl_secs) + TRANSFER_TIME;
    let time_limit = client_deadline.map_or(ceiling, |asked| asked.min(ceiling));
    let home = store.home();
    let trace = trace.as_ref();
    let asked = home.request_preview(&id, &blueprint_id, intent, time_limit, authority, trace);
    let ticket = match asked.await? {
        PreviewRequestOutcome::Waits(ticket) => ticket,
        PreviewRequestOutcome::TooMany => return Err(RequestError::TooManyPreviews),
        PreviewRequestOutcome::OrbitNeedsAdmin { setting_id } => {
            return Err(RequestError::OrbitNeedsAdmin {
                blueprint_id,
                setting_id,
            });
        }
        PreviewRequestOutcome::MemoryFull { used, max } => {
            return Err(RequestError::MemoryFull { used, max });
        }
    };
    let awaited = Awaited::new(store.home().clone(), ticket);
    match awaited.answer(&id, time_limit).await? {
        PreviewAnswer::Decided(preview) => Ok(preview_to_wire(preview)),
        PreviewAnswer::Failed { reason } => Err(RequestError::PreviewFailed { reason }),
        PreviewAnswer::Fault {
            problem,
            retry_after_ms,
        } => Err(RequestError::PreviewFault {
            problem,
            retry_after: retry_after_ms.map(Duration::from_millis),
        }),
        PreviewAnswer::UnknownTarget => Err(RequestError::BlueprintNotFound(blueprint_id)),
        PreviewAnswer::Archived => Err(RequestError::BlueprintArchived(blueprint_id)),
        PreviewAnswer::TooLarge { bytes } => Err(RequestError::PreviewTooLarge { bytes }),
    }
}

/// A pending request; dropping it before its answer withdraws the request and stops its run.
pub(crate) struct Awaited {
    home: Shard,
    ticket: PreviewTicket,
    is_answered: AtomicBool,
}

impl Awaited {
    pub(crate) fn new(home: Shard, ticket: PreviewTicket) -> Self {
        Self {
            home,
            ticket,
            is_answered: AtomicBool::new(false),
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// [`RequestError::NoWorker`] when no worker is connected any more,
    /// [`RequestError::PreviewLate`] after `time_limit`.
    pub(crate) async fn answer(
        &self,
        id: &IssueId,
        time_limit: Duration,
    ) -> Result<PreviewAnswer, RequestError> {
        let began = Instant::now();
        let (mut pauses, mut connected) = (PAUSES.build(), began);
        loop {
            match self.home.look_for_preview(id).await {
                Ok(sight) => {
                    if let Some(answer) = sight.answer {
                        self.is_answered.store(true, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    if sight.n_workers > 0 {
                        connected = Instant::now();
                    } else if connected.elapsed() > NO_WORKER_FOR {
                        return Err(RequestError::NoWorker);
                    }
                }
                // Redis may recover before the deadline and still have the answer.
                Err(error) if error.is_retryable() => connected = Instant::now(),
                Err(error) => return Err(error.into()),
            }
            if began.elapsed() >= time_limit {
                return Err(RequestError::PreviewLate { waited: time_limit });
            }
            sleep(pauses.next().expect("the number of pauses is not limited")).await;
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if self.is_answered.load(Ordering::Relaxed) {
            return;
        }
        let (home, ticket) = (self.home.clone(), self.ticket.clone());
        tokio::spawn(async move {
            if let Err(error) = home.withdraw_preview(&ticket).await {
                tracing::debug!(
                    error = shared::error::chain(&error),
                    "a preview could not be withdrawn; it expires"
                );
            }
        });
    }
}

/// Returns the deadline of the caller from `grpc-timeout`; `None` if the header is missing or
/// invalid.
pub(crate) fn client_deadline(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(n.saturating_mul(60))),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_grpc_writes_it() {
        let read = |text: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            client_deadline(&metadata)
        };
        assert_eq!(read("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("4S"), Some(Duration::from_secs(4)));
        assert_eq!(read("5m"), Some(Duration::from_millis(5)));
        assert_eq!(read("6u"), Some(Duration::from_micros(6)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        for none in ["", "S", "1", "1x", "-1S"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(client_deadline(&MetadataMap::new()), None);
    }
}
