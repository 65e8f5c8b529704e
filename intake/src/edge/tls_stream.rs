//! Connections as the server receives them: plain, or after the TLS handshake.
//!
//! tonic's own TLS uses one certificate for the life of the server. Here each handshake uses the
//! files as last read. Each handshake runs in its own task, so a slow client delays no other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use shared::domain::actor::Actor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::edge::actor;
use crate::edge::connection_limit::LimitedStream;
use crate::edge::tls::Tls;

/// Time limit of a handshake. The connection is dropped after it.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// A connection, with or without TLS.
pub(crate) enum Connection {
    Plain(LimitedStream),
    Tls(Box<TlsStream<LimitedStream>>, PeerInfo),
}

/// The peer of a connection. An extension of each of its requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerInfo {
    /// The name in the client certificate; `None` without a certificate, or without a valid name.
    pub(crate) certificate_name: Option<Actor>,
}

/// Returns the connections of `incoming`, after the handshake if `tls` is set. At most `places`
/// handshakes run at once. A failed handshake ends only its own connection.
pub(crate) fn connections(
    incoming: impl Stream<Item = io::Result<LimitedStream>> + Send + 'static,
    tls: Option<Tls>,
    places: usize,
) -> impl Stream<Item = io::Result<Connection>> {
    let connecting = incoming.map(move |accepted| {
        let tls = tls.clone();
        async move {
            match (accepted, tls) {
                (Err(error), _) => Some(Err(error)),
                (Ok(stream), None) => Some(Ok(Connection::Plain(stream))),
                (Ok(stream), Some(tls)) => {
                    // The error of a task is its panic, which the runtime has reported.
                    tokio::spawn(handshake(stream, tls)).await.ok().flatten()
                }
            }
        }
    });
    let connected = connecting.buffer_unordered(places);
    connected.filter_map(std::future::ready)
}

async fn handshake(stream: LimitedStream, tls: Tls) -> Option<io::Result<Connection>> {
    let accepting = TlsAcceptor::from(tls.config()).accept(stream);
    match timeout(HANDSHAKE_WITHIN, accepting).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let certificate = certificates.and_then(<[_]>::first);
            let peer = PeerInfo {
                certificate_name: certificate.and_then(|der| actor::of_certificate(der)),
            };
            Some(Ok(Connection::Tls(Box::new(stream), peer)))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Connection::Tls(stream, _) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Connection::Tls(stream, _) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Connection::Tls(stream, _) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Connection::Plain(stream) => stream.is_write_vectored(),
            Connection::Tls(stream, _) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        match self {
            Connection::Plain(_) => PeerInfo::default(),
            Connection::Tls(_, peer) => peer.clone(),
        }
    }
}
