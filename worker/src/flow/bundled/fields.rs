//! Reads fields of a context for the bundled steps and axes.

use shared::blueprint::Doc;
use shared::blueprint::label;
use shared::ids::Version;

/// Returns the problem of a label that is not a semantic version; otherwise `None`.
pub(in crate::flow) fn label_problem(label: &Doc) -> Option<String> {
    match label {
        Doc::Str(text) => label::check(text).err().map(|error| error.to_string()),
        other => Some(format!(
            "version_label must be a string that is a semantic version such as 1.0.0, not {}",
            other.kind()
        )),
    }
}

/// Returns the string member `key` of `parent`.
pub(crate) fn text<'a>(parent: Option<&'a Doc>, path: &str, key: &str) -> Result<&'a str, String> {
    match parent.and_then(|parent| parent.get(key)) {
        Some(Doc::Str(text)) => Ok(text),
        other => Err(format!(
            "{path}{key} must be a string; it is {}",
            kind(other)
        )),
    }
}

/// Returns the JSON type of a member, or `missing`.
pub(crate) fn kind(member: Option<&Doc>) -> &'static str {
    member.map_or("missing", Doc::kind)
}

pub(crate) fn of_version(version: &Version) -> Doc {
    Doc::from(version.as_str())
}
