//! Reads fields of a context for the bundled steps and axes.

use shared::blueprint::Doc;
use shared::blueprint::label;
use shared::ids::Version;

/// What keeps a label from being a semantic version; `None` if it is one.
pub(in crate::flow) fn label_problem(label: &Doc) -> Option<String> {
    match label {
        Doc::Str(text) => label::check(text).err().map(|error| error.to_string()),
        other => Some(format!(
            "version_label must be a string that is a semantic version such as 1.0.0, not {}",
            other.kind()
        )),
    }
}

/// The member of `parent` that must be a string.
pub(crate) fn text<'a>(parent: Option<&'a Doc>, path: &str, key: &str) -> Result<&'a str, String> {
    match parent.and_then(|parent| parent.get(key)) {
        Some(Doc::Str(text)) => Ok(text),
        other => Err(format!(
            "{path}{key} must be a string; it is {}",
            kind(other)
        )),
    }
}

/// What a member is, in the words of JSON.
pub(crate) fn kind(member: Option<&Doc>) -> &'static str {
    member.map_or("missing", Doc::kind)
}

pub(crate) fn of_version(version: &Version) -> Doc {
    Doc::from(version.as_str())
}
