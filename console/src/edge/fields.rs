//! The fields of a form or of a query.

use std::borrow::Cow;
use std::str::FromStr;

use crate::failure::Failure;

/// The name of the field with the form's token.
pub(crate) const FORM_TOKEN: &str = "form_token";

/// The fields in their order. A name can occur several times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text);
        Self(
            pairs
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// Returns the first value of `name`; `None` if it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Returns the first value of `name` without the spaces around it; `None` if nothing is left.
    pub(crate) fn trimmed(&self, name: &str) -> Option<String> {
        let value = self.get(name)?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// Returns the value of `name`, which must not be empty.
    pub(crate) fn needed(&self, name: &str) -> Result<String, Failure> {
        self.trimmed(name)
            .ok_or_else(|| Failure::Field(format!("{name} is missing")))
    }

    /// Returns the text of `name` as written, with the line ends of documents: browsers send CR LF.
    pub(crate) fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().replace("\r\n", "\n")
    }

    /// Returns the lines of `name`, without empty ones.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = self.text(name);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }

    /// Returns the value of `name` as a number; `None` if it is absent.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.trimmed(name) else {
            return Ok(None);
        };
        let parsed = text.parse().map(Some);
        parsed.map_err(|_| Failure::Field(format!("{name} must be a whole number, not {text:?}")))
    }

    /// Returns the query with `name` set to `value`, or without it for `None`. Begins with `?`.
    pub(crate) fn with(&self, name: &str, value: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let others = self
            .0
            .iter()
            .filter(|(given, value)| given != name && !value.is_empty());
        query.extend_pairs(others);
        if let Some(value) = value {
            query.append_pair(name, value);
        }
        format!("?{}", query.finish())
    }
}

/// Encodes a segment of a path.
pub(crate) fn segment(text: &str) -> Cow<'_, str> {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(text, &KEPT).into()
}
