//! Deletes channels.

use crate::domain::actor::Actor;
use crate::ids::{BlueprintId, ChannelName};
use crate::store::codec;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteChannelOutcome {
    /// The channel is deleted.
    Deleted,
    /// The Blueprint does not exist.
    UnknownBlueprint,
    /// The Blueprint is archived.
    Archived,
    /// The channel does not exist.
    UnknownChannel,
    /// The revision differs from the expected one.
    ChannelMoved {
        /// The actual revision.
        actual: u64,
    },
    /// These settings follow it.
    InUse(Vec<String>),
}

impl Shard {
    /// Deletes a channel. Its revision and its moves are kept.
    ///
    /// # Errors
    /// [`StoreError`]. The channel may be deleted nevertheless.
    pub async fn delete_channel(
        &self,
        id: &BlueprintId,
        channel: &ChannelName,
        expected_revision: Option<u64>,
        actor: &Actor,
    ) -> Result<DeleteChannelOutcome, StoreError> {
        let keys = [
            self.keys.blueprint(id),
            self.keys.channels(id),
            self.keys.channel_revisions(id),
            self.keys.channel_moves(id),
            self.keys.orbits(),
        ];
        let moved = codec::move_draft(channel, actor, "");
        let expected = expected_revision.map(|revision| revision.to_string());
        let mut reply = self
            .handle
            .script(&script::DELETE_CHANNEL, &keys, |call| {
                call.arg(id.as_str()).arg(channel.as_str());
                call.arg(expected.as_deref().unwrap_or_default());
                call.arg(&moved);
            })
            .await?;
        match reply.outcome() {
            "deleted" => Ok(DeleteChannelOutcome::Deleted),
            "unknown" => Ok(DeleteChannelOutcome::UnknownBlueprint),
            "archived" => Ok(DeleteChannelOutcome::Archived),
            "unknown_channel" => Ok(DeleteChannelOutcome::UnknownChannel),
            "channel_moved" => Ok(DeleteChannelOutcome::ChannelMoved {
                actual: reply.take()?,
            }),
            "in_use" => Ok(DeleteChannelOutcome::InUse(reply.take()?)),
            _ => Err(reply.unknown()),
        }
    }
}
