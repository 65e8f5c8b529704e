//! Why a request has no page of its own, and what the page says instead.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The failure of a request. The guard renders it, in the layout of all pages.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// Intake does not answer.
    Away,
    /// Intake wants a token, and this person has none, or an unknown one.
    SignIn,
    /// The path, or what it names, does not exist.
    NotFound(String),
    /// Intake refused the call.
    Refused(Box<Status>),
    /// The request does not come from a form of this console.
    Forged(&'static str),
    /// A field of a form or a query is invalid.
    Field(String),
    /// The method is not allowed here.
    Method,
    /// The form is too large.
    TooLarge,
    /// Too many requests at once.
    Busy,
    /// A defect of the console or a mismatch of versions.
    Broken(&'static str),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded => Failure::Away,
            // A connection that fails in the middle of a call, and no answer of intake.
            Code::Unknown | Code::Internal | Code::Cancelled if has_no_reason(&status) => {
                Failure::Away
            }
            Code::Unauthenticated => Failure::SignIn,
            Code::NotFound => Failure::NotFound(status.message().to_owned()),
            _ => Failure::Refused(Box::new(status)),
        }
    }
}

/// Every error of intake itself has a reason in its details.
fn has_no_reason(status: &Status) -> bool {
    status.get_error_details().error_info().is_none()
}

impl Failure {
    /// Returns the status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Failure::Away | Failure::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Failure::SignIn => StatusCode::UNAUTHORIZED,
            Failure::NotFound(_) => StatusCode::NOT_FOUND,
            Failure::Refused(status) => match status.code() {
                Code::PermissionDenied => StatusCode::FORBIDDEN,
                Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition => {
                    StatusCode::CONFLICT
                }
                Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
                Code::InvalidArgument => StatusCode::BAD_REQUEST,
                _ => StatusCode::BAD_GATEWAY,
            },
            Failure::Forged(_) => StatusCode::FORBIDDEN,
            Failure::Field(_) => StatusCode::BAD_REQUEST,
            Failure::Method => StatusCode::METHOD_NOT_ALLOWED,
            Failure::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the heading, the sentence below it, and details, one per line.
    pub(crate) fn words(&self) -> (&'static str, String, Vec<String>) {
        let plain = |heading, text: &str| (heading, text.to_owned(), Vec::new());
        match self {
            Failure::Away => plain(
                "Intake does not answer",
                "The console shows what intake knows, and cannot reach it. Nothing is lost: try again when it runs. \
                 `draftsman doctor` shows what is wrong.",
            ),
            Failure::SignIn => plain("Sign in", "Intake wants a token."),
            Failure::NotFound(what) => plain("Not found", what),
            Failure::Refused(status) => {
                let (heading, details) = refusal(status);
                (heading, status.message().to_owned(), details)
            }
            Failure::Forged(why) => plain("This request was refused", why),
            Failure::Field(what) => plain("A field is invalid", what),
            Failure::Method => plain(
                "This address takes no such request",
                "Use the links and forms of the pages.",
            ),
            Failure::TooLarge => plain(
                "The form is too large",
                "A document has at most 1 MiB, and an intent 64 KiB.",
            ),
            Failure::Busy => plain(
                "The console is busy",
                "Too many requests are open. Try again in a moment.",
            ),
            Failure::Broken(what) => plain("The console has an error", what),
        }
    }
}

/// Returns the heading and the details of a refusal of intake.
fn refusal(status: &Status) -> (&'static str, Vec<String>) {
    let details = status.get_error_details();
    let mut lines = Vec::new();
    if let Some(bad_request) = details.bad_request() {
        for violation in &bad_request.field_violations {
            if !status.message().contains(&violation.description) {
                lines.push(format!("{}: {}", violation.field, violation.description));
            }
        }
    }
    if let Some(info) = details.error_info() {
        lines.push(format!("reason: {}", info.reason));
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        metadata.sort();
        lines.extend(
            metadata
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
    }
    let heading = match status.code() {
        Code::PermissionDenied => "Not allowed",
        Code::Aborted => "It changed in the meantime",
        Code::InvalidArgument => "Intake refused this",
        Code::FailedPrecondition | Code::AlreadyExists => "This is not possible now",
        Code::ResourceExhausted => "Intake is at a limit",
        _ => "Intake returned an error",
    };
    (heading, lines)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
