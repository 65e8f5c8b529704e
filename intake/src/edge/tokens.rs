//! Bearer tokens with scopes, from a file that is read again while the server runs.
//!
//! A line of the file is `<scope> <token>` or `<scope> <name> <token>`. The name is the actor of
//! the calls with this token; several tokens can have the same name. Empty lines and lines that
//! begin with `#` are ignored. Only the SHA-256 of a token is kept, and all hashes are compared in
//! constant time. So neither memory nor timing reveals a token or its length. Errors and log lines
//! contain the line number of a token, never the token.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use shared::domain::actor::{Actor, InvalidActor};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::scope::Scope;

/// Interval between reads of the file. The content is compared, not the modification time. So an
/// edit within the clock's resolution is detected, and a mount that swaps files behind a symbolic
/// link too.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Minimum length of a token, in characters. Shorter tokens can be guessed.
const SHORTEST: usize = 16;

/// Why a tokens file is invalid.
#[derive(Debug, Error)]
pub(crate) enum BadTokens {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("line {0} is neither `<scope> <token>` nor `<scope> <name> <token>`")]
    Line(usize),
    #[error("line {0} must begin with a scope: read, submit, review or admin")]
    Scope(usize),
    #[error("the name in line {0}: {1}")]
    Name(usize, #[source] InvalidActor),
    #[error("the token in line {0} has fewer than {SHORTEST} characters")]
    Short(usize),
    #[error("the token in line {0} is also in an earlier line")]
    Twice(usize),
    #[error("it has no token, so every call would be refused")]
    Empty,
}

/// The tokens of one read of the file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tokens(Vec<Line>);

/// A line of the file.
#[derive(Clone, PartialEq, Eq)]
struct Line {
    scope: Scope,
    name: Option<Actor>,
    digest: [u8; 32],
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Tokens {
    pub(crate) fn parse(text: &str) -> Result<Self, BadTokens> {
        let mut tokens: Vec<Line> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (scope, name, token) = match words[..] {
                [] => continue,
                [first, ..] if first.starts_with('#') => continue,
                [scope, token] => (scope, None, token),
                [scope, name, token] => (scope, Some(name), token),
                _ => return Err(BadTokens::Line(number)),
            };
            let scope = Scope::ALL.into_iter().find(|s| s.as_str() == scope);
            let scope = scope.ok_or(BadTokens::Scope(number))?;
            let name = name.map(Actor::parse).transpose();
            let name = name.map_err(|error| BadTokens::Name(number, error))?;
            if token.len() < SHORTEST {
                return Err(BadTokens::Short(number));
            }
            let digest = digest(token.as_bytes());
            if tokens.iter().any(|known| known.digest == digest) {
                return Err(BadTokens::Twice(number));
            }
            tokens.push(Line {
                scope,
                name,
                digest,
            });
        }
        if tokens.is_empty() {
            return Err(BadTokens::Empty);
        }
        Ok(Self(tokens))
    }

    /// Returns the scope and the name of `token`; `None` if the token is unknown. Takes the same
    /// time for every token.
    pub(crate) fn find(&self, token: &[u8]) -> Option<(Scope, Option<Actor>)> {
        let given = digest(token);
        let found = self.0.iter().fold(None, |found, line| {
            if bool::from(line.digest.ct_eq(&given)) {
                Some(line)
            } else {
                found
            }
        });
        found.map(|line| (line.scope, line.name.clone()))
    }
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// A tokens file that is read again while the server runs.
#[derive(Debug, Clone)]
pub(crate) struct TokensFile {
    path: PathBuf,
    tokens: watch::Sender<Arc<Tokens>>,
}

impl TokensFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`BadTokens`] if the file is invalid.
    pub(crate) fn open(path: &Path) -> Result<Self, BadTokens> {
        let tokens = Tokens::parse(&std::fs::read_to_string(path)?)?;
        Ok(Self {
            path: path.to_owned(),
            tokens: watch::Sender::new(Arc::new(tokens)),
        })
    }

    /// Returns the tokens in effect.
    pub(crate) fn now(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.borrow())
    }

    /// Reads the file every [`READ_EVERY`]. If it is invalid, the previous tokens stay in effect
    /// and each error is logged once. Never returns.
    pub(crate) async fn follow(&self) {
        let mut said = String::new();
        loop {
            sleep(READ_EVERY).await;
            let read = tokio::fs::read_to_string(&self.path).await;
            match read
                .map_err(BadTokens::from)
                .and_then(|t| Tokens::parse(&t))
            {
                Ok(tokens) => {
                    said.clear();
                    if *self.now() != tokens {
                        tracing::info!(path = %self.path.display(), ?tokens, "the tokens were read again");
                        self.tokens.send_replace(Arc::new(tokens));
                    }
                }
                Err(bad) => {
                    let error = bad.to_string();
                    if error != said {
                        tracing::error!(path = %self.path.display(), error, "the tokens cannot be read again; the previous ones stay in effect");
                        shared::fail_point::event("tokens.kept", &[]);
                        said = error;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: &str = "reader-0123456789";
    const ADMIN: &str = "admin-0123456789";

    #[test]
    fn a_token_has_the_scope_and_the_name_of_its_line() {
        let text = format!("# who\n\nread {READER}\n  admin  ops {ADMIN}  \n");
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(tokens.find(READER.as_bytes()), Some((Scope::Read, None)));
        let ops = Some(Actor::parse("ops").unwrap());
        assert_eq!(tokens.find(ADMIN.as_bytes()), Some((Scope::Admin, ops)));
        for none in ["", "ops", "reader-012345678", "reader-01234567890"] {
            assert_eq!(tokens.find(none.as_bytes()), None, "{none:?}");
        }
        // A wider scope includes the narrower ones.
        assert!(Scope::ALL.is_sorted());
        assert_eq!(
            Scope::ALL.map(Scope::as_str),
            ["read", "submit", "review", "admin"]
        );
    }

    #[test]
    fn a_bad_file_is_refused_by_line_and_without_its_tokens() {
        for (text, words) in [
            (format!("read {READER}\nwrite {ADMIN}"), "line 2 must begin"),
            (format!("read {READER}\nread"), "line 2 is neither"),
            (format!("read a b {READER}"), "line 1 is neither"),
            ("submit 0123456789abcde".to_owned(), "fewer than 16"),
            (format!("read {READER}\nadmin {READER}"), "line 2 is also"),
            ("# none\n".to_owned(), "no token"),
        ] {
            let said = Tokens::parse(&text).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
            assert!(!said.contains(READER) && !said.contains(ADMIN), "{said}");
        }
    }
}
