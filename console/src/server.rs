//! The HTTP server. `axum::serve` limits neither connections nor the time of a request head.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

use crate::app::App;
use crate::calls::Intake;
use crate::edge::hosts::Hosts;
use crate::pages;

/// The number of connections. More wait in the backlog of the listener.
const MAX_CONNECTIONS: usize = 256;
/// Time limit of a request head, and of an idle connection.
const HEAD_WITHIN: Duration = Duration::from_secs(20);
/// Maximum size of a request head.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// How long open requests may take after a request to stop.
const GRACE: Duration = Duration::from_secs(5);
/// The delay after a failed accept. The usual cause is a lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// The configuration of the console.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; port 0 picks a free port.
    pub listen: SocketAddr,
    /// The address of intake, with its TLS options.
    pub intake: Endpoint,
    /// The names under which the console answers, besides those of `listen`.
    pub hosts: Hosts,
    /// The actor that an intake without authentication records; used if the console is reached from
    /// this machine only.
    pub actor: Option<MetadataValue<Ascii>>,
}

/// Why the console failed to start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address} (--listen)")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The operating system gives no random bytes.
    #[error("cannot get random bytes for the keys of forms")]
    Random(#[from] getrandom::Error),
}

/// A console that listens. Connections wait until [`Server::serve`] accepts them.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Binds the address. Intake may still be unavailable.
///
/// # Errors
/// [`StartError`].
pub async fn bind(config: Config) -> Result<Server, StartError> {
    let wanted = config.listen;
    let bind = |source| StartError::Bind {
        address: wanted,
        source,
    };
    let listener = TcpListener::bind(wanted).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let mut hosts = config.hosts;
    hosts.add_local(address);
    // Whoever reaches a console on another address is not the user of this process.
    let actor = config.actor.filter(|_| address.ip().is_loopback());
    let app = App::new(Intake::new(&config.intake, actor), hosts)?;
    Ok(Server {
        listener,
        address,
        app: Arc::new(app),
    })
}

impl Server {
    /// Returns the address on which it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves, then lets open requests finish within a few seconds. Event
    /// streams end at once.
    ///
    /// Cancel safety: a dropped call closes all connections.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        let service = TowerToHyperService::new(pages::routes(&self.app));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(MAX_HEAD_BYTES);
        let stopping = self.app.stopping.clone();
        let mut open = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept(), if open.len() < MAX_CONNECTIONS => {
                    let stream = match accepted {
                        Ok((stream, _)) => stream,
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept a connection");
                            sleep(PAUSE).await;
                            continue;
                        }
                    };
                    let connection = http.serve_connection(TokioIo::new(stream), service.clone());
                    let stopping = stopping.clone();
                    open.spawn(async move {
                        tokio::pin!(connection);
                        // The result of a single connection is irrelevant.
                        tokio::select! {
                            _ = connection.as_mut() => return,
                            () = stopping.cancelled() => {}
                        }
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    });
                }
                Some(_) = open.join_next() => {}
            }
        }
        drop(self.listener);
        stopping.cancel();
        let finish = async { while open.join_next().await.is_some() {} };
        let _ = timeout(GRACE, finish).await;
    }
}
