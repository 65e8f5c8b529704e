//! The mistakes in an address or a certificate, with their remedies.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// Why a connection to intake is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConnectProblem {
    /// Nothing listens, or the host is not found.
    Unreachable,
    /// The server accepts connections and sends nothing.
    Silent,
    /// The address says http, and the server expects TLS.
    SpeaksTls,
    /// The address says https, and the server expects plain text.
    SpeaksPlainText,
    /// The server speaks another protocol than HTTP/2.
    NotGrpc,
    /// The certificate of intake is that of a CA.
    CaAsServer,
    /// The certificate of intake has expired.
    Expired,
    /// The certificate of intake is not valid yet.
    NotYetValid,
    /// The certificate of intake has other names.
    WrongName,
    /// No trusted CA signed the certificate of intake.
    UnknownIssuer,
    /// The certificate of intake is refused for another reason.
    Certificate(String),
    /// The files of `--ca`, `--client-cert` and `--client-key` are not usable.
    UnusableFiles,
    /// Intake requires a client certificate.
    WantsClientCertificate,
    /// Intake refuses the client certificate.
    RefusesClientCertificate,
}

impl ConnectProblem {
    /// Describes the problem and its remedy. `addr` is the address as given.
    pub(crate) fn sentence(&self, addr: &str) -> String {
        match self {
            Self::Unreachable => format!(
                "no intake answers at {addr}; start one with `draftsman up`, or set --addr or DRAFTSMAN_ADDR"
            ),
            Self::Silent => format!(
                "a server accepts connections at {addr} and does not answer; look at the process that listens there, \
                 or set --addr or DRAFTSMAN_ADDR"
            ),
            Self::SpeaksTls => format!(
                "the server at {addr} expects TLS; write the address with https:// (--addr or DRAFTSMAN_ADDR)"
            ),
            Self::SpeaksPlainText => format!(
                "the server at {addr} expects plain text; write the address with http:// (--addr or DRAFTSMAN_ADDR), \
                 or give intake DRAFTSMAN_TLS_CERT and DRAFTSMAN_TLS_KEY"
            ),
            Self::NotGrpc => format!(
                "the server at {addr} is not a gRPC server; check the port (--addr or DRAFTSMAN_ADDR)"
            ),
            Self::CaAsServer => format!(
                "intake at {addr} uses the certificate of a CA as its own (CaUsedAsEndEntity); give intake a \
                 certificate that the CA signed (DRAFTSMAN_TLS_CERT); `draftsman certs DIR` writes an example"
            ),
            Self::Expired => format!(
                "the certificate of intake at {addr} has expired; give intake a new one (DRAFTSMAN_TLS_CERT)"
            ),
            Self::NotYetValid => format!(
                "the certificate of intake at {addr} is not valid yet; compare the clocks of both machines"
            ),
            Self::WrongName => format!(
                "the certificate of intake is not valid for the name in {addr}; use a name that the certificate has, \
                 or give intake a certificate with this name"
            ),
            Self::UnknownIssuer => format!(
                "no trusted CA signed the certificate of intake at {addr}; give the file of its CA with --ca or \
                 DRAFTSMAN_CA"
            ),
            Self::Certificate(problem) => {
                format!("the certificate of intake at {addr} is refused: {problem}")
            }
            Self::UnusableFiles => {
                "the certificates of this side are not usable; check the PEM files of --ca, \
                 --client-cert and --client-key, and give --ca if this system has no CAs"
                    .to_owned()
            }
            Self::WantsClientCertificate => format!(
                "intake at {addr} requires a client certificate; give --client-cert and --client-key"
            ),
            Self::RefusesClientCertificate => format!(
                "intake at {addr} refuses the client certificate; give one that its client CA signed \
                 (--client-cert and --client-key)"
            ),
        }
    }
}

impl fmt::Display for ConnectProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence("this address"))
    }
}

/// Returns the problem that an error of TLS tells; `None` if it tells nothing about it.
pub(super) fn of_tls(error: &(dyn Error + 'static)) -> Option<ConnectProblem> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An error of input and output may contain the one of TLS without naming it as its source.
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<TlsError>());
        // The error of tonic for a server without HTTP/2 is private.
        if error.to_string() == "HTTP/2 was not negotiated." {
            return Some(ConnectProblem::NotGrpc);
        }
        if let Some(tls) = error.downcast_ref::<TlsError>().or(inner) {
            return problem_of(tls);
        }
        next = error.source();
    }
    None
}

fn problem_of(error: &TlsError) -> Option<ConnectProblem> {
    match error {
        TlsError::InvalidCertificate(error) => Some(match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ConnectProblem::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ConnectProblem::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ConnectProblem::WrongName
            }
            // The signature is wrong if another CA has the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                ConnectProblem::UnknownIssuer
            }
            // The verifier has no variant of its own for it.
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                ConnectProblem::CaAsServer
            }
            other => ConnectProblem::Certificate(other.to_string()),
        }),
        TlsError::AlertReceived(AlertDescription::CertificateRequired) => {
            Some(ConnectProblem::WantsClientCertificate)
        }
        TlsError::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError,
        ) => Some(ConnectProblem::RefusesClientCertificate),
        TlsError::NoApplicationProtocol
        | TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            Some(ConnectProblem::NotGrpc)
        }
        _ => None,
    }
}
