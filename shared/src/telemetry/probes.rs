//! A minimal HTTP server for `/metrics`, `/livez` and `/readyz`: GET only, one response per
//! connection. It serves Prometheus, Kubernetes and `curl`.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// The maximum size of a request head.
const MAX_HEAD_BYTES: usize = 8 * 1024;
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
pub async fn serve(listener: TcpListener, answer: impl Fn(Probe) -> ProbeAnswer) {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < MAX_CONNECTIONS => match accepted {
                // The result of a single connection is irrelevant.
                Ok((stream, _)) => open.push(timeout(READ_TIMEOUT, connection(stream, &answer))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a probe's connection");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = open.next() => {}
        }
    }
}

async fn connection(
    mut stream: TcpStream,
    answer: &impl Fn(Probe) -> ProbeAnswer,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = respond(&head, answer);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn respond(head: &[u8], answer: &impl Fn(Probe) -> ProbeAnswer) -> (&'static str, String) {
    let line =
        String::from_utf8_lossy(head.split(|&byte| byte == b'\r').next().unwrap_or_default())
            .into_owned();
    let mut words = line.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let path = target.split('?').next().unwrap_or_default();
    let probe = match path {
        "/metrics" => Probe::Metrics,
        "/livez" => Probe::Live,
        "/readyz" => Probe::Ready,
        _ => {
            return (
                "404 Not Found",
                "there are /metrics, /livez and /readyz\n".to_owned(),
            );
        }
    };
    if method != "GET" {
        return ("405 Method Not Allowed", "only GET\n".to_owned());
    }
    match answer(probe) {
        ProbeAnswer::Good(body) => ("200 OK", body),
        ProbeAnswer::Bad(body) => ("503 Service Unavailable", body),
    }
}

#[cfg(test)]
mod tests {
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
                ("GET /livez?verbose HTTP/1.0\r\n\r\n", "200 OK", "alive\n"),
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
