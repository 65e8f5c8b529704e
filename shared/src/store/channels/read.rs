//! Reads channels and their moves.

use std::collections::HashMap;

use redis::cmd;

use crate::domain::channel::{Channel, ChannelMove};
use crate::ids::{BlueprintId, ChannelName};
use crate::store::codec;
use crate::store::codec::paging::{Page, PageRequest};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

/// The number of moves in one call of a list.
const READ_PER_CALL: u64 = 100;
/// The maximum number of moves that are read for one page. If more belong to other channels, the
/// page ends early.
const READ_PER_PAGE: u64 = 1_000;

impl Shard {
    /// Returns a channel; `None` if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn channel(
        &self,
        id: &BlueprintId,
        name: &ChannelName,
    ) -> Result<Option<Channel>, StoreError> {
        let mut read = cmd("HGET");
        read.arg(self.keys.channels(id)).arg(name.as_str());
        let found: Option<String> = self.handle.command("channel", &read).await?;
        found
            .map(|text| codec::channel(id, name, &text))
            .transpose()
    }

    /// Returns the channels of a Blueprint, sorted by name; `None` if the Blueprint does not exist.
    ///
    /// # Errors
    /// As [`Shard::channel`].
    pub async fn list_channels(
        &self,
        id: &BlueprintId,
    ) -> Result<Option<Vec<Channel>>, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EXISTS").arg(self.keys.blueprint(id));
        pipeline.cmd("HGETALL").arg(self.keys.channels(id));
        let (exists, stored): (bool, HashMap<String, String>) =
            self.handle.pipeline("channels", &pipeline).await?;
        if !exists {
            return Ok(None);
        }
        let mut channels: Vec<Channel> = stored
            .iter()
            .map(|(name, text)| {
                let name = ChannelName::parse(name)
                    .map_err(|error| codec::damaged("channel", id.as_str(), error))?;
                codec::channel(id, &name, text)
            })
            .collect::<Result<_, _>>()?;
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(channels))
    }

    /// Returns the moves of a Blueprint's channels, or of one channel, newest first; `None` if the
    /// Blueprint does not exist. A page can be incomplete and still have a next one.
    ///
    /// # Errors
    /// [`StoreError::Cursor`] for an invalid cursor; otherwise as [`Shard::channel`].
    pub async fn list_channel_moves(
        &self,
        id: &BlueprintId,
        channel: Option<&ChannelName>,
        page: &PageRequest,
    ) -> Result<Option<Page<ChannelMove>>, StoreError> {
        let Some(all) = self.n_channel_moves(id).await? else {
            return Ok(None);
        };
        // A cursor is the number of moves that are older than the page's last one.
        let mut below = match &page.after {
            None => all,
            Some(cursor) => {
                let parsed = cursor.parse::<u64>();
                parsed
                    .map_err(|_| StoreError::Cursor(cursor.clone()))?
                    .min(all)
            }
        };
        let oldest = below.saturating_sub(READ_PER_PAGE);
        let per_call = match channel {
            Some(_) => READ_PER_CALL,
            None => READ_PER_CALL.min(page.size as u64),
        };
        let mut items = Vec::new();
        while below > oldest && items.len() < page.size {
            let from = below.saturating_sub(per_call).max(oldest);
            for moved in self.channel_moves(id, from, below).await?.into_iter().rev() {
                if items.len() == page.size {
                    break;
                }
                below -= 1;
                if channel.is_none_or(|name| *name == moved.channel) {
                    items.push(moved);
                }
            }
        }
        Ok(Some(Page {
            items,
            next: (below > 0).then(|| below.to_string()),
        }))
    }

    /// Returns the number of moves of a Blueprint's channels; `None` if the Blueprint does not
    /// exist.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn n_channel_moves(&self, id: &BlueprintId) -> Result<Option<u64>, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EXISTS").arg(self.keys.blueprint(id));
        pipeline.cmd("LLEN").arg(self.keys.channel_moves(id));
        let (exists, n): (bool, u64) = self.handle.pipeline("channel moves", &pipeline).await?;
        Ok(exists.then_some(n))
    }

    /// Returns the moves with the numbers from `from`, counted from 0, to before `to`, oldest
    /// first. Precondition: `from < to`.
    ///
    /// # Errors
    /// As [`Shard::channel`].
    pub async fn channel_moves(
        &self,
        id: &BlueprintId,
        from: u64,
        to: u64,
    ) -> Result<Vec<ChannelMove>, StoreError> {
        let mut read = cmd("LRANGE");
        read.arg(self.keys.channel_moves(id)).arg(from).arg(to - 1);
        let moves: Vec<String> = self.handle.command("channel moves", &read).await?;
        let moves = moves.iter();
        moves.map(|text| codec::channel_move(id, text)).collect()
    }
}
