//! The actor of a change: who made it.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The maximum length of an actor, in bytes.
pub const MAX_ACTOR_BYTES: usize = 128;

/// The actor of a caller without a name.
const ANONYMOUS: &str = "anonymous";

/// The name under which a change is recorded: 1 to 128 bytes without control characters.
///
/// Intake determines it once per call. It identifies the caller only where intake authenticates its
/// callers; otherwise it is what the caller claims.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Actor(Arc<str>);

/// An invalid actor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is not a valid actor: 1 to {MAX_ACTOR_BYTES} bytes without control characters")]
pub struct InvalidActor {
    /// The given text, cut to 160 characters.
    pub given: String,
}

impl Actor {
    /// Parses an actor.
    ///
    /// # Errors
    /// [`InvalidActor`] if `text` is empty, longer than 128 bytes, or has a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidActor> {
        let has_valid_length = (1..=MAX_ACTOR_BYTES).contains(&text.len());
        if has_valid_length && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidActor {
                given: text.chars().take(160).collect(),
            })
        }
    }

    /// Returns the actor of a caller without a name: `anonymous`.
    pub fn anonymous() -> Self {
        Self(ANONYMOUS.into())
    }

    /// Returns the actor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_has_1_to_128_bytes_and_no_control_character() {
        for good in [
            "a",
            "Jürgen 100%",
            "spiffe://example.org/ns/prod/sa/ci",
            "\"\\",
        ] {
            assert_eq!(Actor::parse(good).unwrap().as_str(), good);
        }
        assert!(Actor::parse(&"ä".repeat(64)).is_ok());
        for bad in [
            "",
            "a\nb",
            "\u{1b}[2J",
            "a\u{7f}",
            "a\u{9b}",
            &"ä".repeat(65),
        ] {
            let refused = Actor::parse(bad).unwrap_err().to_string();
            assert!(refused.contains("not a valid actor"), "{refused}");
        }
        assert_eq!(Actor::anonymous(), Actor::parse("anonymous").unwrap());
    }
}
