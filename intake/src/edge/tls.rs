//! The TLS certificate of intake and the CA of client certificates.
//!
//! The PEM files are checked before the server starts and read again while it runs. The next
//! handshake uses a renewed certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use shared::config;
use shared::config::problem::Problems;
use tokio::sync::watch;
use tokio::time::sleep;

/// Interval between reads of the files. The content is compared, not the modification time, so a
/// mount that swaps files behind a symbolic link is detected.
const READ_EVERY: Duration = Duration::from_secs(2);
/// The ALPN protocol id of HTTP/2 (RFC 9113, section 3.2).
const ALPN_H2: &[u8] = b"h2";

/// The TLS files of a server and the configuration last made from them.
#[derive(Clone)]
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    read: Pems,
    config: watch::Sender<Arc<ServerConfig>>,
}

/// The contents of the files.
#[derive(Clone, PartialEq, Eq)]
struct Pems {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("wants_client_certificates", &self.client_ca.is_some())
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads and checks the files. An empty name means no file. Notes each problem by variable and
    /// file.
    ///
    /// Returns `None` after a problem, or if TLS is not configured.
    pub(crate) fn read(
        certificate: &str,
        key: &str,
        client_ca: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        let needs = |variable, other: &str, problems: &mut Problems| {
            problems.note(variable, format!("is not set, but {other} is"));
        };
        match (certificate.is_empty(), key.is_empty()) {
            (true, true) if client_ca.is_empty() => return None,
            (true, true) => needs(config::TLS_CERT, config::TLS_CLIENT_CA, problems),
            (true, false) => needs(config::TLS_CERT, config::TLS_KEY, problems),
            (false, true) => needs(config::TLS_KEY, config::TLS_CERT, problems),
            (false, false) => {}
        }
        let mut file = |variable, path: &str, check: fn(&[u8]) -> Result<(), String>| {
            if path.is_empty() {
                return None;
            }
            let read = read_pem(Path::new(path)).and_then(|pem| check(&pem).map(|()| pem));
            read.map_err(|problem| problems.note(variable, format!("{path}: {problem}")))
                .ok()
        };
        let certificate_pem = file(config::TLS_CERT, certificate, |pem| {
            certificates(pem).map(drop)
        });
        let key_pem = file(config::TLS_KEY, key, |pem| private_key(pem).map(drop));
        let client_ca_pem = file(config::TLS_CLIENT_CA, client_ca, |pem| roots(pem).map(drop));
        let read = Pems {
            certificate: certificate_pem?,
            key: key_pem?,
            client_ca: client_ca_pem,
        };
        match read.server_config() {
            Ok(config) => Some(Self {
                certificate: PathBuf::from(certificate),
                key: PathBuf::from(key),
                client_ca: (!client_ca.is_empty()).then(|| PathBuf::from(client_ca)),
                read,
                config: watch::Sender::new(Arc::new(config)),
            }),
            Err(problem) => {
                let problem = format!("{key}: does not match {certificate}: {problem}");
                problems.note(config::TLS_KEY, problem);
                None
            }
        }
    }

    /// Returns true if clients must present a certificate.
    pub(crate) fn wants_client_certificates(&self) -> bool {
        self.client_ca.is_some()
    }

    /// Returns the configuration for a new handshake.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// Reads the files every [`READ_EVERY`]. If they are invalid, the previous configuration stays
    /// in effect and each error is logged once. Never returns.
    pub(crate) async fn follow(&self) {
        let mut read = self.read.clone();
        let (mut problem, mut told) = (String::new(), String::new());
        loop {
            sleep(READ_EVERY).await;
            let now = self.read_again().await;
            let made = now.and_then(|now| match now == read {
                true => Ok(None),
                false => now.server_config().map(|config| Some((now, config))),
            });
            match made {
                Ok(None) => problem.clear(),
                Ok(Some((now, config))) => {
                    (problem, told) = Default::default();
                    read = now;
                    self.config.send_replace(Arc::new(config));
                    tracing::info!(path = %self.certificate.display(), "the certificate was read again");
                }
                // The files are written one after the other, so only an error of two successive
                // reads is logged.
                Err(wrong) if wrong != problem => problem = wrong,
                Err(wrong) if wrong != told => {
                    tracing::error!(path = %self.certificate.display(), error = wrong, "the certificate, its key or the client CA cannot be read again; the previous ones stay in effect");
                    told = wrong;
                }
                Err(_) => {}
            }
        }
    }

    async fn read_again(&self) -> Result<Pems, String> {
        let read = async |path: &Path| {
            let read = tokio::fs::read(path).await;
            read.map_err(|error| format!("{}: cannot be read: {error}", path.display()))
        };
        Ok(Pems {
            certificate: read(&self.certificate).await?,
            key: read(&self.key).await?,
            client_ca: match &self.client_ca {
                Some(path) => Some(read(path).await?),
                None => None,
            },
        })
    }
}

impl Pems {
    fn server_config(&self) -> Result<ServerConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(roots(pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = verifier.build().map_err(|error| error.to_string())?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (certificates, key) = (certificates(&self.certificate)?, private_key(&self.key)?);
        let mut config = builder
            .with_single_cert(certificates, key)
            .map_err(|error| error.to_string())?;
        config.alpn_protocols.push(ALPN_H2.to_vec());
        Ok(config)
    }
}

fn read_pem(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if found.is_empty() => Err("has no certificate in PEM form".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("has no certificate in PEM form: {error}")),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| format!("has no private key in PEM form: {error}"))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named_by_variable_and_file() {
        let dir = tempfile::tempdir().unwrap();
        let junk = dir.path().join("junk.pem");
        std::fs::write(&junk, "no PEM").unwrap();
        let junk = junk.to_str().unwrap();
        for (given, variables) in [
            (
                ["/no/such/file", junk, junk],
                vec![config::TLS_CERT, config::TLS_KEY, config::TLS_CLIENT_CA],
            ),
            ([junk, "", ""], vec![config::TLS_KEY, config::TLS_CERT]),
            (["", junk, ""], vec![config::TLS_CERT, config::TLS_KEY]),
            (
                ["", "", junk],
                vec![config::TLS_CERT, config::TLS_CLIENT_CA],
            ),
        ] {
            let mut problems = Problems::default();
            assert!(Tls::read(given[0], given[1], given[2], &mut problems).is_none());
            let invalid = problems.finish().unwrap_err();
            assert_eq!(invalid.variables(), variables, "{invalid}");
        }
        let mut problems = Problems::default();
        assert!(Tls::read("", "", "", &mut problems).is_none());
        problems.finish().unwrap();
    }
}
