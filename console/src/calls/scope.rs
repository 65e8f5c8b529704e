//! What a person may do. Intake decides; the console only hides what would be refused.

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A scope of a token. A wider one includes the narrower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Reads everything.
    Read,
    /// Also submits, retries, previews and cancels issues.
    Submit,
    /// Also approves and declines.
    Review,
    /// Does everything.
    Admin,
}

impl Scope {
    const ALL: [Scope; 4] = [Scope::Read, Scope::Submit, Scope::Review, Scope::Admin];

    /// Returns the name in a tokens file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Submit => "submit",
            Scope::Review => "review",
            Scope::Admin => "admin",
        }
    }

    /// Returns the scope that intake named when it refused a call for admins. Any other answer to
    /// an invalid document means that the caller is an admin. `None` if the token is unknown.
    pub(crate) fn of_answer(status: &Status) -> Option<Scope> {
        match status.code() {
            Code::Unauthenticated => None,
            Code::PermissionDenied => {
                let details = status.get_error_details();
                let named = details.error_info()?.metadata.get("scope")?.clone();
                let mut all = Self::ALL.into_iter();
                // A scope of a later release counts as the narrowest.
                Some(
                    all.find(|scope| scope.as_str() == named)
                        .unwrap_or(Scope::Read),
                )
            }
            _ => Some(Scope::Admin),
        }
    }
}
