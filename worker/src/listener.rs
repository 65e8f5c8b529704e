//! Hears of cancellations at once. The heartbeat tells the same, later, so nothing depends on
//! this subscription but speed.

use std::sync::Arc;
use std::time::Duration;

use shared::store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::held::{Held, Stop};
use crate::service::{Complaint, Pause};

/// How long one subscription is trusted to be where cancellations are published.
const SUBSCRIBE_EVERY: Duration = Duration::from_secs(30);

pub(crate) async fn run(store: Store, held: Arc<Held>, stop: CancellationToken) {
    let mut complaint = Complaint::default();
    let mut pause = Pause::default();
    let listening = async {
        loop {
            if let Err(error) = listen(&store, &held, &mut pause).await {
                complaint.about("listener", &error);
            }
            pause.wait().await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = stop.cancelled() => {}
    }
}

async fn listen(store: &Store, held: &Held, pause: &mut Pause) -> Result<(), StoreError> {
    let mut cancelled = store.subscribe_cancelled().await?;
    pause.reset();
    let hearing = async {
        loop {
            let issue = cancelled.next().await?;
            held.stop(&issue, Stop::Cancelled);
        }
    };
    // Silence may be that of a node that is not the master any more, or is gone.
    tokio::time::timeout(SUBSCRIBE_EVERY, hearing)
        .await
        .unwrap_or(Ok(()))
}
