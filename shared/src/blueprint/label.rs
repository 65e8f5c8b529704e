//! `metadata.version_label`: a human-readable semantic version that every change raises.

use std::fmt;

use thiserror::Error;

/// The part of a label that a change raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bump {
    /// `1.2.3` becomes `2.0.0`.
    Major,
    /// `1.2.3` becomes `1.3.0`.
    Minor,
    /// `1.2.3` becomes `1.2.4`.
    Patch,
}

/// An invalid bump.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("bump {given:?} is not one of major, minor, patch")]
pub struct InvalidBump {
    /// The given text, cut to 80 characters.
    pub given: String,
}

impl Bump {
    /// Parses `major`, `minor` or `patch`.
    ///
    /// # Errors
    /// [`InvalidBump`] for any other text.
    pub fn parse(text: &str) -> Result<Bump, InvalidBump> {
        match text {
            "major" => Ok(Bump::Major),
            "minor" => Ok(Bump::Minor),
            "patch" => Ok(Bump::Patch),
            _ => Err(InvalidBump {
                given: text.chars().take(80).collect(),
            }),
        }
    }

    /// Returns the text that [`Bump::parse`] accepts.
    pub fn as_str(self) -> &'static str {
        match self {
            Bump::Major => "major",
            Bump::Minor => "minor",
            Bump::Patch => "patch",
        }
    }
}

impl fmt::Display for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A label that cannot be raised.
#[derive(Debug, Error)]
#[error("version_label {label:?} is an invalid semver: {source}")]
pub struct InvalidSemver {
    /// The label, cut to 80 characters.
    pub label: String,
    /// The description of the problem.
    pub source: LabelProblem,
}

/// The problem of a label.
#[derive(Debug, Error)]
pub enum LabelProblem {
    /// The label is not a semantic version.
    #[error(transparent)]
    Syntax(semver::Error),
    /// The number is already at its maximum.
    #[error("its {0} number is at its maximum")]
    Overflow(Bump),
}

/// Checks that `label` is a semantic version.
///
/// # Errors
/// [`InvalidSemver`] if it is not.
pub fn check(label: &str) -> Result<(), InvalidSemver> {
    match semver::Version::parse(label) {
        Ok(_) => Ok(()),
        Err(error) => Err(InvalidSemver {
            label: label.chars().take(80).collect(),
            source: LabelProblem::Syntax(error),
        }),
    }
}

/// Returns `label` raised by `bump`. A missing label counts as 0.0.0. The result has no pre-release
/// and no build metadata.
///
/// # Errors
/// [`InvalidSemver`] if the label is not a semantic version or its number is u64::MAX.
pub fn bump(label: Option<&str>, bump: Bump) -> Result<String, InvalidSemver> {
    let text = label.unwrap_or("0.0.0");
    let invalid = |source| InvalidSemver {
        label: text.chars().take(80).collect(),
        source,
    };
    let version =
        semver::Version::parse(text).map_err(|error| invalid(LabelProblem::Syntax(error)))?;
    let raise = |number: u64| {
        number
            .checked_add(1)
            .ok_or_else(|| invalid(LabelProblem::Overflow(bump)))
    };
    let (major, minor, patch) = match bump {
        Bump::Major => (raise(version.major)?, 0, 0),
        Bump::Minor => (version.major, raise(version.minor)?, 0),
        Bump::Patch => (version.major, version.minor, raise(version.patch)?),
    };
    Ok(format!("{major}.{minor}.{patch}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raises_the_named_part() {
        let of = |label, by| bump(label, by).unwrap();
        assert_eq!(of(Some("1.2.3"), Bump::Major), "2.0.0");
        assert_eq!(of(Some("1.2.3"), Bump::Minor), "1.3.0");
        assert_eq!(of(Some("1.2.3"), Bump::Patch), "1.2.4");
    }

    #[test]
    fn a_missing_label_counts_as_zero() {
        assert_eq!(bump(None, Bump::Patch).unwrap(), "0.0.1");
        assert_eq!(bump(None, Bump::Major).unwrap(), "1.0.0");
    }

    #[test]
    fn prerelease_and_build_drop() {
        assert_eq!(bump(Some("1.2.3-rc.1+abc"), Bump::Patch).unwrap(), "1.2.4");
    }

    #[test]
    fn refuses_what_is_no_semver_and_what_overflows() {
        assert!(matches!(
            bump(Some("v1"), Bump::Patch),
            Err(InvalidSemver {
                source: LabelProblem::Syntax(_),
                ..
            })
        ));
        assert!(bump(Some(""), Bump::Patch).is_err());
        let top = format!("0.0.{}", u64::MAX);
        assert!(matches!(
            bump(Some(&top), Bump::Patch),
            Err(InvalidSemver {
                source: LabelProblem::Overflow(Bump::Patch),
                ..
            })
        ));
    }

    #[test]
    fn checks_the_syntax_only() {
        let top = format!("0.0.{}", u64::MAX);
        assert!(check(&top).is_ok() && check("1.2.3-rc.1+b").is_ok());
        let error = check("v-one").unwrap_err().to_string();
        assert!(error.contains("\"v-one\" is an invalid semver"), "{error}");
    }

    #[test]
    fn reads_only_the_three_words() {
        assert_eq!(Bump::parse("minor").unwrap().to_string(), "minor");
        assert!(Bump::parse("Minor").is_err());
    }
}
