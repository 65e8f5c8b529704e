//! Invalid fields of a request.

use std::fmt::Display;

use crate::error::request_error::{RequestError, Violation};

/// Collects the invalid fields of a request, so that one response names all of them.
#[derive(Debug, Default)]
pub(crate) struct Violations(pub(crate) Vec<Violation>);

impl Violations {
    /// Returns true if no field was noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value, or notes the problem and returns `None`.
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

    /// As [`Violations::check`], for a parser that names the field itself. An error that is not
    /// about a field is kept as the error of the whole request.
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
