//! Creates and moves channels.
//!
//! A setting can follow a channel of its orbit. Then a move of that channel is a write of an orbit
//! in use, with the same two steps (see [`crate::store::blueprints::put_orbit`]): the writer reads
//! the users ([`Store::channel_use`]) and checks the version with each. It then moves the channel
//! with that reading ([`Store::set_checked_channel`]).

use crate::domain::actor::Actor;
use crate::domain::channel::{Channel, MAX_CHANNELS};
use crate::domain::version_selector::VersionSelector;
use crate::ids::{BlueprintId, ChannelName, Version};
use crate::store::blueprints::put_orbit::OrbitUse;
use crate::store::codec;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::store::Store;

/// A requested move.
#[derive(Debug, Clone, Copy)]
pub struct SetChannel<'a> {
    /// The Blueprint.
    pub blueprint_id: &'a BlueprintId,
    /// The channel to create or to move.
    pub channel: &'a ChannelName,
    /// The version to point to.
    pub version: &'a Version,
    /// The required revision of the channel: 0 if it must not exist, `None` for any.
    pub expected_revision: Option<u64>,
    /// The actor of the move.
    pub actor: &'a Actor,
    /// The reason of the move, at most 64 KiB.
    pub reason: &'a str,
}

/// The outcome of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetChannelOutcome {
    /// This call moved the channel.
    Moved(Channel),
    /// The channel already points to the version.
    Unchanged(Channel),
    /// The Blueprint does not exist.
    UnknownBlueprint,
    /// The Blueprint is archived.
    Archived,
    /// The revision differs from the expected one.
    ChannelMoved {
        /// The actual revision; 0 if the channel does not exist.
        actual: u64,
    },
    /// The history of the Blueprint does not have the version.
    UnknownVersion,
    /// The Blueprint has the maximum number of channels.
    TooManyChannels,
}

impl Store {
    /// Returns the settings that follow this channel of their orbit.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or a stored form is damaged.
    pub async fn channel_use(
        &self,
        id: &BlueprintId,
        channel: &ChannelName,
    ) -> Result<OrbitUse, StoreError> {
        let (counter, orbits) = self.of(id).orbits_in_use().await?;
        let mut settings = Vec::new();
        let entry = format!("{id} {channel} pinned");
        if orbits.contains(&entry) {
            let selector = VersionSelector::Channel(channel.clone());
            settings = self.home().list_settings().await?;
            settings.retain(|setting| setting.blueprint_id == *id && setting.selector == selector);
        }
        Ok(OrbitUse { counter, settings })
    }

    /// Creates or moves a channel after a check of its use. Returns `None` without a write if a
    /// setting follows it and any setting was written in the meantime.
    ///
    /// # Errors
    /// [`StoreError`]. The channel may be moved nevertheless. A repeated call then returns
    /// [`SetChannelOutcome::Unchanged`], or [`SetChannelOutcome::ChannelMoved`] if it expects a
    /// revision.
    pub async fn set_checked_channel(
        &self,
        set: &SetChannel<'_>,
        at: &OrbitUse,
    ) -> Result<Option<SetChannelOutcome>, StoreError> {
        let (id, shard) = (set.blueprint_id, self.of(set.blueprint_id));
        let keys = [
            shard.keys.blueprint(id),
            shard.keys.newest(id),
            shard.keys.channels(id),
            shard.keys.channel_revisions(id),
            shard.keys.channel_moves(id),
            shard.keys.settings_counter(),
            shard.keys.orbits(),
        ];
        // The label is part of the content, so that it cannot change after this call.
        let commit = shard.newest_commit_of(id, set.version).await?;
        let label = commit.map(|commit| commit.version_label);
        let label = label.unwrap_or_default();
        let channel = codec::channel_draft(&label, set.actor, set.reason);
        let moved = codec::move_draft(set.channel, set.actor, set.reason);
        let expected = set.expected_revision.map(|revision| revision.to_string());
        let mut reply = shard
            .handle
            .script(&script::SET_CHANNEL, &keys, |call| {
                call.arg(id.as_str()).arg(set.channel.as_str());
                call.arg(set.version.as_str());
                call.arg(expected.as_deref().unwrap_or_default());
                call.arg(&channel).arg(&moved).arg(MAX_CHANNELS);
                call.arg(at.counter);
            })
            .await?;
        let outcome = match reply.outcome() {
            "orbit_in_use" => return Ok(None),
            "moved" => {
                let stored: String = reply.take()?;
                SetChannelOutcome::Moved(codec::channel(id, set.channel, &stored)?)
            }
            "unchanged" => {
                let stored: String = reply.take()?;
                SetChannelOutcome::Unchanged(codec::channel(id, set.channel, &stored)?)
            }
            "unknown" => SetChannelOutcome::UnknownBlueprint,
            "archived" => SetChannelOutcome::Archived,
            "channel_moved" => SetChannelOutcome::ChannelMoved {
                actual: reply.take()?,
            },
            "unknown_version" => SetChannelOutcome::UnknownVersion,
            "too_many" => SetChannelOutcome::TooManyChannels,
            _ => return Err(reply.unknown()),
        };
        // Unchanged can be the repetition of a call that died before it notified the other shards.
        use SetChannelOutcome::{Moved, Unchanged};
        if matches!(outcome, Moved(_) | Unchanged(_)) {
            self.tell_of_orbit(shard, id).await?;
        }
        Ok(Some(outcome))
    }
}
