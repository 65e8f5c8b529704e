//! `certs`: writes certificates to try TLS with.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde_json::json;

use crate::args::{CertsArgs, Output};
use crate::client::CliError;
use crate::output;

/// The mode of a key: its owner alone may read it.
const KEY_MODE: u32 = 0o600;
/// The mode of a certificate, which is public.
const CERTIFICATE_MODE: u32 = 0o644;
/// The mode of a new directory.
const DIR_MODE: u32 = 0o700;
/// How long before now the certificates begin to be valid, for clocks that are behind.
const EARLIER: Duration = Duration::from_secs(3_600);

/// The files, each with its content and mode.
type Files = Vec<(&'static str, String, u32)>;

/// Writes a CA, a certificate of a server and a certificate of a client, each with its key. Prints
/// how to use them.
///
/// # Errors
/// [`CliError::Certificate`] for an invalid name, [`CliError::Exists`] if one of the files exists,
/// [`CliError::WriteFile`] and errors of standard output. Nothing is overwritten.
pub(crate) fn certs(args: &CertsArgs, format: Output) -> Result<(), CliError> {
    let files = create(args).map_err(CliError::Certificate)?;
    let failed = |path: &Path, source: io::Error| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::AlreadyExists => CliError::Exists { path },
            _ => CliError::WriteFile { path, source },
        }
    };
    if !args.dir.is_dir() {
        let mut builder = DirBuilder::new();
        let created = builder.recursive(true).mode(DIR_MODE).create(&args.dir);
        created.map_err(|source| failed(&args.dir, source))?;
    }
    let path = |name: &str| args.dir.join(name);
    // Before the first write, so that a second run changes nothing.
    if let Some((name, ..)) = files.iter().find(|(name, ..)| path(name).exists()) {
        return Err(CliError::Exists { path: path(name) });
    }
    for (name, content, mode) in &files {
        let path = path(name);
        write(&path, content, *mode).map_err(|source| failed(&path, source))?;
    }
    let written: Vec<PathBuf> = files.iter().map(|(name, ..)| path(name)).collect();
    match format {
        Output::Json => {
            let written: Vec<_> = written.iter().map(|path| output::path_json(path)).collect();
            output::json_document(&json!({ "written": written }))?;
        }
        Output::Text => {
            // Absolute, so that the variables are right in every directory.
            let dir = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
            output::verbatim(usage(&dir, &args.name[0]).trim_end())?;
        }
    }
    Ok(())
}

fn write(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    // A new file, so nothing is overwritten and the mode holds from the first byte on.
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

fn create(args: &CertsArgs) -> Result<Files, rcgen::Error> {
    let now = SystemTime::now();
    let valid = |mut params: CertificateParams, name: &str| {
        params.not_before = (now - EARLIER).into();
        params.not_after = (now + Duration::from_secs(args.days * 24 * 3_600)).into();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut ca = valid(CertificateParams::new([])?, "Draftsman example CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let sign = |names: &[String], common_name: &str, usage| -> Result<_, rcgen::Error> {
        let mut params = valid(CertificateParams::new(names)?, common_name);
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &ca)?;
        Ok((certificate.pem(), key.serialize_pem()))
    };
    let (server, server_key) = sign(
        &args.name,
        &args.name[0],
        ExtendedKeyUsagePurpose::ServerAuth,
    )?;
    let client = std::slice::from_ref(&args.client);
    let (client, client_key) = sign(client, &args.client, ExtendedKeyUsagePurpose::ClientAuth)?;
    Ok(vec![
        ("ca.pem", ca.pem(), CERTIFICATE_MODE),
        ("ca-key.pem", ca.key().serialize_pem(), KEY_MODE),
        ("server.pem", server, CERTIFICATE_MODE),
        ("server-key.pem", server_key, KEY_MODE),
        ("client.pem", client, CERTIFICATE_MODE),
        ("client-key.pem", client_key, KEY_MODE),
    ])
}

fn usage(dir: &Path, name: &str) -> String {
    let dir = dir.display();
    let name = if name.contains(':') {
        format!("[{name}]")
    } else {
        name.to_owned()
    };
    format!(
        "a CA, a server and a client are in {dir}, for trying TLS; keep the keys secret\n\n\
         intake:\n  \
         export DRAFTSMAN_TLS_CERT={dir}/server.pem DRAFTSMAN_TLS_KEY={dir}/server-key.pem\n  \
         export DRAFTSMAN_TLS_CLIENT_CA={dir}/ca.pem    # only to require client certificates\n\
         client:\n  \
         export DRAFTSMAN_ADDR=https://{name}:50051 DRAFTSMAN_CA={dir}/ca.pem\n  \
         export DRAFTSMAN_CLIENT_CERT={dir}/client.pem DRAFTSMAN_CLIENT_KEY={dir}/client-key.pem\n"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_secret_and_nothing_is_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let args = CertsArgs {
            dir: place.path().join("tls"),
            name: vec!["localhost".to_owned(), "::1".to_owned()],
            client: "alice".to_owned(),
            days: 1,
        };
        certs(&args, Output::Json).unwrap();
        let mode = |name: &str| {
            let path = args.dir.join(name);
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        for name in ["ca-key.pem", "server-key.pem", "client-key.pem"] {
            assert_eq!(mode(name), 0o600, "{name}");
        }
        assert_eq!(mode(""), 0o700);
        let before = std::fs::read(args.dir.join("ca.pem")).unwrap();
        std::fs::remove_file(args.dir.join("server.pem")).unwrap();
        let refused = certs(&args, Output::Json).unwrap_err();
        assert!(matches!(&refused, CliError::Exists { path } if path.ends_with("ca.pem")));
        assert_eq!(std::fs::read(args.dir.join("ca.pem")).unwrap(), before);
        assert!(!args.dir.join("server.pem").exists());
    }
}
