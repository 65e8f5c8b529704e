//! The scopes of tokens.

/// The rights of a token. A wider scope includes the narrower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Reads everything.
    Read,
    /// Also submits, retries, previews and cancels issues.
    Submit,
    /// Also approves and declines what issues propose.
    Review,
    /// Does everything.
    Admin,
}

impl Scope {
    pub(crate) const ALL: [Scope; 4] = [Scope::Read, Scope::Submit, Scope::Review, Scope::Admin];

    /// Returns the name in the tokens file and in responses.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Submit => "submit",
            Scope::Review => "review",
            Scope::Admin => "admin",
        }
    }
}
