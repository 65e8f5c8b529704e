//! Whether Redis is there and prepared, for handlers, for health checks and for the log.
//!
//! Intake listens before Redis answers. Until the store is prepared (server and versions checked, orbit
//! and setting seeded), and again whenever Redis does not answer, calls are refused UNAVAILABLE at
//! once and health says NOT_SERVING. It says so too from the moment the server drains; calls that
//! are open then may still finish.

use std::time::Duration;

use shared::store::{Seed, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::error::status::chain;

/// Between two attempts to reach a Redis that is away.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// Between two looks at a Redis that was there a moment ago.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A Redis that takes longer to answer counts as away. Longer than a call of the store may take,
/// so that the store sees its own timeout and gives the connection up.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// Preparing reads and writes a little; a Redis that is slow is still preparing.
const PREPARE_WITHIN: Duration = Duration::from_secs(10);
/// One line of log in this time, however long Redis is away.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at how full Redis is.
const LOOK_AT_MEMORY_EVERY: Duration = Duration::from_secs(60);

/// The services whose health is reported; the empty name is the server as a whole.
const SERVICES: [&str; 5] = [
    "",
    proto::v1::intake_service_server::SERVICE_NAME,
    proto::v1::blueprint_service_server::SERVICE_NAME,
    proto::v1::setting_service_server::SERVICE_NAME,
    proto::v1::enhance_log_service_server::SERVICE_NAME,
];

/// What is done at the first contact alone.
#[derive(Default)]
struct Once {
    checked: bool,
    ranked: bool,
}

/// Keeps an eye on Redis. One for each server.
pub(crate) struct ReadinessProbe {
    store: Store,
    seed: Seed,
    ready: watch::Sender<bool>,
    health: HealthReporter,
}

impl ReadinessProbe {
    /// A keeper that says through `ready` whether Redis is there.
    pub(crate) fn new(
        store: Store,
        seed: Seed,
        ready: watch::Sender<bool>,
        health: HealthReporter,
    ) -> Self {
        Self {
            store,
            seed,
            ready,
            health,
        }
    }

    /// Sets the health of every service.
    pub(crate) async fn report(health: &HealthReporter, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in SERVICES {
            health.set_service_status(service, status).await;
        }
    }

    /// Waits for Redis, prepares it, then watches it until `stopping`.
    ///
    /// # Errors
    /// What preparing says if waiting cannot help: another shard count, a Redis that will not do.
    pub(crate) async fn run(self, stopping: CancellationToken) -> Result<(), StoreError> {
        Self::report(&self.health, false).await;
        stopping
            .run_until_cancelled(self.watch())
            .await
            .unwrap_or(Ok(()))
    }

    async fn watch(&self) -> Result<(), StoreError> {
        let mut served = false;
        let mut done = Once::default();
        loop {
            self.wait(served, &mut done).await?;
            served = true;
            self.ready.send_replace(true);
            Self::report(&self.health, true).await;
            tracing::info!("Redis is ready, serving");
            let mut looked: Option<Instant> = None;
            while let Ok(Ok(())) = timeout(ANSWER_WITHIN, self.store.ping()).await {
                if looked.is_none_or(|at| at.elapsed() >= LOOK_AT_MEMORY_EVERY) {
                    looked = Some(Instant::now());
                    self.look_at_memory().await;
                }
                sleep(LOOK_EVERY).await;
            }
            self.ready.send_replace(false);
            Self::report(&self.health, false).await;
        }
    }

    /// Says so if Redis fills up. A look that fails is none: the next ping says what is wrong.
    async fn look_at_memory(&self) {
        if let Ok(Ok(Some(warning))) = timeout(ANSWER_WITHIN, self.store.memory_warning()).await {
            tracing::warn!("{warning}");
        }
    }

    /// Returns when Redis answers and is prepared. A Redis that comes back is prepared again: it
    /// may be a new one.
    ///
    /// # Errors
    /// At the start, an error that waiting cannot help. Later none: a server that served goes on
    /// trying, and says what is wrong.
    async fn wait(&self, served: bool, done: &mut Once) -> Result<(), StoreError> {
        let mut said: Option<Instant> = None;
        loop {
            let error = match timeout(PREPARE_WITHIN, self.prepare(done)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if !error.is_retryable() && !served => {
                    return Err(error);
                }
                Ok(Err(error)) => chain(&error),
                Err(_) => "no answer".to_owned(),
            };
            if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                said = Some(Instant::now());
                tracing::warn!(error, "waiting for Redis");
            }
            sleep(RETRY_EVERY).await;
        }
    }

    /// The server is checked at the first contact only: one that takes over later was set up like it.
    async fn prepare(&self, done: &mut Once) -> Result<(), StoreError> {
        if !done.checked {
            self.store.check_server().await?;
            done.checked = true;
        }
        self.store.ping().await?;
        self.store.prepare(&self.seed).await?;
        if !done.ranked {
            self.store.rank_labels().await?;
            done.ranked = true;
        }
        Ok(())
    }
}
