//! Watches the settings counters, so that the worker detects an edit while it claims nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::issue::dispatcher::Dispatcher;

/// The interval at which a worker with several shards reads the counters, in case a notification
/// was lost.
const REFRESH_EVERY: Duration = Duration::from_secs(2);

/// Reads the counters of all shards until `stop`.
pub(crate) async fn watch(dispatcher: Arc<Dispatcher>, stop: CancellationToken) {
    crate::roles::background_loop::repeat("orbits", REFRESH_EVERY, stop, || {
        dispatcher.orbits.refresh()
    })
    .await;
}
