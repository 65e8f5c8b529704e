//! Connects to intake, and finds out why a connection is of no use.

mod problem;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

pub(crate) use self::problem::ConnectProblem;
use self::problem::of_tls;
use super::CliError;
use crate::args::Common;

/// Time limit for connecting, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval and timeout of HTTP/2 pings. A stopped intake is noticed within their sum.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(5);
/// How long a server may take to answer the first bytes of HTTP/2.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// The first bytes of an HTTP/2 client with empty settings (RFC 9113, section 3.4).
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Opens a connection to the intake of the options.
///
/// # Errors
/// [`CliError::Address`], [`CliError::Connect`] and [`CliError::Read`].
pub(super) async fn open(options: &Common) -> Result<Channel, CliError> {
    let mut endpoint = endpoint(options)?;
    let failed = |problem, source: Option<tonic::transport::Error>| CliError::Connect {
        addr: options.addr.clone(),
        problem,
        source: source.map(Box::new),
    };
    let is_tls = endpoint.uri().scheme_str() == Some("https");
    if is_tls {
        let unusable = |source| failed(ConnectProblem::UnusableFiles, Some(source));
        endpoint = endpoint.tls_config(tls(options)?).map_err(unusable)?;
    }
    let source = match timeout(CONNECT_TIMEOUT, endpoint.connect()).await {
        Ok(Ok(channel)) => return Ok(channel),
        Ok(Err(source)) => source,
        Err(_) => {
            let problem = if is_tls { look(&endpoint).await } else { None };
            return Err(failed(problem.unwrap_or(ConnectProblem::Silent), None));
        }
    };
    let problem = match of_tls(&source) {
        None if is_tls => look(&endpoint).await,
        known => known,
    };
    let problem = problem.unwrap_or(ConnectProblem::Unreachable);
    Err(failed(problem, Some(source)))
}

/// Returns the address of the options with its TLS, for a connection that is opened later.
///
/// # Errors
/// [`CliError::Address`], [`CliError::Connect`] for unusable certificates, and [`CliError::Read`].
pub(crate) fn lazy_endpoint(options: &Common) -> Result<Endpoint, CliError> {
    let endpoint = endpoint(options)?;
    if endpoint.uri().scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    let configured = endpoint.tls_config(tls(options)?);
    configured.map_err(|source| CliError::Connect {
        addr: options.addr.clone(),
        problem: ConnectProblem::UnusableFiles,
        source: Some(Box::new(source)),
    })
}

/// Returns a better error than that of the call, if the connection itself is of no use: another
/// protocol, or a certificate that intake does not accept. Other errors are returned unchanged.
pub(crate) async fn diagnose(options: &Common, error: CliError) -> CliError {
    let CliError::Status(status) = &error else {
        return error;
    };
    // The transport of this process made the status, not intake.
    let Some(source) = status.source() else {
        return error;
    };
    let problem = match of_tls(source) {
        None => match endpoint(options) {
            Ok(endpoint) if endpoint.uri().scheme_str() == Some("https") => {
                ends_after_handshake(options).await
            }
            Ok(endpoint) => look(&endpoint).await,
            Err(_) => None,
        },
        known => known,
    };
    match problem {
        Some(problem) => CliError::Connect {
            addr: options.addr.clone(),
            problem,
            source: None,
        },
        None => error,
    }
}

/// Returns the problem with the client certificate, if intake ends each connection right after the
/// handshake. In TLS 1.3 a client learns of a refused certificate only then (RFC 8446, section
/// 4.4.2.4), and its first request may be lost before the reason arrives.
async fn ends_after_handshake(options: &Common) -> Option<ConnectProblem> {
    let inferred = match options.client_cert {
        None => ConnectProblem::WantsClientCertificate,
        Some(_) => ConnectProblem::RefusesClientCertificate,
    };
    let channel = match open(options).await {
        Ok(channel) => channel,
        // The connection may end even before the first request.
        Err(CliError::Connect {
            problem: ConnectProblem::Unreachable,
            ..
        }) => {
            let endpoint = endpoint(options).ok()?;
            return accepts(&endpoint).await.then_some(inferred);
        }
        Err(CliError::Connect { problem, .. }) => return Some(problem),
        Err(_) => return None,
    };
    let mut health = HealthClient::new(channel);
    let asked = health.check(HealthCheckRequest::default());
    let status = timeout(GREETING_TIMEOUT, asked).await.ok()?.err()?;
    // The health service of intake answers with none of these.
    let is_broken = status.source().is_some()
        || matches!(
            status.code(),
            Code::Unknown | Code::Cancelled | Code::Internal
        );
    let told = status.source().and_then(of_tls);
    told.or_else(|| is_broken.then_some(inferred))
}

/// Returns true if the server accepts a connection.
async fn accepts(endpoint: &Endpoint) -> bool {
    let uri = endpoint.uri();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let connect = TcpStream::connect((host, uri.port_u16().unwrap_or(443)));
    matches!(timeout(GREETING_TIMEOUT, connect).await, Ok(Ok(_)))
}

/// Asks the server in plain text which protocol it speaks. Returns the mistake in the address;
/// `None` if the address is right, or the server is gone.
async fn look(endpoint: &Endpoint) -> Option<ConnectProblem> {
    let uri = endpoint.uri();
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    let ask = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        stream.write_all(GREETING).await.ok()?;
        let mut answer = [0_u8; 9];
        let mut n = 0;
        while n < answer.len() {
            match stream.read(&mut answer[n..]).await {
                Ok(0) | Err(_) => break,
                Ok(more) => n += more,
            }
        }
        Some(answer[..n].to_vec())
    };
    match timeout(GREETING_TIMEOUT, ask).await {
        Err(_) => Some(ConnectProblem::Silent),
        Ok(None) => None,
        Ok(Some(answer)) => match &answer[..] {
            // A frame of the type SETTINGS (RFC 9113, section 6.5).
            [_, _, _, 4, ..] if is_tls => Some(ConnectProblem::SpeaksPlainText),
            [_, _, _, 4, ..] => None,
            // A record of the type alert or handshake (RFC 8446, section 5.1).
            [0x15 | 0x16, 3, ..] if !is_tls => Some(ConnectProblem::SpeaksTls),
            [0x15 | 0x16, 3, ..] | [] => None,
            _ => Some(ConnectProblem::NotGrpc),
        },
    }
}

fn endpoint(options: &Common) -> Result<Endpoint, CliError> {
    let endpoint = Endpoint::from_shared(options.addr.clone())
        .ok()
        .filter(|endpoint| endpoint.uri().scheme().is_some() && endpoint.uri().host().is_some())
        .ok_or_else(|| CliError::Address {
            addr: options.addr.clone(),
        })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_WITHIN)
        .keep_alive_while_idle(true))
}

/// Returns the trusted CA and the client certificate.
fn tls(options: &Common) -> Result<ClientTlsConfig, CliError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| CliError::Read {
            path: path.clone(),
            source,
        })
    };
    let mut config = match &options.ca {
        Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    if let (Some(certificate), Some(key)) = (&options.client_cert, &options.client_key) {
        config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(config)
}
