//! The slots of a worker: they limit the number of concurrent issues.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::issue::leases::{Leases, Stop};

/// Time that dispatches have to hand their issues back after a stop signal.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// The slots and running dispatches that all consumers of a worker share.
pub(crate) struct Slots {
    pub(crate) free: Arc<Semaphore>,
    pub(crate) n: usize,
    pub(crate) n_consumers: usize,
    pub(crate) running: TaskTracker,
    /// The number of tasks that wait for all slots at once.
    n_want_all: AtomicUsize,
}

/// Marks that a task waits for all slots, until it is dropped.
pub(crate) struct WantAll<'a>(&'a Slots);

impl Drop for WantAll<'_> {
    fn drop(&mut self) {
        self.0.n_want_all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    /// Returns `n` free slots for `n_consumers` consumers.
    pub(crate) fn new(n: usize, n_consumers: usize) -> Arc<Slots> {
        Arc::new(Slots {
            free: Arc::new(Semaphore::new(n)),
            n,
            n_consumers,
            running: TaskTracker::new(),
            n_want_all: AtomicUsize::new(0),
        })
    }

    /// Registers a task that waits for all slots.
    pub(crate) fn want_all(&self) -> WantAll<'_> {
        self.n_want_all.fetch_add(1, Ordering::Relaxed);
        WantAll(self)
    }

    /// True if a task waits for all slots.
    pub(crate) fn are_all_wanted(&self) -> bool {
        self.n_want_all.load(Ordering::Relaxed) > 0
    }

    /// Lets open issues finish within `grace`, then hands the rest back.
    pub(crate) async fn drain(&self, leases: &Leases, grace: Duration) {
        self.running.close();
        let n_open = leases.n_open();
        if n_open > 0 {
            tracing::info!(
                n_open,
                n_slots = self.n,
                grace_secs = grace.as_secs(),
                "finishing open issues"
            );
        }
        if tokio::time::timeout(grace, self.running.wait())
            .await
            .is_err()
        {
            tracing::info!(
                n_open = leases.n_open(),
                "grace period is over; handing the rest back"
            );
            leases.stop_all(Stop::Shutdown);
            if tokio::time::timeout(RELEASE_TIMEOUT, self.running.wait())
                .await
                .is_err()
            {
                tracing::warn!(
                    n_open = leases.n_open(),
                    "some issues could not be handed back; their leases will expire"
                );
            }
        }
    }
}

/// Converts a number of permits; the configuration limits it far below `u32::MAX`.
pub(crate) fn permits(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
