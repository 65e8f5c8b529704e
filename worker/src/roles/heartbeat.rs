//! Keeps this worker's leases alive, from a thread, a runtime and a connection of its own: a
//! script that hogs every thread of the worker's runtime cannot make it lose its issues.

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
    /// Resolves when the thread is about to end, also by a panic.
    ended: oneshot::Receiver<()>,
}

impl Heartbeat {
    /// Returns when the thread has ended. Without beats no lease can be kept: an end before `stop`
    /// stops all work, so that it is handed back while the leases still last.
    ///
    /// # Panics
    /// With the panic of the thread.
    pub(crate) async fn run(self) {
        // An error says that the sender was dropped, which is what is waited for.
        let _ = self.ended.await;
        if !self.stop.is_cancelled() {
            self.leases.stop_all(Stop::Shutdown);
        }
        match tokio::task::spawn_blocking(move || self.thread.join()).await {
            Ok(Ok(())) => {}
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(_) => {}
        }
    }
}

/// What the heartbeat works with.
pub(crate) struct Beating {
    pub(crate) store: Store,
    pub(crate) shards: Vec<BeatingShard>,
    pub(crate) worker: WorkerId,
    pub(crate) lease: Duration,
    pub(crate) leases: Arc<Leases>,
    pub(crate) metrics: Arc<Metrics>,
    /// The names of the scripts and axes that this worker has.
    pub(crate) scripts: (Vec<String>, Vec<String>),
}

/// One shard to beat in.
pub(crate) struct BeatingShard {
    /// Over a connection that nothing else uses.
    pub(crate) shard: Shard,
    /// Where elements go that were popped without this process knowing.
    pub(crate) found: UnboundedSender<IssueRef>,
}

impl Beating {
    /// Starts beating, until `stop`.
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
        // Three beats in a lease: two may go wrong.
        let every = (self.lease / 3).min(Duration::from_secs(5));
        // Side by side: a shard whose node is away delays no other.
        let beating = join_all(self.shards.iter().map(|shard| self.beat_in(shard, every)));
        // Goes on while a beat waits for its answer, and while beats fail.
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
                // Waiting for it may have taken much of the lease already: again at once.
                Err(error) => {
                    error_log.about("heartbeat", &error);
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
            self.store.shard_of(blueprint).number() == shard.number()
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
                tracing::debug!(issue_id = %issue.issue_id, "popped and never heard of");
                // The consumer is gone only when the worker ends.
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
