//! Tracks whether Redis answers and is prepared, for handlers, health checks and the log.
//!
//! Intake listens before Redis answers. Calls fail UNAVAILABLE at once and health is NOT_SERVING
//! until the store is prepared, and during each outage. To prepare it, intake checks server and
//! versions, and seeds orbit and setting. Health is also NOT_SERVING while the server drains; open
//! calls may then still finish.

use std::time::Duration;

use shared::error::chain;
use shared::store::{Seed, Store, StoreError};
use shared::throttle::Throttle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Interval between attempts to reach an unavailable Redis.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// Interval between pings of an available Redis.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Time limit of a ping; Redis counts as unavailable after it. Exceeds the timeout of a store call,
/// so that the store sees its own timeout first and closes the connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// Time limit of the preparation, which makes several small reads and writes. A slow Redis may need
/// most of it.
const PREPARE_WITHIN: Duration = Duration::from_secs(10);
/// Minimum time between two log lines during an outage.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// Interval between checks of Redis' memory.
const CHECK_MEMORY_EVERY: Duration = Duration::from_secs(60);

/// The services whose health is reported. The empty name is the server as a whole.
const SERVICES: [&str; 5] = [
    "",
    proto::v1::intake_service_server::SERVICE_NAME,
    proto::v1::blueprint_service_server::SERVICE_NAME,
    proto::v1::setting_service_server::SERVICE_NAME,
    proto::v1::enhance_log_service_server::SERVICE_NAME,
];

/// Watches Redis. One per server.
pub(crate) struct ReadinessProbe {
    store: Store,
    seed: Seed,
    ready: watch::Sender<bool>,
    health: HealthReporter,
}

impl ReadinessProbe {
    /// Creates a probe that reports through `ready` whether Redis is usable.
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
    /// An error of the first preparation that waiting does not fix, such as another shard count or
    /// an unsupported Redis.
    pub(crate) async fn run(self, stopping: CancellationToken) -> Result<(), StoreError> {
        Self::report(&self.health, false).await;
        stopping
            .run_until_cancelled(self.watch())
            .await
            .unwrap_or(Ok(()))
    }

    async fn watch(&self) -> Result<(), StoreError> {
        let mut served = false;
        let mut checked = false;
        loop {
            self.wait(served, &mut checked).await?;
            served = true;
            self.ready.send_replace(true);
            Self::report(&self.health, true).await;
            tracing::info!("Redis is ready, serving");
            let mut memory_checks = Throttle::new(CHECK_MEMORY_EVERY);
            while let Ok(Ok(())) = timeout(ANSWER_WITHIN, self.store.ping()).await {
                if memory_checks.pass() {
                    self.check_memory().await;
                }
                sleep(PING_EVERY).await;
            }
            self.ready.send_replace(false);
            Self::report(&self.health, false).await;
        }
    }

    /// Logs a warning when Redis is nearly full. A failed check is ignored: the next ping detects
    /// an outage.
    async fn check_memory(&self) {
        if let Ok(Ok(Some(warning))) = timeout(ANSWER_WITHIN, self.store.memory_warning()).await {
            tracing::warn!("{warning}");
        }
    }

    /// Waits until Redis answers and is prepared. After each outage Redis is prepared again,
    /// because it may be a new server.
    ///
    /// # Errors
    /// At the start, an error that waiting does not fix. A server that has served before retries
    /// instead, and logs the error.
    async fn wait(&self, served: bool, checked: &mut bool) -> Result<(), StoreError> {
        let mut log_lines = Throttle::new(LOG_EVERY);
        loop {
            let error = match timeout(PREPARE_WITHIN, self.prepare(checked)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if !error.is_retryable() && !served => {
                    return Err(error);
                }
                Ok(Err(error)) => chain(&error),
                Err(_) => "no answer".to_owned(),
            };
            if log_lines.pass() {
                tracing::warn!(error, "waiting for Redis");
            }
            sleep(RETRY_EVERY).await;
        }
    }

    /// Prepares Redis. The server is checked only on first contact: a replica that takes over later
    /// is configured alike.
    async fn prepare(&self, checked: &mut bool) -> Result<(), StoreError> {
        if !*checked {
            self.store.check_server().await?;
            *checked = true;
        }
        self.store.ping().await?;
        self.store.prepare(&self.seed).await
    }
}
