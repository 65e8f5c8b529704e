//! Errors of the configuration: the invalid variables and the values that they accept.

use std::fmt;
use thiserror::Error;

/// A variable with an invalid value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable, for example `DRAFTSMAN_LISTEN`.
    pub variable: &'static str,
    /// The given value and the expected one.
    pub message: String,
}

/// Collects the invalid values of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// Returns the value, or records the problem and returns `None`.
    pub fn check<T>(&mut self, variable: &'static str, parsed: Result<T, BadValue>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(bad) => {
                self.0.push(Problem {
                    variable,
                    message: bad.to_string(),
                });
                None
            }
        }
    }

    /// Records a problem that a single parser cannot detect, for example between two values.
    pub fn note(&mut self, variable: &'static str, message: impl Into<String>) {
        self.0.push(Problem {
            variable,
            message: message.into(),
        });
    }

    /// Returns all recorded problems as an error.
    ///
    /// # Errors
    /// [`InvalidConfig`] with all recorded problems, if any.
    pub fn finish(self) -> Result<(), InvalidConfig> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into())
        }
    }
}

/// An invalid configuration. It displays one line for each variable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct InvalidConfig(Vec<Problem>);

impl InvalidConfig {
    /// Returns all problems in the order of the checks.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }

    /// Returns the variables with a problem, in the same order.
    pub fn variables(&self) -> Vec<&'static str> {
        self.0.iter().map(|problem| problem.variable).collect()
    }
}

impl From<Problems> for InvalidConfig {
    fn from(problems: Problems) -> Self {
        Self(problems.0)
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        for Problem { variable, message } in &self.0 {
            write!(f, "\n  {variable}: {message}")?;
        }
        Ok(())
    }
}

/// An invalid value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is not valid: expected {expected}")]
pub struct BadValue {
    pub(crate) given: String,
    pub(crate) expected: String,
}

impl BadValue {
    /// Creates the error for a value, cut to 200 characters, that does not match `expected`.
    pub fn new(given: &str, expected: impl Into<String>) -> Self {
        Self {
            given: given.chars().take(200).collect(),
            expected: expected.into(),
        }
    }
}
