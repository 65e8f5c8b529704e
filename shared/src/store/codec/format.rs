//! The version of the stored forms, and the errors of decoding them.

use crate::domain::actor::Actor;
use crate::store::redis::error::StoreError;
use serde::Deserialize;
use serde::Serialize;

/// The version of the stored forms that this release writes.
pub(crate) const FORMAT: u32 = 1;

pub(crate) fn damaged(what: &'static str, id: &str, problem: impl ToString) -> StoreError {
    StoreError::Damaged {
        what,
        id: id.to_owned(),
        problem: problem.to_string(),
    }
}

pub(crate) fn to_json<T: Serialize>(form: &T) -> String {
    serde_json::to_string(form).expect("stored forms have string keys and finite numbers only")
}

pub(crate) fn from_json<'a, T: Deserialize<'a>>(
    what: &'static str,
    id: &str,
    text: &'a str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| damaged(what, id, e))
}

/// Reads a stored actor. An empty text means `None`: data of releases without actors.
pub(crate) fn read_actor(
    what: &'static str,
    id: &str,
    text: &str,
) -> Result<Option<Actor>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    Actor::parse(text)
        .map(Some)
        .map_err(|e| damaged(what, id, e))
}

pub(crate) fn check_format(what: &'static str, id: &str, v: u32) -> Result<(), StoreError> {
    if v == FORMAT {
        Ok(())
    } else {
        Err(damaged(
            what,
            id,
            format!("format {v} is newer than this release knows"),
        ))
    }
}
