//! Errors of the configuration: which variable is invalid, and what it accepts.

use std::fmt;
use thiserror::Error;

/// One variable with a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable, e.g. `DRAFTSMAN_LISTEN`.
    pub variable: &'static str,
    /// What was given and what is expected.
    pub message: String,
}

/// Collects what is wrong while values are parsed one by one.
#[derive(Debug, Clone, Default)]
pub struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// The value, or `None` after noting what is wrong with it.
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

    /// Notes a problem that a single parser cannot see, e.g. between two values.
    pub fn note(&mut self, variable: &'static str, message: impl Into<String>) {
        self.0.push(Problem {
            variable,
            message: message.into(),
        });
    }

    /// Ends the collection.
    ///
    /// # Errors
    /// [`InvalidConfig`] with everything that was noted, if anything was.
    pub fn finish(self) -> Result<(), InvalidConfig> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into())
        }
    }
}

/// A configuration that cannot be used. Displays one line for each variable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct InvalidConfig(Vec<Problem>);

impl InvalidConfig {
    /// Every problem, in the order in which the values were checked.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }

    /// The variables with a problem, in the same order.
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

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is not valid: expected {expected}")]
pub struct BadValue {
    pub(crate) given: String,
    pub(crate) expected: String,
}

impl BadValue {
    /// `given` (cut to 200 characters) is not what is `expected`.
    pub fn new(given: &str, expected: impl Into<String>) -> Self {
        Self {
            given: given.chars().take(200).collect(),
            expected: expected.into(),
        }
    }
}
