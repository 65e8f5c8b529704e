//! Builds the server, serves, and stops.
//!
//! A stop goes in this order: health turns NOT_SERVING, the listener closes, watch streams end
//! UNAVAILABLE, open calls finish. A client that keeps an idle connection open can delay a graceful
//! shutdown without end. So everything still open is dropped after the grace period.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use proto::v1::blueprint_service_server::BlueprintServiceServer;
use proto::v1::enhance_log_service_server::EnhanceLogServiceServer;
use proto::v1::intake_service_server::IntakeServiceServer;
use proto::v1::setting_service_server::SettingServiceServer;
use shared::store::{Seed, Store, StoreError};
use shared::telemetry::probes::{self, Probe, ProbeAnswer};
use shared::telemetry::prometheus::{self, Numbers};
use supervisor::{ServiceError, Services};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use crate::backend::Backend;
use crate::blueprints::service::Blueprints;
use crate::blueprints::watch::Hub as BlueprintHub;
use crate::config::Config;
use crate::edge::auth_layer::AuthLayer;
use crate::edge::connection_limit::{IdleTimeouts, limit_connections};
use crate::edge::tls::Tls;
use crate::edge::tls_stream::connections;
use crate::edge::tokens::TokensFile;
use crate::error::request_error::MAX_REQUEST_BYTES;
use crate::issues::service::Intake;
use crate::issues::watch::Hub as IssueHub;
use crate::log::service::EnhanceLog;
use crate::readiness::ReadinessProbe;
use crate::settings::service::Settings;
use crate::subscription::keep_subscribed;
use crate::watching::lifetime::WatchLimits;
use crate::{metrics, queue_metrics};

/// Largest response, in bytes: a Blueprint of 1 MiB as YAML and as JSON, escapes included.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Concurrent calls of one connection. The client queues further calls.
const MAX_STREAMS: u32 = 4_096;
/// HTTP/2 flow-control windows: a client can send a whole Blueprint without a window update.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Interval and timeout of HTTP/2 pings. A connection whose peer has vanished is closed within
/// their sum.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(60);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(20);
/// Idle timeouts. The second one exceeds the interval and the timeout of the pings together.
const IDLE_TIMEOUTS: IdleTimeouts = IdleTimeouts {
    first_byte: Duration::from_secs(10),
    between_bytes: Duration::from_secs(90),
};
/// Maximum size of all headers of a call, as HTTP/2 counts it (RFC 9113, section 6.5.2). A token
/// needs a small part of it.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Why intake failed to start or to continue.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The store is not usable, and waiting does not help.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// The reflection service rejects the descriptors: a defect of the build.
    #[error("cannot describe the services")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The gRPC server failed.
    #[error("the server failed")]
    Serve(#[from] tonic::transport::Error),
    /// A background service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Binds and serves until `shutdown`, as the program `intake` does.
///
/// # Errors
/// Those of [`bind`] and [`Server::serve`].
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), StartError> {
    bind(config).await?.serve(shutdown).await
}

/// Binds the addresses and logs them. Redis may still be unavailable. Connections wait in the
/// backlog of the listener until [`Server::serve`] accepts them.
///
/// # Errors
/// [`StartError::Bind`] if an address cannot be bound; [`StartError::Store`] if the URL is not
/// usable.
pub async fn bind(config: Config) -> Result<Server, StartError> {
    let (listener, address) = listen(config.listen).await?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "intake listens");
    let metrics = match config.metrics_listen {
        None => None,
        Some(wanted) => {
            let (listener, address) = listen(wanted).await?;
            // The recorder is installed only if metrics are served.
            Some((listener, address, prometheus::record()))
        }
    };
    metrics::describe();
    if let Some((_, metrics_address, _)) = &metrics {
        tracing::info!(%metrics_address, "metrics and probes are served");
    }
    warn_if_open(address, &config);
    let store =
        Store::open(config.redis_url.as_str(), config.shards)?.waiting_for(config.wait_replicas);
    let ready = watch::Sender::new(false);
    Ok(Server {
        backend: Backend::new(store.clone(), ready.subscribe(), config.max_watches),
        listener,
        address,
        metrics,
        store,
        ready,
        tls: config.tls,
        tokens: config.tokens,
        reflection: config.reflection,
        max_connections: config.max_connections,
        max_watch: config.max_watch,
        grace: config.grace,
    })
}

