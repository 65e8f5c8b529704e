//! Reads the heads and channels of many Blueprints at once, for their watchers.

use std::collections::{BTreeMap, HashMap};

use redis::{FromRedisValue, Value, cmd};
use serde::Deserialize;

use crate::ids::{BlueprintId, ChannelName, Version};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

/// What consumers of a Blueprint should run. The default is that of a missing Blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heads {
    /// The head; `None` if the Blueprint does not exist.
    pub head: Option<HeadPointer>,
    /// True if the Blueprint is archived.
    pub is_archived: bool,
    /// The channels.
    pub channels: BTreeMap<ChannelName, HeadPointer>,
}

/// A commit that a head or a channel names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadPointer {
    /// The number of the commit.
    pub seq: u64,
    /// Its version.
    pub version: Version,
    /// The revision of the channel; 0 for a head.
    pub revision: u64,
}

/// The heads of some Blueprints of a shard.
#[derive(Debug)]
pub struct HeadsPage {
    /// The number of Blueprints of the shard, including archived ones. It never falls.
    pub n_blueprints: usize,
    /// The heads, in the order of the request. An error concerns only its Blueprint.
    pub heads: Vec<Result<Heads, StoreError>>,
}

/// The stored form of a channel. Other fields are for people.
#[derive(Deserialize)]
struct StoredChannel {
    version: String,
    seq: u64,
    revision: u64,
}

impl Shard {
    /// Reads the heads of these Blueprints in one round trip.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is unavailable.
    pub async fn heads(&self, ids: &[BlueprintId]) -> Result<HeadsPage, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZCARD").arg(self.keys.blueprints());
        for id in ids {
            let head = pipeline.cmd("HMGET").arg(self.keys.blueprint(id));
            head.arg(&["seq", "version", "archived"]);
            pipeline.cmd("HGETALL").arg(self.keys.channels(id));
        }
        let replies: Vec<Value> = self.handle.pipeline("heads", &pipeline).await?;
        let mut replies = replies.into_iter();
        let n_blueprints = parse(replies.next().unwrap_or(Value::Nil))?;
        let heads = ids.iter().map(|id| {
            let mut next = || replies.next().unwrap_or(Value::Nil);
            read_heads(id, next(), next())
        });
        Ok(HeadsPage {
            n_blueprints,
            heads: heads.collect(),
        })
    }

    /// Returns the ids of all Blueprints of the shard, including archived ones.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is unavailable.
    pub async fn blueprint_ids(&self) -> Result<Vec<BlueprintId>, StoreError> {
        let mut all = cmd("ZRANGE");
        all.arg(self.keys.blueprints()).arg(&["0", "-1"]);
        let ids: Vec<String> = self.handle.command("blueprint ids", &all).await?;
        Ok(ids
            .iter()
            .filter_map(|id| BlueprintId::parse(id).ok())
            .collect())
    }
}

fn parse<T: FromRedisValue>(reply: Value) -> Result<T, StoreError> {
    T::from_redis_value(reply).map_err(|error| StoreError::Redis {
        call: "heads",
        source: error.into(),
    })
}

fn read_heads(id: &BlueprintId, head: Value, channels: Value) -> Result<Heads, StoreError> {
    let damaged = |what: &'static str| StoreError::Damaged {
        what,
        id: id.to_string(),
        problem: "its number or version is invalid".to_owned(),
    };
    let (seq, version, archived): (Option<u64>, Option<String>, Option<String>) = parse(head)?;
    let head = match (seq, version) {
        (None, None) => return Ok(Heads::default()),
        (Some(seq), Some(version)) => HeadPointer {
            seq,
            version: Version::parse(&version).map_err(|_| damaged("head"))?,
            revision: 0,
        },
        _ => return Err(damaged("head")),
    };
    let stored: HashMap<String, String> = parse(channels)?;
    let channels = stored.iter().map(|(name, text)| {
        let stored: StoredChannel = serde_json::from_str(text).ok()?;
        let pointer = HeadPointer {
            seq: stored.seq,
            version: Version::parse(&stored.version).ok()?,
            revision: stored.revision,
        };
        Some((ChannelName::parse(name).ok()?, pointer))
    });
    let channels: Option<_> = channels.collect();
    Ok(Heads {
        head: Some(head),
        is_archived: archived.as_deref() == Some("1"),
        channels: channels.ok_or_else(|| damaged("channels"))?,
    })
}
