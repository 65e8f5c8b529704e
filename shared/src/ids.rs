//! Names and ids. A constructor checks each value once; later code relies on that check.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// Longest id, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// An invalid id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{field} {given:?} is not a valid id: 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
)]
pub struct InvalidId {
    /// The field that holds the id.
    pub field: &'static str,
    /// The given text, cut to 160 characters.
    pub given: String,
}

fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=MAX_ID_BYTES).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && text.bytes().all(is_of_id)
}

fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses an id.
            ///
            /// # Errors
            /// [`InvalidId`] if `text` does not match `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                if is_id(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { field: $field, given: text.chars().take(160).collect() })
                }
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id_type!(
    /// The id of a Blueprint: the document's own `id`.
    BlueprintId, "blueprint_id");
id_type!(
    /// The id of an issue.
    IssueId, "issue_id");
id_type!(
    /// The id of an EnhanceSetting.
    SettingId, "setting_id");
id_type!(
    /// The id of one run of one worker process. It is new at every start and never reused.
    WorkerId, "worker_id");

id_type!(
    /// The id of an instance that runs a Blueprint. The instance chooses it.
    ConsumerId, "consumer_id");

impl IssueId {
    /// Returns a new id that sorts by time (UUIDv7, RFC 9562).
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }
}

impl WorkerId {
    /// Returns a new id: `name`, cut and cleaned to fit, then `-` and 16 random hex digits.
    pub fn generate(name: &str) -> Self {
        let clean: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                    c
                } else {
                    '_'
                }
            })
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(100)
            .collect();
        let name = if clean.is_empty() { "worker" } else { &clean };
        let random = uuid::Uuid::now_v7().simple().to_string();
        Self(format!("{name}-{}", &random[16..]).into())
    }
}

/// A BlueprintVersion: lowercase hex SHA-256 of a Blueprint's canonical YAML.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Arc<str>);

/// An invalid version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("version {given:?} is not 64 lowercase hex digits")]
pub struct InvalidVersion {
    /// The given text, cut to 160 characters.
    pub given: String,
}

impl Version {
    /// Parses a version.
    ///
    /// # Errors
    /// [`InvalidVersion`] if `text` is not 64 lowercase hex digits.
    pub fn parse(text: &str) -> Result<Self, InvalidVersion> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidVersion {
                given: text.chars().take(160).collect(),
            })
        }
    }

    /// Returns the version of this canonical YAML: its SHA-256.
    pub fn of(canonical_yaml: &str) -> Self {
        Self(sha256_hex(canonical_yaml.as_bytes()).into())
    }

    /// Returns the version of a canonical YAML with this SHA-256.
    pub(crate) fn of_digest(digest: &[u8]) -> Self {
        Self(hex::encode(digest).into())
    }

    /// Returns the version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The beginning or end of an id: 1 to 128 of the characters of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPart(Arc<str>);

/// An invalid part of an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is not the beginning or end of an id: 1 to 128 of A-Z a-z 0-9 . _ -")]
pub struct InvalidIdPart {
    /// The given text, cut to 160 characters.
    pub given: String,
}

impl IdPart {
    /// Parses a part.
    ///
    /// # Errors
    /// [`InvalidIdPart`] if no id begins or ends with `text`.
    pub fn parse(text: &str) -> Result<Self, InvalidIdPart> {
        // An id begins with a letter or digit, its end need not.
        if (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(is_of_id) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidIdPart {
                given: text.chars().take(160).collect(),
            })
        }
    }

    /// Returns whether the text of an id begins or ends with this part.
    pub fn is_of(&self, id: &str) -> bool {
        id.starts_with(&*self.0) || id.ends_with(&*self.0)
    }
}

/// A prefix of a [`Version`]: 1 to 64 lowercase hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionPrefix(Arc<str>);

/// An invalid prefix of a version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is not the prefix of a version: 1 to 64 lowercase hex digits")]
pub struct InvalidVersionPrefix {
    /// The given text, cut to 160 characters.
    pub given: String,
}

impl VersionPrefix {
    /// Parses a prefix.
    ///
    /// # Errors
    /// [`InvalidVersionPrefix`] if `text` is not 1 to 64 lowercase hex digits.
    pub fn parse(text: &str) -> Result<Self, InvalidVersionPrefix> {
        let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex && (1..=64).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidVersionPrefix {
                given: text.chars().take(160).collect(),
            })
        }
    }
}

impl fmt::Display for VersionPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The maximum length of a channel's name, in bytes.
const MAX_CHANNEL_BYTES: usize = 32;

/// The name of a channel: a named pointer from a Blueprint to one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// An invalid name of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{given:?} is not a valid name of a channel: 1 to 32 of a-z 0-9 -, beginning with a letter, and not latest or head"
)]
pub struct InvalidChannelName {
    /// The given text, cut to 160 characters.
    pub given: String,
}

impl ChannelName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidChannelName`] if `text` does not match `[a-z][a-z0-9-]{0,31}`, or is `latest` or
    /// `head`.
    pub fn parse(text: &str) -> Result<Self, InvalidChannelName> {
        let bytes = text.as_bytes();
        let is_valid = bytes.len() <= MAX_CHANNEL_BYTES
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes
                .iter()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !matches!(text, "latest" | "head");
        if is_valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidChannelName {
                given: text.chars().take(160).collect(),
            })
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the lowercase hex SHA-256 of `bytes`.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_has_a_short_name_in_lower_case() {
        let longest = "a".repeat(32);
        for good in ["a", "production", "eu-west-1", "a-", "heads", &longest] {
            assert_eq!(ChannelName::parse(good).unwrap().as_str(), good);
        }
        let longer = "a".repeat(33);
        let bad = [
            "", "A", "1a", "-a", "a.b", "a_b", "a b", "ä", "latest", "head", &longer,
        ];
        for bad in bad {
            let refused = ChannelName::parse(bad).unwrap_err().to_string();
            assert!(refused.contains("name of a channel"), "{refused}");
        }
    }
}
