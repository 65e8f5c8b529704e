//! The closed set of error kinds that layers report upward. Each layer has an error enum of its
//! own; what the edge needs of it to choose an answer is one of these.

/// What an error means to whoever asked. Closed on purpose: the edge maps each to one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong; it fails the same way every time.
    InvalidInput,
    /// What it names is not there.
    NotFound,
    /// Somebody else changed it meanwhile; look again and decide anew.
    Conflict,
    /// It is there but in no state that allows this.
    Precondition,
    /// Something that the answer needs is away; the same request may succeed later.
    Unavailable,
    /// A defect, or damaged data; a person has to look.
    Internal,
}

impl ErrorKind {
    /// The name in log fields.
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

/// The error with all its causes on one line, for logs, stderr and reasons.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // A transparent error says what its cause says.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}
