//! Invalid fields of a request.

use std::fmt::Display;

use crate::error::request_error::{RequestError, Violation};

/// Collects the fields that cannot be used, so that a caller reads about all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Violations(pub(crate) Vec<Violation>);

impl Violations {
    /// Nothing was noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value, or `None` after noting what is wrong with it.
    pub(crate) fn check<T, E: Display>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(problem) => {
                self.0.push(Violation {
                    field: field.to_owned(),
                    problem: problem.to_string(),
                });
                None
            }
        }
    }

    /// As [`Violations::check`], for a parser that names the field itself. An error that is about
    /// no field counts as one about the whole request.
    pub(crate) fn merge<T>(&mut self, parsed: Result<T, RequestError>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(RequestError::Invalid(violations)) => {
                self.0.extend(violations);
                None
            }
            Err(other) => self.check("", Err(other)),
        }
    }
}

impl From<Violations> for RequestError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations.0)
    }
}
