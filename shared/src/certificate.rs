//! Reads the end of a certificate's validity.

use std::time::{Duration, SystemTime};

use x509_parser::pem::Pem;

/// Returns when the first certificate of a PEM file expires; `None` if the file has no certificate.
pub fn expires_at(pem: &[u8]) -> Option<SystemTime> {
    let blocks = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    let first = blocks
        .into_iter()
        .find(|block| block.label == "CERTIFICATE")?;
    let not_after = first.parse_x509().ok()?.validity().not_after;
    let secs = u64::try_from(not_after.timestamp()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `openssl req -x509 -newkey ed25519 -nodes -subj /CN=x -days 1`.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBLDCB36ADAgECAhRrYhhu33B00AcEUz3YW7ZJsnVC/DAFBgMrZXAwDDEKMAgG
A1UEAwwBeDAeFw0yNjExMjcyMjUyNTdaFw0yNjExMjgyMjUyNTdaMAwxCjAIBgNV
BAMMAXgwKjAFBgMrZXADIQANNjm78M7M86Ur36kbBxqT0oPR2F6zoa4Qo2ZY88o6
MqNTMFEwHQYDVR0OBBYEFHE8GchNTWOfb1LJeVQ/uHyq0KK5MB8GA1UdIwQYMBaA
FHE8GchNTWOfb1LJeVQ/uHyq0KK5MA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EA
nrDHlZTtAMxy2Nz7xptkNvUwHwLQJVyIj+bMILOZtZACs18lvDcCC+PPZ7W6IcaZ
EPocM6xBRojSuQwEQDzACw==
-----END CERTIFICATE-----
";

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let expires = expires_at(CERTIFICATE.as_bytes()).unwrap();
        let secs = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(secs.as_secs(), 1_795_906_377);
        assert_eq!(expires_at(b"no PEM"), None);
    }
}
