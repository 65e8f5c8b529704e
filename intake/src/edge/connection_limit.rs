//! Limits the number of connections and closes idle ones.
//!
//! tonic does neither. A connection above the limit is closed at once. Its client can then try
//! another intake instead of waiting in the backlog of the listener. A connection is closed when
//! its client sends no byte before the idle timeout, not even the response to a ping.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt};
use shared::throttle::Throttle;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::transport::server::TcpIncoming;

/// Idle timeouts of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdleTimeouts {
    /// Time until the first byte.
    pub(crate) first_byte: Duration,
    /// Time between two bytes. Must exceed the interval and the timeout of HTTP/2 pings together.
    pub(crate) between_bytes: Duration,
}

/// Minimum time between two log lines about closed connections.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Returns the connections of `incoming`, at most `places` at once; closes the others.
pub(crate) fn limit_connections(
    incoming: TcpIncoming,
    places: usize,
    idle_timeouts: IdleTimeouts,
) -> impl Stream<Item = io::Result<LimitedStream>> {
    let free = Arc::new(Semaphore::new(places));
    let log_lines = Mutex::new(Throttle::new(LOG_EVERY));
    incoming.filter_map(move |accepted| {
        let stream_limit = match accepted {
            Err(error) => Some(Err(error)),
            Ok(stream) => match Arc::clone(&free).try_acquire_owned() {
                Ok(permit) => Some(Ok(LimitedStream::new(stream, idle_timeouts, permit))),
                Err(_) => {
                    metrics::counter!("draftsman_intake_refused_total", "why" => "connections")
                        .increment(1);
                    let mut log_lines = log_lines.lock().unwrap_or_else(PoisonError::into_inner);
                    if log_lines.pass() {
                        tracing::warn!(
                            places,
                            "too many connections; a new one was closed (DRAFTSMAN_MAX_CONNECTIONS)"
                        );
                    }
                    None
                }
            },
        };
        std::future::ready(stream_limit)
    })
}

/// A connection that counts towards the limit.
pub(crate) struct LimitedStream {
    stream: TcpStream,
    idle_timeouts: IdleTimeouts,
    /// When the connection has been idle for too long.
    due: Instant,
    timer: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl LimitedStream {
    fn new(stream: TcpStream, idle_timeouts: IdleTimeouts, permit: OwnedSemaphorePermit) -> Self {
        let due = Instant::now() + idle_timeouts.first_byte;
        Self {
            stream,
            idle_timeouts,
            due,
            timer: Box::pin(sleep_until(due)),
            _permit: permit,
        }
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            let due = Instant::now() + self.idle_timeouts.between_bytes;
            self.due = due;
            // Usually only `due` is updated. The timer is reset when it fires, not after every
            // read.
            if due < self.timer.deadline() {
                self.timer.as_mut().reset(due);
            }
            return Poll::Ready(read);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.due <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let due = self.due;
            self.timer.as_mut().reset(due);
        }
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn silence_ends_a_connection_and_one_too_many_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let idle_timeouts = IdleTimeouts {
            first_byte: Duration::from_secs(3600),
            between_bytes: Duration::from_millis(1),
        };
        let mut limit_connections = Box::pin(limit_connections(
            TcpIncoming::from(listener),
            1,
            idle_timeouts,
        ));

        let mut first = TcpStream::connect(address).await.unwrap();
        let mut stream_limit = limit_connections.next().await.unwrap().unwrap();
        let mut refused = TcpStream::connect(address).await.unwrap();
        // The connection is closed while the stream waits for the next one, so a task polls the
        // stream.
        let waiting = tokio::spawn(async move { limit_connections.next().await.is_some() });
        assert_eq!(refused.read(&mut [0; 1]).await.unwrap(), 0, "closed");

        first.write_all(b"x").await.unwrap();
        assert_eq!(stream_limit.read(&mut [0; 1]).await.unwrap(), 1);
        let silent = stream_limit.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
        drop(stream_limit);
        let _second = TcpStream::connect(address).await.unwrap();
        assert!(waiting.await.unwrap(), "a released permit is free");
    }
}
