//! A private certificate authority for one test and its certificates, as PEM files.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};
use tempfile::TempDir;

/// An authority and its files, which are removed when it is dropped.
pub struct Certificates {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The path of the certificate, a PEM file.
    pub certificate: String,
    /// The path of the key, a PEM file.
    pub key: String,
}

impl Certificates {
    /// Creates a new authority that no system trusts.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("a file");
        Self { dir, authority }
    }

    /// The path of the authority's own certificate, a PEM file.
    pub fn authority(&self) -> String {
        plain(&self.dir.path().join("ca.pem"))
    }

    /// Signs a certificate for this machine and writes it under unique file names.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn sign(&self, name: &str) -> Signed {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        self.sign_params(name, CertificateParams::new(names).expect("sound names"))
    }

    /// Signs a certificate of a client with these subject alternative names and this common name,
    /// and writes it under unique file names. A name with `://` is a URI.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn sign_client(&self, name: &str, names: &[&str], common_name: Option<&str>) -> Signed {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        let typed = names.iter().map(|name| {
            let text = (*name).try_into().expect("ASCII");
            match name.contains("://") {
                true => SanType::URI(text),
                false => SanType::DnsName(text),
            }
        });
        params.subject_alt_names = typed.collect();
        params.distinguished_name = DistinguishedName::new();
        if let Some(common_name) = common_name {
            params
                .distinguished_name
                .push(DnType::CommonName, common_name);
        }
        self.sign_params(name, params)
    }

    fn sign_params(&self, name: &str, params: CertificateParams) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let certificate = params
            .signed_by(&key, &self.authority)
            .expect("a certificate");
        let file = |ending: &str, text: String| -> PathBuf {
            let path = self.dir.path().join(format!("{name}.{ending}"));
            std::fs::write(&path, text).expect("a file");
            path
        };
        Signed {
            certificate: plain(&file("pem", certificate.pem())),
            key: plain(&file("key", key.serialize_pem())),
        }
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

fn plain(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}
