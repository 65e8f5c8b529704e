//! Checks when the certificates of intake and of this client expire.

use std::time::{Duration, SystemTime};

use shared::certificate;
use tonic::metadata::MetadataMap;

use super::Check;
use crate::args::Common;

const DAY: Duration = Duration::from_secs(86_400);
/// The remaining time from which a certificate is reported.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// Checks the certificate of intake, from its response, and the client's, from its file.
pub(super) fn examine(options: &Common, metadata: &MetadataMap, now: SystemTime) -> Vec<Check> {
    let expires = metadata.get("draftsman-certificate-expires");
    let secs = expires.and_then(|secs| secs.to_str().ok()?.parse().ok());
    let of_intake = secs.map(|secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs));
    let file = options.client_cert.as_ref();
    let of_client = file
        .and_then(|path| std::fs::read(path).ok())
        .and_then(|pem| certificate::expires_at(&pem));
    let checks = [
        of_intake.map(|at| judge("intake's certificate", at, now)),
        of_client.map(|at| judge("the client certificate", at, now)),
    ];
    checks.into_iter().flatten().collect()
}

fn judge(whose: &str, expires: SystemTime, now: SystemTime) -> Check {
    const NAME: &str = "cert";
    const REMEDY: &str = "renew it; intake reads its files again while it runs";
    let Ok(left) = expires.duration_since(now) else {
        return Check::bad(NAME, format!("{whose} has expired"), REMEDY);
    };
    let days = left.as_secs() / DAY.as_secs();
    let found = format!("{whose} expires in {days} days");
    match left {
        _ if left < SOON => Check::warn(NAME, found, REMEDY),
        _ => Check::ok(NAME, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;

    #[test]
    fn a_certificate_is_reported_30_days_before_its_end() {
        let now = SystemTime::UNIX_EPOCH + 1_000 * DAY;
        for (expires, expected) in [
            (now + 31 * DAY, Finding::Ok),
            (now + 29 * DAY, Finding::Warn),
            (now - DAY, Finding::Bad),
        ] {
            assert_eq!(judge("a certificate", expires, now).finding, expected);
        }
    }
}
