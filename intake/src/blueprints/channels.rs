//! Channels: their moves, their deletion and their lists.

use std::sync::Arc;

use futures::future::try_join_all;
use proto::v1;
use shared::domain::actor::Actor;
use shared::domain::channel::{Channel, ChannelMove, MAX_REASON_BYTES};
use shared::domain::setting::EnhanceSetting;
use shared::domain::version_selector::VersionSelector;
use shared::ids::{BlueprintId, ChannelName, Version};
use shared::store::{DeleteChannelOutcome, SetChannel, SetChannelOutcome, Store};

use crate::blueprints::write::judge;
use crate::convert::{self, text, timestamp};
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;
use crate::orbit_trial::Trial;
use crate::paging::PageQuery;

/// Number of attempts to move a channel while settings change.
const MAX_MOVES: u32 = 5;

/// Implements `SetChannel` for `actor`.
///
/// # Errors
/// A field is invalid, the Blueprint, the version or the revision is not as expected, or a setting
/// follows the channel and the version cannot run as its orbit.
pub(crate) async fn set(
    store: &Store,
    request: v1::SetChannelRequest,
    actor: &Actor,
) -> Result<v1::SetChannelResponse, RequestError> {
    let mut violations = Violations::default();
    let blueprint_id = violations.merge(convert::blueprint_id(&request.blueprint_id));
    let channel = violations.merge(convert::channel("channel", &request.channel));
    let version = violations.check("version", Version::parse(&request.version));
    let reason = violations.check("reason", reason(request.reason));
    let (Some(blueprint_id), Some(channel), Some(version), Some(reason)) =
        (blueprint_id, channel, version, reason)
    else {
        return Err(violations.into());
    };
    let set = SetChannel {
        blueprint_id: &blueprint_id,
        channel: &channel,
        version: &version,
        expected_revision: request.expected_revision,
        actor,
        reason: &reason,
    };
    let mut n_tries = 0;
    let (outcome, trial) = loop {
        let used = store.channel_use(&blueprint_id, &channel).await?;
        let trial = try_version(store, &set, &used.settings).await?;
        if let Some(outcome) = store.set_checked_channel(&set, &used).await? {
            break (outcome, trial);
        }
        n_tries += 1;
        if n_tries == MAX_MOVES {
            let stored = store.of(&blueprint_id).channel(&blueprint_id, &channel);
            let actual = stored.await?.map_or(0, |channel| channel.revision);
            break (SetChannelOutcome::ChannelMoved { actual }, trial);
        }
    };
    let (stored, moved) = match outcome {
        SetChannelOutcome::Moved(stored) => (stored, true),
        SetChannelOutcome::Unchanged(stored) => (stored, false),
        SetChannelOutcome::UnknownBlueprint => {
            return Err(RequestError::BlueprintNotFound(blueprint_id));
        }
        SetChannelOutcome::Archived => return Err(RequestError::BlueprintArchived(blueprint_id)),
        SetChannelOutcome::ChannelMoved { actual } => {
            return Err(RequestError::ChannelMoved {
                blueprint_id,
                channel,
                actual,
            });
        }
        SetChannelOutcome::UnknownVersion => {
            return Err(RequestError::VersionNotInHistory {
                blueprint_id,
                version,
            });
        }
        SetChannelOutcome::TooManyChannels => {
            return Err(RequestError::TooManyChannels(blueprint_id));
        }
    };
    let (trial, trial_detail) = trial.into_wire();
    Ok(v1::SetChannelResponse {
        channel: Some(channel_to_wire(stored)),
        moved,
        trial,
        trial_detail,
    })
}

/// Checks that each setting that follows the channel can run the version, and has a worker try it.
async fn try_version(
    store: &Store,
    set: &SetChannel<'_>,
    settings: &[EnhanceSetting],
) -> Result<Trial, RequestError> {
    if settings.is_empty() {
        return Ok(Trial::Nothing);
    }
    let fixed = VersionSelector::Fixed(set.version.clone());
    let shard = store.of(set.blueprint_id);
    // The script refuses an unknown version.
    let Some(found) = shard.blueprint(set.blueprint_id, &fixed).await? else {
        return Ok(Trial::Nothing);
    };
    let judged = settings.iter().map(async |setting| {
        let checked = store.check_orbit(setting, Arc::clone(&found.blueprint));
        let judged = judge(store, checked.await?, setting).await;
        judged.map_err(|problem| RequestError::ChannelNotRunnable {
            blueprint_id: set.blueprint_id.clone(),
            channel: set.channel.clone(),
            problem,
        })
    });
    let trials = try_join_all(judged).await?;
    Ok(trials.into_iter().fold(Trial::Nothing, Trial::and))
}

