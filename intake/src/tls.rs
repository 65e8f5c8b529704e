//! The certificate that intake shows, and whose certificates it wants to see: PEM files, checked before the server starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shared::config::{self, Problems};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// A client that does not get through its handshake in this time is dropped.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Sound PEM texts.
#[derive(Clone)]
pub(crate) struct Tls {
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
    /// Reads and checks the files; an empty name is none. Notes what is wrong by variable and file, and returns `None` then,
    /// or if there is to be no TLS.
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
        let client_ca = file(config::TLS_CLIENT_CA, client_ca, check_roots);
        let tls = Self {
            certificate: certificate_pem?,
            key: key_pem?,
            client_ca,
        };
        if let Err(problem) = tls.check_pair() {
            let key = PathBuf::from(key);
            problems.note(
                config::TLS_KEY,
                format!(
                    "{}: does not go with {certificate}: {problem}",
                    key.display()
                ),
            );
            return None;
        }
        Some(tls)
    }

    fn check_pair(&self) -> Result<(), String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(certificates(&self.certificate)?, private_key(&self.key)?)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// True if clients have to show a certificate.
    pub(crate) fn wants_client_certificates(&self) -> bool {
        self.client_ca.is_some()
    }

    /// The form that tonic takes.
    pub(crate) fn to_server_config(&self) -> ServerTlsConfig {
        let config = ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.certificate, &self.key))
            .timeout(HANDSHAKE_WITHIN);
        match &self.client_ca {
            Some(pem) => config.client_ca_root(Certificate::from_pem(pem)),
            None => config,
        }
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

fn check_roots(pem: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
    }
    Ok(())
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
