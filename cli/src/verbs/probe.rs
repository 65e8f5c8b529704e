//! `probe`: asks the intake or worker on this machine for its health, as a container health check.
//!
//! A minimal image has no curl.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use shared::config;
use shared::error::chain;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::args::{ProbeArgs, Question};
use crate::client::CliError;
use crate::output;

/// Time limit of an answer. A slower program is unhealthy.
const WAIT_LIMIT: Duration = Duration::from_secs(3);
/// Maximum number of bytes read from an answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Prints the answer of the program. Returns true if it is healthy.
///
/// # Errors
/// An unusable address, or errors of standard output. A failed connection is an unhealthy result,
/// not an error.
pub(crate) async fn probe(args: ProbeArgs) -> Result<bool, CliError> {
    let listen = config::parse::parse_optional_listen(&args.metrics_listen);
    let Ok(Some(listen)) = listen else {
        return Err(CliError::ProbeAddress {
            given: args.metrics_listen,
        });
    };
    let address = reachable(listen);
    let path = match args.question {
        Question::Livez => "/livez",
        Question::Readyz => "/readyz",
    };
    let (well, text) = match timeout(WAIT_LIMIT, ask(address, path)).await {
        Ok(Ok((status, body))) => (status == StatusCode::OK, body),
        Ok(Err(error)) => (false, chain(&*error)),
        Err(_) => (
            false,
            format!("no answer within {} s", WAIT_LIMIT.as_secs()),
        ),
    };
    output::line(format_args!("{address}{path}: {text}"))?;
    Ok(well)
}

/// Returns the address at which this machine reaches a program that listens on `listen`.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Returns the status and the body of the answer.
async fn ask(
    address: SocketAddr,
    path: &str,
) -> Result<(StatusCode, String), Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response, MAX_ANSWER_BYTES).collect().await?;
        let body = String::from_utf8_lossy(&body.to_bytes()).trim().to_owned();
        Ok((status, body))
    };
    // The connection ends with `answer`, which drops the sender, and reports the same errors.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks a server that answers with `text`.
    async fn ask_of(text: &'static str) -> Option<(StatusCode, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            // Reads to the end: a close with unread bytes would reset the connection.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let (answer, ()) = tokio::join!(ask(address, "/readyz"), answering);
        answer.ok()
    }

    #[tokio::test]
    async fn an_answer_has_a_status_and_a_body() {
        let well = ask_of("HTTP/1.1 200 OK\r\nX: y\r\n\r\nready\n").await;
        assert_eq!(well, Some((StatusCode::OK, "ready".to_owned())));
        let ill = "HTTP/1.1 503 Service Unavailable\r\n\r\nwaiting for Redis\n";
        let waiting = (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for Redis".to_owned(),
        );
        assert_eq!(ask_of(ill).await, Some(waiting));
        for no_http in ["", "SSH-2.0 200 x\r\n\r\n", "HTTP/1.1 200 OK"] {
            assert_eq!(ask_of(no_http).await, None, "{no_http}");
        }
    }

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        for (listen, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.0.0.7:9464", "10.0.0.7:9464"),
        ] {
            let listen = listen.parse().unwrap();
            assert_eq!(reachable(listen).to_string(), asked);
        }
    }
}
