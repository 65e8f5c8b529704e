//! The scopes of tokens.

/// What a token allows; a wider scope has the narrower ones in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// To look at everything.
    Read,
    /// To file issues and call them off.
    Submit,
    /// Everything.
    Admin,
}

impl Scope {
    pub(crate) const ALL: [Scope; 3] = [Scope::Read, Scope::Submit, Scope::Admin];

    /// The name in the file and in answers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Submit => "submit",
            Scope::Admin => "admin",
        }
    }
}
