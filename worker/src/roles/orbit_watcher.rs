//! Watches the counter of the settings, so that an edit is noticed while nothing is claimed.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::issue::dispatch::Dispatcher;

/// How often a worker of several shards looks whether something was written of which it was not told.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks at the counters of all shards until `stop`.
pub(crate) async fn watch(dispatcher: Arc<Dispatcher>, stop: CancellationToken) {
    crate::roles::background_loop::repeat("orbits", LOOK_EVERY, stop, || dispatcher.orbits.look())
        .await;
}
