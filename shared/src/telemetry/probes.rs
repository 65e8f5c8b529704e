//! The HTTP server of `/metrics`, `/livez` and `/readyz`, for Prometheus, Kubernetes and `curl`.
//!
//! It serves one response per connection, and limits the number and the duration of connections.
//! `axum::serve` does neither, and spawns a task for each.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// The maximum size of a request head.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The maximum time of a request and its response.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of concurrent connections. More connections wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 32;
/// The delay after a failed accept. The usual cause is a lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// `/metrics`: the metrics.
    Metrics,
    /// `/livez`: the process responds.
    Live,
    /// `/readyz`: the process can do new work.
    Ready,
}

/// The response to a [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeAnswer {
    /// Status 200 with this text. [`Probe::Metrics`] uses the text format of Prometheus.
    Good(String),
    /// Status 503 with this text.
    Bad(String),
}

/// Serves probes on `listener`. Never returns; drop the future to stop it.
pub async fn serve(
    listener: TcpListener,
    answer: impl Fn(Probe) -> ProbeAnswer + Send + Sync + 'static,
) {
    let service = TowerToHyperService::new(routes(answer));
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(MAX_HEAD_BYTES);
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < MAX_CONNECTIONS => match accepted {
                // The result of a single connection is irrelevant.
                Ok((stream, _)) => {
                    let connection = http.serve_connection(TokioIo::new(stream), service.clone());
                    open.push(timeout(READ_TIMEOUT, connection));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a probe's connection");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = open.next() => {}
        }
    }
}

/// Returns the routes.
fn routes(answer: impl Fn(Probe) -> ProbeAnswer + Send + Sync + 'static) -> Router {
    let answer = Arc::new(answer);
    let route = |probe| {
        let answer = Arc::clone(&answer);
        get(move || ready(respond(answer(probe))))
    };
    Router::new()
        .route("/metrics", route(Probe::Metrics))
        .route("/livez", route(Probe::Live))
        .route("/readyz", route(Probe::Ready))
        .method_not_allowed_fallback(|| ready((StatusCode::METHOD_NOT_ALLOWED, "only GET\n")))
        .fallback((
            StatusCode::NOT_FOUND,
            "there are /metrics, /livez and /readyz\n",
        ))
}

fn respond(answer: ProbeAnswer) -> impl IntoResponse {
    let (status, body) = match answer {
        ProbeAnswer::Good(body) => (StatusCode::OK, body),
        ProbeAnswer::Bad(body) => (StatusCode::SERVICE_UNAVAILABLE, body),
    };
    (status, [(CONTENT_TYPE, TEXT_FORMAT)], body)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    fn answer(probe: Probe) -> ProbeAnswer {
        match probe {
            Probe::Metrics => ProbeAnswer::Good("x 1\n".into()),
            Probe::Live => ProbeAnswer::Good("alive\n".into()),
            Probe::Ready => ProbeAnswer::Bad("not yet\n".into()),
        }
    }

    async fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn probes_are_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asking = async {
            for (request, status, body) in [
                (
                    "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
                    "200 OK",
                    "x 1\n",
                ),
                ("GET /livez?verbose HTTP/1.1\r\n\r\n", "200 OK", "alive\n"),
                (
                    "GET /readyz HTTP/1.1\r\n\r\n",
                    "503 Service Unavailable",
                    "not yet\n",
                ),
                (
                    "POST /livez HTTP/1.1\r\n\r\n",
                    "405 Method Not Allowed",
                    "only GET\n",
                ),
                (
                    "GET / HTTP/1.1\r\n\r\n",
                    "404 Not Found",
                    "there are /metrics, /livez and /readyz\n",
                ),
            ] {
                let text = ask(address, request).await;
                assert!(
                    text.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                    "{text}"
                );
                assert!(text.ends_with(&format!("\r\n\r\n{body}")), "{text}");
            }
        };
        tokio::select! {
            () = serve(listener, answer) => {}
            () = asking => {}
        }
    }
}