/// Implements `DeleteChannel` for `actor`.
///
/// # Errors
/// A field is invalid, the Blueprint, the channel or its revision is not as expected, or a setting
/// follows the channel.
pub(crate) async fn delete(
    store: &Store,
    request: v1::DeleteChannelRequest,
    actor: &Actor,
) -> Result<v1::DeleteChannelResponse, RequestError> {
    let (blueprint_id, channel) = names(&request.blueprint_id, &request.channel)?;
    let expected = request.expected_revision;
    let shard = store.of(&blueprint_id);
    let deleted = shard.delete_channel(&blueprint_id, &channel, expected, actor);
    Err(match deleted.await? {
        DeleteChannelOutcome::Deleted => return Ok(v1::DeleteChannelResponse {}),
        DeleteChannelOutcome::UnknownBlueprint => RequestError::BlueprintNotFound(blueprint_id),
        DeleteChannelOutcome::Archived => RequestError::BlueprintArchived(blueprint_id),
        DeleteChannelOutcome::UnknownChannel => RequestError::ChannelNotFound {
            blueprint_id,
            channel,
        },
        DeleteChannelOutcome::ChannelMoved { actual } => RequestError::ChannelMoved {
            blueprint_id,
            channel,
            actual,
        },
        DeleteChannelOutcome::InUse(settings) => RequestError::ChannelInUse {
            blueprint_id,
            channel,
            settings,
        },
    })
}

/// Implements `ListChannels`.
///
/// # Errors
/// The Blueprint is not found.
pub(crate) async fn list(
    store: &Store,
    request: v1::ListChannelsRequest,
) -> Result<v1::ListChannelsResponse, RequestError> {
    let blueprint_id = convert::blueprint_id(&request.blueprint_id)?;
    let channels = store.of(&blueprint_id).list_channels(&blueprint_id).await?;
    let channels = channels.ok_or(RequestError::BlueprintNotFound(blueprint_id))?;
    Ok(v1::ListChannelsResponse {
        channels: channels.into_iter().map(channel_to_wire).collect(),
    })
}

/// Implements `ListChannelMoves`.
///
/// # Errors
/// A field is invalid, or the Blueprint is not found.
pub(crate) async fn list_moves(
    store: &Store,
    request: v1::ListChannelMovesRequest,
) -> Result<v1::ListChannelMovesResponse, RequestError> {
    let channel = request.channel.filter(|channel| !channel.is_empty());
    let (blueprint_id, channel) = match &channel {
        None => (convert::blueprint_id(&request.blueprint_id)?, None),
        Some(channel) => {
            let (blueprint_id, channel) = names(&request.blueprint_id, channel)?;
            (blueprint_id, Some(channel))
        }
    };
    let filter = channel.as_ref().map_or("", ChannelName::as_str);
    let query = PageQuery::parse(
        request.page_size,
        &request.page_token,
        &format!("channel moves {blueprint_id} {filter}"),
    )?;
    let (shard, id, channel) = (store.of(&blueprint_id), &blueprint_id, channel.as_ref());
    let (moves, next_page_token) = query
        .collect(move_to_wire, |page| async move {
            let moves = shard.list_channel_moves(id, channel, &page).await?;
            moves.ok_or_else(|| RequestError::BlueprintNotFound(id.clone()))
        })
        .await?;
    Ok(v1::ListChannelMovesResponse {
        moves,
        next_page_token,
    })
}

/// Parses the fields `blueprint_id` and `channel`.
fn names(blueprint_id: &str, channel: &str) -> Result<(BlueprintId, ChannelName), RequestError> {
    let mut violations = Violations::default();
    let blueprint_id = violations.merge(convert::blueprint_id(blueprint_id));
    let channel = violations.merge(convert::channel("channel", channel));
    blueprint_id
        .zip(channel)
        .ok_or_else(|| RequestError::from(violations))
}

/// Parses the reason of a move. Absent means empty.
pub(crate) fn reason(given: Option<String>) -> Result<String, String> {
    let text = given.unwrap_or_default();
    if text.len() > MAX_REASON_BYTES {
        return Err(format!(
            "has {} bytes; the limit is {MAX_REASON_BYTES}",
            text.len()
        ));
    }
    Ok(text)
}

/// Converts a channel.
pub(crate) fn channel_to_wire(channel: Channel) -> v1::Channel {
    v1::Channel {
        blueprint_id: channel.blueprint_id.to_string(),
        name: channel.name.to_string(),
        version: channel.version.to_string(),
        seq: channel.seq,
        version_label: channel.version_label,
        revision: channel.revision,
        moved_at: Some(timestamp(channel.moved_at_ms)),
        moved_by: channel.moved_by.to_string(),
        reason: channel.reason,
    }
}

/// Converts a move.
pub(crate) fn move_to_wire(moved: ChannelMove) -> v1::ChannelMove {
    v1::ChannelMove {
        blueprint_id: moved.blueprint_id.to_string(),
        channel: moved.channel.to_string(),
        from_version: text(moved.from),
        to_version: text(moved.to),
        seq: moved.seq,
        revision: moved.revision,
        actor: moved.actor.to_string(),
        reason: moved.reason,
        moved_at: Some(timestamp(moved.moved_at_ms)),
    }
}
