//! Receives cancellations without delay. The heartbeat reports the same cancellations later, so
//! correctness does not depend on this subscription.

use std::sync::Arc;
use std::time::Duration;

use shared::store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::issue::leases::{Leases, Stop};
use crate::pause::{Pause, RepeatedErrorLog};
use crate::roles::running_previews::RunningPreviews;

/// The interval after which the subscription is renewed, because the publishing node may have
/// changed.
const SUBSCRIBE_EVERY: Duration = Duration::from_secs(30);

pub(crate) async fn run(
    store: Store,
    leases: Arc<Leases>,
    previews: RunningPreviews,
    stop: CancellationToken,
) {
    let mut error_log = RepeatedErrorLog::default();
    let mut pause = Pause::default();
    let listening = async {
        loop {
            if let Err(error) = listen(&store, &leases, &previews, &mut pause).await {
                error_log.log("listener", &error);
            }
            pause.wait().await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = stop.cancelled() => {}
    }
}

async fn listen(
    store: &Store,
    leases: &Leases,
    previews: &RunningPreviews,
    pause: &mut Pause,
) -> Result<(), StoreError> {
    let mut cancelled = store.subscribe_cancelled().await?;
    pause.reset();
    let hearing = async {
        loop {
            let issue = cancelled.next().await?;
            leases.stop(&issue, Stop::Cancelled);
            // The id of a preview has the form of that of an issue.
            previews.stop(&issue);
        }
    };
    // A subscription without messages may be on a node that is no longer the master, or is down.
    tokio::time::timeout(SUBSCRIBE_EVERY, hearing)
        .await
        .unwrap_or(Ok(()))
}
