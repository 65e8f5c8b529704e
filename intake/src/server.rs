//! Putting intake together, serving, and stopping.
//!
//! Stopping goes in this order: health turns NOT_SERVING, no new connection is accepted, watch
//! streams end UNAVAILABLE, open calls finish. A client that keeps its connection open without a
//! call can hold a graceful shutdown for ever, so after the grace period the rest is dropped.

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
use crate::config::Config;
use crate::edge::auth_layer::AuthLayer;
use crate::edge::connection_limit::{IdleTimeouts, limit_connections};
use crate::edge::tls::Tls;
use crate::edge::tls_stream::connections;
use crate::edge::tokens::TokensFile;
use crate::error::request_error::MAX_REQUEST_BYTES;
use crate::issues::service::Intake;
use crate::issues::watch::Hub;
use crate::log::service::EnhanceLog;
use crate::readiness::ReadinessProbe;
use crate::settings::service::Settings;
use crate::{metrics, queue_metrics};

/// Largest answer: a Blueprint of 1 MiB as YAML and as JSON, escapes included.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Open calls of one connection; the rest of them waits at the client.
const MAX_STREAMS: u32 = 4_096;
/// What a client may send ahead: a whole Blueprint without waiting for leave.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// A connection whose peer is gone without a word is noticed within these two together.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(60);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(20);
/// A connection that says nothing is given up: before its first word soon, later once pings must have been answered.
const IDLE_TIMEOUTS: IdleTimeouts = IdleTimeouts {
    first_word: Duration::from_secs(10),
    silence: Duration::from_secs(90),
};
/// What the headers of one call may hold together, counted as HTTP/2 counts: many tokens' worth.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Why intake could not start, or not go on.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store cannot be used, and waiting will not help.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// The reflection service refuses the descriptors: a defect of the build.
    #[error("cannot describe the services")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server ended by itself.
    #[error("the server failed")]
    Serve(#[from] tonic::transport::Error),
    /// A service of the program failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Binds and serves until `shutdown`. What the program `intake` does.
///
/// # Errors
/// Those of [`bind`] and [`Server::serve`].
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), StartError> {
    bind(config).await?.serve(shutdown).await
}

/// Binds the address and logs it. Redis need not be there yet; connections wait in the
/// listener's backlog until [`Server::serve`] takes them.
///
/// # Errors
/// [`StartError::Bind`] if an address is taken; [`StartError::Store`] for a URL that cannot be used.
pub async fn bind(config: Config) -> Result<Server, StartError> {
    let (listener, address) = listen(config.listen).await?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "intake listens");
    let metrics = match config.metrics_listen {
        None => None,
        Some(wanted) => {
            let (listener, address) = listen(wanted).await?;
            // Nothing records where nobody can ask.
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

/// Says loudly what somebody else's machine may do here.
fn warn_if_open(address: SocketAddr, config: &Config) {
    if address.ip().is_loopback() {
        return;
    }
    if config.tls.is_none() {
        tracing::warn!(%address, "intake is reachable from other machines in plain text: tokens and documents can be read on the way; set DRAFTSMAN_TLS_CERT and DRAFTSMAN_TLS_KEY");
    }
    let knows_clients = config
        .tls
        .as_ref()
        .is_some_and(Tls::wants_client_certificates);
    if config.tokens.is_none() && !knows_clients {
        tracing::warn!(%address, "intake is open: whoever reaches it may change every Blueprint and setting; set DRAFTSMAN_TOKENS_FILE or DRAFTSMAN_TLS_CLIENT_CA");
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

/// An intake that has its address and does not serve yet.
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
    /// The address it is bound to; the port is real even if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of metrics and probes, if they are served.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address, _)| *address)
    }

    /// How it is called: `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Turns true once it serves and Redis answers.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Serves until `shutdown` or until a service fails, then drains; returns after the grace period
    /// at the latest. Spawns nothing that outlives it, except connections that the grace period cut
    /// off.
    ///
    /// # Errors
    /// [`StartError::Store`] if Redis answers and cannot be used; [`StartError::Serve`] or
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
        // However this future ends, what it started must end too.
        let _stop_at_the_end = stopping.clone().drop_guard();
        let (health, health_service) = tonic_health::server::health_reporter();
        let hub = Hub::new();

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
            .layer(AuthLayer::new(tokens.clone()))
            .add_routes(services(&backend, &hub, max_watch, &stopping))
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
            async move { hub.run(store, stopping).await }
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
            // Until the program ends: probes are answered while it drains.
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
            Err(_) => tracing::warn!("grace period over, dropping what is still open"),
        }
        services.result()
    }
}

/// The four services of `enhance.v1`.
fn services(
    backend: &Backend,
    hub: &Hub,
    max_watch: Duration,
    stopping: &CancellationToken,
) -> Routes {
    let intake = Intake::new(backend.clone(), hub.clone(), max_watch, stopping.clone());
    Routes::new(
        IntakeServiceServer::new(intake)
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_ANSWER_BYTES),
    )
    .add_service(
        BlueprintServiceServer::new(Blueprints::new(backend.clone()))
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
        // The details of every refusal: no service refers to them, so they are not in the other sets.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// Serves metrics and probes. Never returns.
async fn probes(
    listener: TcpListener,
    numbers: Numbers,
    backend: Backend,
    stopping: CancellationToken,
) {
    let answer = |probe| {
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
