//! The slots of a worker: how many issues it runs at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::issue::leases::{Leases, Stop};

/// How long dispatches get to hand their issues back once they are told to stop.
const HANDING_BACK: Duration = Duration::from_secs(5);

/// What all consumers of a worker share: how many issues it works on at once, and those that it does.
pub(crate) struct Slots {
    pub(crate) free: Arc<Semaphore>,
    pub(crate) n: usize,
    pub(crate) n_consumers: usize,
    pub(crate) running: TaskTracker,
    /// How many wait for all slots at once.
    n_want_all: AtomicUsize,
}

/// Somebody waits for all slots until this is dropped.
pub(crate) struct WantAll<'a>(&'a Slots);

impl Drop for WantAll<'_> {
    fn drop(&mut self) {
        self.0.n_want_all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    /// So many slots, for so many consumers.
    pub(crate) fn new(n: usize, n_consumers: usize) -> Arc<Slots> {
        Arc::new(Slots {
            free: Arc::new(Semaphore::new(n)),
            n,
            n_consumers,
            running: TaskTracker::new(),
            n_want_all: AtomicUsize::new(0),
        })
    }

    /// Says that somebody waits for all slots.
    pub(crate) fn want_all(&self) -> WantAll<'_> {
        self.n_want_all.fetch_add(1, Ordering::Relaxed);
        WantAll(self)
    }

    /// Whether somebody waits for all slots.
    pub(crate) fn are_all_wanted(&self) -> bool {
        self.n_want_all.load(Ordering::Relaxed) > 0
    }

    /// Lets what is open finish within `grace`, then has the rest handed back.
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
            if tokio::time::timeout(HANDING_BACK, self.running.wait())
                .await
                .is_err()
            {
                tracing::warn!(
                    n_open = leases.n_open(),
                    "some issues could not be handed back; their leases will run out"
                );
            }
        }
    }
}

/// So many permits; the configuration has a limit far below what does not fit.
pub(crate) fn permits(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
