//! Extends this worker's leases on a thread, a runtime and a connection of its own.
//!
//! Scripts that block every thread of the worker's runtime therefore cannot make it lose its
//! issues.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::future::join_all;
use shared::fail_point;
use shared::ids::WorkerId;
use shared::store::{IssueRef, Shard, Store, StoreError};
use shared::whole_ms::whole_ms;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::issue::leases::{Leases, Stop};
use crate::metrics::Metrics;
use crate::pause::{Pause, RepeatedErrorLog};

/// The heartbeat's thread.
pub(crate) struct Heartbeat {
    thread: JoinHandle<()>,
    leases: Arc<Leases>,
    stop: CancellationToken,
    /// Resolves when the thread is about to end, also after a panic.
    ended: oneshot::Receiver<()>,
}

impl Heartbeat {
    /// Returns when the thread has ended. Without heartbeats the leases expire. If the thread ends
    /// before `stop`, this stops all work, so that issues are handed back under a valid lease.
    ///
    /// # Panics
    /// Propagates a panic of the thread.
    pub(crate) async fn run(self) {
        // An error means that the sender was dropped, that is, the thread ended.
        let _ = self.ended.await;
        if !self.stop.is_cancelled() {
            self.leases.stop_all(Stop::Shutdown);
        }
        match tokio::task::spawn_blocking(move || self.thread.join()).await {
            Ok(Ok(())) => {}
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => {}
        }
    }
}

/// The state of the heartbeat's thread.
pub(crate) struct Beating {
    pub(crate) store: Store,
    pub(crate) shards: Vec<BeatingShard>,
    pub(crate) worker: WorkerId,
    pub(crate) lease: Duration,
    pub(crate) leases: Arc<Leases>,
    pub(crate) metrics: Arc<Metrics>,
    /// The names of this worker's scripts and axes.
    pub(crate) scripts: (Vec<String>, Vec<String>),
}

/// A shard with its heartbeat connection.
pub(crate) struct BeatingShard {
    /// Uses a connection of its own.
    pub(crate) shard: Shard,
    /// Receives elements that Redis moved without this process knowing.
    pub(crate) found: UnboundedSender<IssueRef>,
}

impl Beating {
    /// Starts the thread, which beats until `stop`.
    pub(crate) fn start(self, stop: CancellationToken) -> std::io::Result<Heartbeat> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (running, ended) = oneshot::channel::<()>();
        let (leases, stopped) = (Arc::clone(&self.leases), stop.clone());
        let thread = std::thread::Builder::new().name("heartbeat".to_owned());
        let thread = thread.spawn(move || {
            let _running = running;
            runtime.block_on(self.run(stop));
        })?;
        Ok(Heartbeat {
            thread,
            leases,
            stop: stopped,
            ended,
        })
    }

    async fn run(&self, stop: CancellationToken) {
        // Three heartbeats in each lease: two of them may fail.
        let every = (self.lease / 3).min(Duration::from_secs(5));
        // Concurrently: an unavailable node does not delay heartbeats in other shards.
        let beating = join_all(self.shards.iter().map(|shard| self.beat_in(shard, every)));
        // Continues while a heartbeat waits for its answer, and while heartbeats fail.
        let watching = async {
            loop {
                tokio::time::sleep(every / 8).await;
                self.leases.stop_untrusted();
            }
        };
        tokio::select! {
            _ = beating => {}
            () = watching => {}
            () = stop.cancelled() => {}
        }
    }

    async fn beat_in(&self, shard: &BeatingShard, every: Duration) {
        let (mut error_log, mut pause) = (RepeatedErrorLog::default(), Pause::default());
        loop {
            match self.run_once(shard).await {
                Ok(()) => {
                    pause.reset();
                    tokio::time::sleep(every).await;
                }
                // The failed call may have used much of the lease, so this retries after a short
                // pause.
                Err(error) => {
                    error_log.log("heartbeat", &error);
                    pause.wait().await;
                }
            }
        }
    }

    async fn run_once(
        &self,
        BeatingShard { shard, found }: &BeatingShard,
    ) -> Result<(), StoreError> {
        let mut named = self.leases.to_name();
        named.retain(|lease| {
            let blueprint = &lease.issue.blueprint_id;
            self.store.of(blueprint).number() == shard.number()
        });
        let start = Instant::now();
        fail_point::pass("beat.before");
        let beat = shard
            .beat(&self.worker, whole_ms(self.lease), &named)
            .await?;
        fail_point::pass("beat.after");
        self.metrics.has_beaten(shard.number());
        let is_in = |list: &[IssueRef], issue: &IssueRef| list.contains(issue);
        let (mut extended, mut gone) = (Vec::new(), Vec::new());
        for lease in named {
            if is_in(&beat.cancelled, &lease.issue) {
                gone.push((lease, Stop::Cancelled));
            } else if is_in(&beat.lost, &lease.issue) {
                gone.push((lease, Stop::Lost));
            } else {
                extended.push(lease);
            }
        }
        self.leases.extended(&extended, start);
        for (lease, why) in gone {
            self.leases.stop_lease(&lease, why);
        }
        for issue in beat.unleased {
            if !self.leases.is_open(&issue) {
                tracing::debug!(issue_id = %issue.issue_id, "found an element that Redis popped for a lost reply");
                // The receiver is dropped only when the worker ends.
                let _ = found.send(issue);
            }
        }
        if !beat.is_registered {
            let (steps, axes) = &self.scripts;
            shard.register_scripts(&self.worker, steps, axes).await?;
        }
        Ok(())
    }
}