/// Logs a warning when the server accepts unauthenticated or unencrypted remote clients.
fn warn_if_open(address: SocketAddr, config: &Config) {
    if address.ip().is_loopback() {
        return;
    }
    if config.tls.is_none() {
        tracing::warn!(%address, "intake is reachable from other machines in plain text: tokens and documents can be read in transit; set DRAFTSMAN_TLS_CERT and DRAFTSMAN_TLS_KEY");
    }
    let knows_clients = config
        .tls
        .as_ref()
        .is_some_and(Tls::wants_client_certificates);
    if config.tokens.is_none() && !knows_clients {
        tracing::warn!(%address, "intake accepts unauthenticated clients, which may change every Blueprint and setting; set DRAFTSMAN_TOKENS_FILE or DRAFTSMAN_TLS_CLIENT_CA");
    }
}

async fn listen(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bind = |source| StartError::Bind {
        address: wanted,
        source,
    };
    let listener = TcpListener::bind(wanted).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    Ok((listener, address))
}

/// An intake that is bound and not serving yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Option<(TcpListener, SocketAddr, Numbers)>,
    store: Store,
    backend: Backend,
    ready: watch::Sender<bool>,
    tls: Option<Tls>,
    tokens: Option<TokensFile>,
    reflection: bool,
    max_connections: usize,
    max_watch: Duration,
    grace: Duration,
}

impl Server {
    /// Returns the bound address. Its port is the actual one even if port 0 was requested.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of metrics and probes, if they are served.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address, _)| *address)
    }

    /// Returns the URL scheme: `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Returns a receiver that turns true once the server serves and Redis answers.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Serves until `shutdown` or until a service fails, then drains. Returns after the grace
    /// period at the latest. Only connections that exceed the grace period can outlive the call.
    ///
    /// # Errors
    /// [`StartError::Store`] if Redis answers and is not usable; [`StartError::Serve`] or
    /// [`StartError::Service`] if the server or another service fails.
    ///
    /// Cancel safety: dropping it drops the listener and ends watch streams; other open calls
    /// finish by themselves.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
        let Self {
            listener,
            metrics,
            store,
            backend,
            ready,
            tls,
            tokens,
            reflection,
            max_connections,
            max_watch,
            grace,
            ..
        } = self;
        let stopping = CancellationToken::new();
        // Every exit from this future, including a drop, must stop the tasks that it spawned.
        let _stop_at_the_end = stopping.clone().drop_guard();
        let (health, health_service) = tonic_health::server::health_reporter();
        let (issues, blueprints) = (IssueHub::new(), BlueprintHub::new(store.clone()));
        let limits = WatchLimits {
            at_most: max_watch,
            stopping: stopping.clone(),
        };

        let wants_certificates = tls.as_ref().is_some_and(Tls::wants_client_certificates);
        let builder = tonic::transport::Server::builder();
        let (v1, v1alpha) = match reflection {
            true => (
                Some(describer().build_v1()?),
                Some(describer().build_v1alpha()?),
            ),
            false => (None, None),
        };
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let limit_connections = limit_connections(incoming, max_connections, IDLE_TIMEOUTS);
        let serving = builder
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN))
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .layer(AuthLayer::new(tokens.clone(), wants_certificates))
            .add_routes(services(&backend, &issues, &blueprints, &limits))
            .add_service(health_service)
            .add_optional_service(v1)
            .add_optional_service(v1alpha)
            .serve_with_incoming_shutdown(
                connections(limit_connections, tls.clone(), max_connections),
                stopping.clone().cancelled_owned(),
            );
        let mut services = Services::<StartError>::default();
        services.spawn_fallible("server", &stopping, async {
            serving.await.map_err(StartError::from)
        });
        let readiness_probe =
            ReadinessProbe::new(store.clone(), Seed::bundled(), ready, health.clone());
        services.spawn_fallible("readiness", &stopping, {
            let stopping = stopping.clone();
            async {
                readiness_probe
                    .run(stopping)
                    .await
                    .map_err(StartError::from)
            }
        });
        services.spawn("events", &stopping, {
            let stopping = stopping.clone();
            async move {
                let forever = async {
                    tokio::join!(
                        keep_subscribed(&store, &issues, &blueprints),
                        issues.run(&store),
                        blueprints.run(),
                    );
                };
                // Always `None`, because `forever` does not end.
                stopping.run_until_cancelled(forever).await;
            }
        });
        if let Some(tls) = tls {
            services.spawn("certificates", &stopping, {
                let stopping = stopping.clone();
                async move {
                    stopping.run_until_cancelled(tls.follow()).await;
                }
            });
        }
        if let Some(tokens) = tokens {
            services.spawn("tokens", &stopping, {
                let stopping = stopping.clone();
                async move {
                    stopping.run_until_cancelled(tokens.follow()).await;
                }
            });
        }
        if let Some((listener, _, numbers)) = metrics {
            services.spawn("queue_metrics", &stopping, {
                let (stopping, numbers) = (stopping.clone(), numbers.clone());
                let backend = backend.clone();
                async move {
                    let following = queue_metrics::follow_queue(numbers, &backend);
                    stopping.run_until_cancelled(following).await;
                }
            });
            // Runs until the program ends, because probes are answered while the server drains.
            let forever = CancellationToken::new();
            let answering = probes(listener, numbers, backend, stopping.clone());
            services.spawn("probes", &forever, answering);
        }

        tokio::select! {
            () = shutdown => {}
            () = services.failed() => {}
        }
        ReadinessProbe::report(&health, false).await;
        stopping.cancel();
        tracing::info!(grace_secs = grace.as_secs(), "draining");
        match timeout(grace, services.ended()).await {
            Ok(()) => tracing::info!("stopped, all calls finished"),
            Err(_) => tracing::warn!("the grace period is over; open calls are dropped"),
        }
        services.result()
    }
}

