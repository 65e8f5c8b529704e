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
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use crate::Config;
use crate::backend::Backend;
use crate::blueprint_service::Blueprints;
use crate::enhance_log_service::EnhanceLog;
use crate::intake_service::Intake;
use crate::readiness::Keeper;
use crate::setting_service::Settings;
use crate::watch::Hub;

/// Largest request: a Blueprint of 1 MiB with room to be told that a larger one is too large.
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
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
        Some(wanted) => Some(listen(wanted).await?),
    };
    if let Some((_, metrics_address)) = &metrics {
        tracing::info!(%metrics_address, "metrics and probes are served");
    }
    let store = Store::open(config.redis_url.as_str())?;
    Ok(Server {
        listener,
        address,
        metrics,
        store,
        grace: config.grace,
    })
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
    metrics: Option<(TcpListener, SocketAddr)>,
    store: Store,
    grace: Duration,
}

impl Server {
    /// The address it is bound to; the port is real even if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of metrics and probes, if they are served.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// Serves until `shutdown`, then drains; returns after the grace period at the latest. Spawns
    /// nothing that outlives it, except connections that the grace period cut off.
    ///
    /// # Errors
    /// [`StartError::Store`] if Redis answers and cannot be used; [`StartError::Serve`] if the
    /// server fails.
    ///
    /// Cancel safety: dropping it drops the listener and ends watch streams; other open calls
    /// finish by themselves.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), StartError> {
        let Self {
            listener,
            metrics,
            store,
            grace,
            ..
        } = self;
        let stopping = CancellationToken::new();
        // However this future ends, what it started must end too.
        let _stop_at_the_end = stopping.clone().drop_guard();
        let (health, health_service) = tonic_health::server::health_reporter();
        let (keeper, backend) = Keeper::new(store.clone(), Seed::bundled(), health.clone());
        let hub = Hub::new();

        let serving = tonic::transport::Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN))
            .add_routes(services(&backend, &hub, &stopping))
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                stopping.clone().cancelled_owned(),
            );
        // The loops live in this future, not in tasks: they end with it. Calls run in tasks of
        // their own and do not wait for them.
        let watching = async {
            hub.run(store, stopping.clone()).await;
            Ok(())
        };
        // A keeper that gives up must not wait for the hub, which never does.
        let loops = async { tokio::try_join!(keeper.run(stopping.clone()), watching) };
        let probes = probes(metrics.map(|(listener, _)| listener), &backend, &stopping);
        tokio::pin!(serving, loops, probes);

        let result = tokio::select! {
            () = shutdown => Ok(()),
            failed = &mut loops => failed.map(drop).map_err(StartError::from),
            ended = &mut serving => return ended.map_err(StartError::from),
            () = &mut probes => Ok(()),
        };
        Keeper::report(&health, false).await;
        stopping.cancel();
        tracing::info!(grace_secs = grace.as_secs(), "draining");
        tokio::select! {
            drained = timeout(grace, serving) => match drained {
                Ok(Ok(())) => tracing::info!("stopped, all calls finished"),
                Ok(Err(error)) => tracing::warn!(%error, "the server failed while draining"),
                Err(_) => tracing::warn!("grace period over, dropping what is still open"),
            },
            // Never: whoever looks after this process can go on asking while it drains.
            () = probes => {}
        }
        result
    }
}

/// The four services of `enhance.v1`.
fn services(backend: &Backend, hub: &Hub, stopping: &CancellationToken) -> Routes {
    let intake = Intake::new(backend.clone(), hub.clone(), stopping.clone());
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

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Serves metrics and probes, if there is a listener for them. Never returns.
async fn probes(listener: Option<TcpListener>, backend: &Backend, stopping: &CancellationToken) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let answer = |probe| {
        let ready = backend.is_ready() && !stopping.is_cancelled();
        match probe {
            Probe::Metrics => ProbeAnswer::Good(backend.metrics(ready)),
            Probe::Live => ProbeAnswer::Good("alive\n".to_owned()),
            Probe::Ready if ready => ProbeAnswer::Good("ready\n".to_owned()),
            Probe::Ready if stopping.is_cancelled() => ProbeAnswer::Bad("draining\n".to_owned()),
            Probe::Ready => ProbeAnswer::Bad("waiting for Redis\n".to_owned()),
        }
    };
    probes::serve(listener, answer).await;
}
