//! Hears of cancellations at once. The heartbeat tells the same, later, so nothing depends on
//! this subscription but speed.

use std::sync::Arc;
use std::time::Duration;

use shared::store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::issue::leases::{Leases, Stop};
use crate::pause::{Pause, RepeatedErrorLog};

/// How long one subscription is trusted to be where cancellations are published.
const SUBSCRIBE_EVERY: Duration = Duration::from_secs(30);

pub(crate) async fn run(store: Store, leases: Arc<Leases>, stop: CancellationToken) {
    let mut error_log = RepeatedErrorLog::default();
    let mut pause = Pause::default();
    let listening = async {
        loop {
            if let Err(error) = listen(&store, &leases, &mut pause).await {
                error_log.about("listener", &error);
            }
            pause.wait().await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = stop.cancelled() => {}
    }
}

async fn listen(store: &Store, leases: &Leases, pause: &mut Pause) -> Result<(), StoreError> {
    let mut cancelled = store.subscribe_cancelled().await?;
    pause.reset();
    let hearing = async {
        loop {
            let issue = cancelled.next().await?;
            leases.stop(&issue, Stop::Cancelled);
        }
    };
    // Silence may be that of a node that is not the master any more, or is gone.
    tokio::time::timeout(SUBSCRIBE_EVERY, hearing)
        .await
        .unwrap_or(Ok(()))
}