/// Returns the four services of `enhance.v1`.
fn services(
    backend: &Backend,
    issues: &IssueHub,
    blueprints: &BlueprintHub,
    limits: &WatchLimits,
) -> Routes {
    let intake = Intake::new(backend.clone(), issues.clone(), limits.clone());
    let blueprints = Blueprints::new(backend.clone(), blueprints.clone(), limits.clone());
    Routes::new(
        IntakeServiceServer::new(intake)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_ANSWER_BYTES),
    )
    .add_service(
        BlueprintServiceServer::new(blueprints)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_ANSWER_BYTES),
    )
    .add_service(
        SettingServiceServer::new(Settings::new(backend.clone()))
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_ANSWER_BYTES),
    )
    .add_service(
        EnhanceLogServiceServer::new(EnhanceLog::new(backend.clone()))
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_ANSWER_BYTES),
    )
}

fn describer() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // The types of error details. No service refers to them, so the other sets omit them.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// Serves metrics and probes. Never returns.
async fn probes(
    listener: TcpListener,
    numbers: Numbers,
    backend: Backend,
    stopping: CancellationToken,
) {
    let answer = move |probe| {
        let ready = backend.is_ready() && !stopping.is_cancelled();
        match probe {
            Probe::Metrics => ProbeAnswer::Good(metrics::render(&numbers, ready)),
            Probe::Live => ProbeAnswer::Good("alive\n".to_owned()),
            Probe::Ready if ready => ProbeAnswer::Good("ready\n".to_owned()),
            Probe::Ready if stopping.is_cancelled() => ProbeAnswer::Bad("draining\n".to_owned()),
            Probe::Ready => ProbeAnswer::Bad("waiting for Redis\n".to_owned()),
        }
    };
    probes::serve(listener, answer).await;
}
