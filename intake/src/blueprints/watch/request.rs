//! Parses a `WatchBlueprintsRequest`.

use std::collections::HashMap;

use proto::v1;
use shared::domain::id_pattern::IdPattern;
use shared::ids::{BlueprintId, ChannelName, ConsumerId, Version};

use crate::blueprints::watch::index::Pattern;
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;

/// Maximum number of patterns of a watch.
const MAX_PATTERNS: usize = 64;

/// A valid request.
#[derive(Debug)]
pub(super) struct WatchRequest {
    /// What is watched, without repetitions.
    pub(super) patterns: Vec<Pattern>,
    /// The channel; `None`: the head.
    pub(super) channel: Option<ChannelName>,
    /// What the consumer has.
    pub(super) known: HashMap<BlueprintId, Version>,
    /// Whether documents are sent.
    pub(super) include_documents: bool,
    /// The consumer, if it named itself.
    pub(super) consumer_id: Option<ConsumerId>,
}

/// Parses a request.
///
/// # Errors
/// [`RequestError::Invalid`] with every invalid field.
pub(super) fn parse(request: v1::WatchBlueprintsRequest) -> Result<WatchRequest, RequestError> {
    let mut violations = Violations::default();
    let n_patterns = request.patterns.len();
    let counted = match n_patterns {
        1..=MAX_PATTERNS => Ok(()),
        _ => Err(format!(
            "has {n_patterns} entries; give 1 to {MAX_PATTERNS}"
        )),
    };
    let counted = violations.check("patterns", counted);
    let mut patterns: Vec<Pattern> = Vec::new();
    // The number bounds the work and the answer.
    for (n, given) in request.patterns.iter().take(MAX_PATTERNS).enumerate() {
        if let Some(pattern) = violations.check(&format!("patterns[{n}]"), pattern(given))
            && !patterns.contains(&pattern)
        {
            patterns.push(pattern);
        }
    }
    let channel = violations.check("channel", optional(&request.channel, ChannelName::parse));
    let consumer_id = optional(&request.consumer_id, ConsumerId::parse);
    let consumer_id = violations.check("consumer_id", consumer_id);
    let known: Result<HashMap<_, _>, String> = request.known_versions.iter().map(known).collect();
    let known = violations.check("known_versions", known);
    let (Some(channel), Some(consumer_id), Some(known)) = (channel, consumer_id, known) else {
        return Err(violations.into());
    };
    if counted.is_none() || !violations.is_empty() {
        return Err(violations.into());
    }
    Ok(WatchRequest {
        patterns,
        channel,
        known,
        include_documents: request.include_documents,
        consumer_id,
    })
}

fn pattern(given: &str) -> Result<Pattern, String> {
    let pattern = IdPattern::parse(given).map_err(|error| error.to_string())?;
    if pattern.literal_prefix() < given.len() {
        return Ok(Pattern::Wildcard(pattern));
    }
    BlueprintId::parse(given)
        .map(Pattern::Exact)
        .map_err(|error| error.to_string())
}

fn optional<T, E>(given: &str, parse: fn(&str) -> Result<T, E>) -> Result<Option<T>, E> {
    (!given.is_empty()).then(|| parse(given)).transpose()
}

fn known((id, version): (&String, &String)) -> Result<(BlueprintId, Version), String> {
    let id = BlueprintId::parse(id).map_err(|error| error.to_string())?;
    let version = Version::parse(version).map_err(|error| format!("{id}: {error}"))?;
    Ok((id, version))
}
