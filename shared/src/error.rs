//! The closed set of error kinds that layers report upward.
//!
//! Each layer has its own error enum. The API layer needs only one of these kinds to choose a
//! response.

/// The meaning of an error for the caller. The set is closed: the API layer maps each kind to one
/// response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is invalid. It fails the same way every time.
    InvalidInput,
    /// The request names something that does not exist.
    NotFound,
    /// Another caller changed the object in the meantime. Read it again before the next attempt.
    Conflict,
    /// The object exists but its state does not allow the call.
    Precondition,
    /// A dependency is unavailable. The same request may succeed later.
    Unavailable,
    /// A defect or damaged data. An operator must investigate.
    Internal,
}

impl ErrorKind {
    /// Returns the name in log fields.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::InvalidInput => "invalid_input",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Precondition => "precondition",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Internal => "internal",
        }
    }
}

/// Returns the error and all its causes on one line, for logs, stderr and reasons.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // A transparent error repeats the message of its cause.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}
