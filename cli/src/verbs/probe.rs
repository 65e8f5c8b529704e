//! `probe`: asks the intake or worker on this machine for its health, as a container health check.
//!
//! A minimal image has no curl. The probe sends one HTTP/1.0 request and evaluates only the status.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use shared::config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::args::{ProbeArgs, Question};
use crate::client::CliError;
use crate::output;

/// Time limit of an answer. A slower program is unhealthy.
const WAIT_LIMIT: Duration = Duration::from_secs(3);
/// Maximum number of bytes read from an answer.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

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
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(error)) => (false, error.to_string()),
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

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER_BYTES)
        .read_to_end(&mut answer)
        .await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Returns whether `answer` has the status 200, and its body.
fn judge(answer: &str) -> (bool, String) {
    let status = answer.split(' ').nth(1).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim());
    match (answer.starts_with("HTTP/1."), body) {
        (true, Some(body)) => (status == "200", body.to_owned()),
        _ => (false, "the answer is no HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_good() {
        let well = "HTTP/1.1 200 OK\r\nX: y\r\n\r\nready\n";
        assert_eq!(judge(well), (true, "ready".to_owned()));
        let ill = "HTTP/1.1 503 Service Unavailable\r\n\r\nwaiting for Redis\n";
        assert_eq!(judge(ill), (false, "waiting for Redis".to_owned()));
        for no_http in ["", "SSH-2.0 200 x\r\n\r\n", "HTTP/1.1 200 OK"] {
            assert!(!judge(no_http).0, "{no_http}");
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
