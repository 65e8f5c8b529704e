//! Converts between wire types and domain types. Requests are validated here: the store receives
//! only valid values, and one error names every invalid field of a request.

pub(crate) mod documents;

#[cfg(test)]
mod tests;

use prost_types::Timestamp;
use proto::v1;
use shared::domain::actor::Actor;
use shared::domain::version_selector::VersionSelector;
use shared::ids::{BlueprintId, ChannelName, IdPart, IssueId, SettingId, Version};

use crate::error::request_error::RequestError;

// Requests.

/// Parses the field `issue_id`.
pub(crate) fn issue_id(given: &str) -> Result<IssueId, RequestError> {
    IssueId::parse(given).map_err(|error| RequestError::field("issue_id", error))
}

/// Parses the field `blueprint_id`.
pub(crate) fn blueprint_id(given: &str) -> Result<BlueprintId, RequestError> {
    BlueprintId::parse(given).map_err(|error| RequestError::field("blueprint_id", error))
}

/// Parses the name of a channel in the field `field`.
pub(crate) fn channel(field: &str, given: &str) -> Result<ChannelName, RequestError> {
    ChannelName::parse(given).map_err(|error| RequestError::field(field, error))
}

/// Parses the field `setting_id`.
pub(crate) fn setting_id(given: &str) -> Result<SettingId, RequestError> {
    SettingId::parse(given).map_err(|error| RequestError::field("setting_id", error))
}

/// Parses the field `blueprint_id` of a filter. Absent or empty means all.
pub(crate) fn blueprint_filter(given: Option<&str>) -> Result<Option<BlueprintId>, RequestError> {
    given
        .filter(|id| !id.is_empty())
        .map(blueprint_id)
        .transpose()
}

/// Parses an optional actor in the field `field`. Absent or empty means `None`.
pub(crate) fn optional_actor(
    field: &str,
    given: Option<&str>,
) -> Result<Option<Actor>, RequestError> {
    let given = given.filter(|actor| !actor.is_empty());
    let actor = given.map(Actor::parse).transpose();
    actor.map_err(|error| RequestError::field(field, error))
}

/// Parses the beginning or end of the id of an issue, in the field `issue_id_part`. Absent or empty
/// means `None`.
pub(crate) fn issue_id_part(given: Option<&str>) -> Result<Option<IdPart>, RequestError> {
    let given = given.filter(|part| !part.is_empty());
    let part = given.map(IdPart::parse).transpose();
    part.map_err(|error| RequestError::field("issue_id_part", error))
}

/// Parses a version selector in the field `field`. Absent or unset means latest.
pub(crate) fn selector(
    field: &str,
    given: Option<&v1::VersionSelector>,
) -> Result<VersionSelector, RequestError> {
    use v1::version_selector::Selector;
    match given.and_then(|selector| selector.selector.as_ref()) {
        None | Some(Selector::Latest(true)) => Ok(VersionSelector::Latest),
        Some(Selector::Latest(false)) => Err(RequestError::field(
            format!("{field}.latest"),
            "is false, which chooses nothing; set it to true, or choose fixed, semver_req or channel",
        )),
        Some(Selector::Fixed(version)) => Version::parse(version)
            .map(VersionSelector::Fixed)
            .map_err(|error| RequestError::field(format!("{field}.fixed"), error)),
        Some(Selector::Channel(name)) => {
            channel(&format!("{field}.channel"), name).map(VersionSelector::Channel)
        }
        Some(Selector::SemverReq(requirement)) => semver_req(requirement)
            .map_err(|problem| RequestError::field(format!("{field}.semver_req"), problem)),
    }
}

fn semver_req(text: &str) -> Result<VersionSelector, String> {
    let shown: String = text.chars().take(80).collect();
    text.parse()
        .map(VersionSelector::SemverReq)
        .map_err(|error| {
            format!("{shown:?} is not a semver requirement such as ^1.2 or >=1.0, <2.0: {error}")
        })
}

// Responses.

/// Converts milliseconds since the Unix epoch to a timestamp.
pub(crate) fn timestamp(ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1_000).unwrap_or(0) * 1_000_000,
    }
}

pub(crate) fn text(id: Option<impl ToString>) -> String {
    id.map_or_else(String::new, |id| id.to_string())
}
