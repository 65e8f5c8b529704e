//! A channel: a named pointer from a Blueprint to one of its versions, and its moves.

use crate::domain::actor::Actor;
use crate::ids::{BlueprintId, ChannelName, Version};

/// The maximum number of channels of one Blueprint.
pub const MAX_CHANNELS: usize = 32;

/// The maximum length of the reason of a move, in bytes. The last reason of each channel is read
/// with every read of its Blueprint for watchers.
pub const MAX_REASON_BYTES: usize = 1_024;

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The Blueprint.
    pub blueprint_id: BlueprintId,
    /// The name, unique within the Blueprint.
    pub name: ChannelName,
    /// The version that it points to.
    pub version: Version,
    /// The number of the commit of that version: the newest one at the time of the move.
    pub seq: u64,
    /// The `metadata.version_label` of the version; empty if it has none.
    pub version_label: String,
    /// A counter that rises by one with every move, also across a deletion.
    pub revision: u64,
    /// The time of the last move, Redis time.
    pub moved_at_ms: u64,
    /// The actor of the last move.
    pub moved_by: Actor,
    /// The reason of the last move, in words; may be empty.
    pub reason: String,
}

/// A move of a channel: its creation, a change of its version, or its deletion. Immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelMove {
    /// The Blueprint.
    pub blueprint_id: BlueprintId,
    /// The channel.
    pub channel: ChannelName,
    /// The version before; `None` if the move created the channel.
    pub from: Option<Version>,
    /// The version after; `None` if the move deleted the channel.
    pub to: Option<Version>,
    /// The number of the commit of `to`; 0 without it.
    pub seq: u64,
    /// The revision of the channel after the move.
    pub revision: u64,
    /// The actor of the move.
    pub actor: Actor,
    /// The reason, in words; may be empty.
    pub reason: String,
    /// The time of the move, Redis time.
    pub moved_at_ms: u64,
}

impl ChannelMove {
    /// Returns the channel after this move; `None` if the move deleted it. `version_label` is that
    /// of the version.
    pub fn channel(&self, version_label: &str) -> Option<Channel> {
        Some(Channel {
            blueprint_id: self.blueprint_id.clone(),
            name: self.channel.clone(),
            version: self.to.clone()?,
            seq: self.seq,
            version_label: version_label.to_owned(),
            revision: self.revision,
            moved_at_ms: self.moved_at_ms,
            moved_by: self.actor.clone(),
            reason: self.reason.clone(),
        })
    }
}
