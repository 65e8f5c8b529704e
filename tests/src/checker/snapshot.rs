//! Everything that the programs stored, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1;
use proto::v1::version_selector::Selector;
use redis::aio::MultiplexedConnection;

use crate::client::Client;
use crate::eventually::eventually;
use crate::rig::Rig;

/// One stored version of a Blueprint.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The canonical bytes.
    pub yaml: String,
    /// The document as JSON.
    pub json: serde_json::Value,
}

/// A watcher of Blueprints: what it follows, and what it was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Follower {
    /// Blueprint ids and patterns.
    pub patterns: Vec<String>,
    /// The channel; empty: the head.
    pub channel: String,
    /// The version of each Blueprint, as told.
    pub have: BTreeMap<String, String>,
}

/// Everything that the programs stored.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The ids of the submitted issues. Ids of one Blueprint are in order of acknowledgement.
    pub acknowledged: Vec<String>,
    /// Every issue.
    pub issues: BTreeMap<String, v1::Issue>,
    /// The log, oldest entry first.
    pub entries: Vec<v1::LogEntry>,
    /// The history of every Blueprint, oldest commit first.
    pub histories: BTreeMap<String, Vec<v1::Commit>>,
    /// The archived Blueprints.
    pub archived: BTreeSet<String>,
    /// The channels of every Blueprint.
    pub channels: BTreeMap<String, Vec<v1::Channel>>,
    /// The moves of the channels of every Blueprint, oldest first.
    pub moves: BTreeMap<String, Vec<v1::ChannelMove>>,
    /// The head of every Blueprint. `ListBlueprints` and `GetBlueprint` agree on it.
    pub heads: BTreeMap<String, String>,
    /// Every stored version, by Blueprint and version.
    pub documents: BTreeMap<(String, String), Document>,
    /// Counts that must be 0 at the end, by name.
    pub left: BTreeMap<String, u64>,
    /// The sequence that each watcher received; empty unless a test adds some.
    pub watched: Vec<Vec<v1::Issue>>,
    /// The issues that need a review, with the version of each approval that was sent; empty unless
    /// a test adds some.
    pub reviewed: BTreeMap<String, Vec<String>>,
    /// The watchers of Blueprints; empty unless a test adds some.
    pub followers: Vec<Follower>,
    /// The channels in the answers of `SetChannel` after a move; empty unless a test adds some.
    pub moved: Vec<v1::Channel>,
}

impl Snapshot {
    /// Waits until the queues of a rig are empty, then reads everything.
    ///
    /// # Panics
    /// If the queues do not drain, or something cannot be read.
    pub async fn take(rig: &Rig, acknowledged: &[String]) -> Self {
        let redis = vec![rig.redis.connection().await];
        Self::take_through(&rig.client, redis, acknowledged).await
    }

    /// Waits until the queues are empty, then reads everything over gRPC, and from the Redis behind
    /// it or each master of a cluster.
    ///
    /// # Panics
    /// If the queues do not drain, or something cannot be read.
    pub async fn take_through(
        client: &Client,
        redis: Vec<MultiplexedConnection>,
        acknowledged: &[String],
    ) -> Self {
        eventually("the queues drain", async || {
            let stats = client.stats().await;
            match (stats.pending, stats.in_flight, stats.delayed) {
                (0, 0, 0) => Ok(()),
                counts => Err(format!("(pending, in flight, delayed) = {counts:?}")),
            }
        })
        .await;
        Self::read_through(client, redis, acknowledged).await
    }

    /// Reads everything of a rig in its present state.
    ///
    /// # Panics
    /// If something cannot be read.
    pub async fn read(rig: &Rig, acknowledged: &[String]) -> Self {
        Self::read_through(
            &rig.client,
            vec![rig.redis.connection().await],
            acknowledged,
        )
        .await
    }

    /// Reads everything in its present state over gRPC, and from the Redis behind it or each master
    /// of a cluster.
    ///
    /// # Panics
    /// If something cannot be read.
    pub async fn read_through(
        client: &Client,
        redis: Vec<MultiplexedConnection>,
        acknowledged: &[String],
    ) -> Self {
        let mut snapshot = Self {
            acknowledged: acknowledged.to_vec(),
            issues: client
                .issues()
                .await
                .into_iter()
                .map(|i| (i.issue_id.clone(), i))
                .collect(),
            entries: client.entries().await,
            histories: BTreeMap::new(),
            archived: BTreeSet::new(),
            channels: BTreeMap::new(),
            moves: BTreeMap::new(),
            heads: BTreeMap::new(),
            documents: BTreeMap::new(),
            left: left(client, redis).await,
            watched: Vec::new(),
            reviewed: BTreeMap::new(),
            followers: Vec::new(),
            moved: Vec::new(),
        };
        for listed in client.all_blueprints().await {
            let blueprint_id = listed.blueprint_id;
            if listed.archived {
                snapshot.archived.insert(blueprint_id.clone());
            }
            let channels = channels(client, &blueprint_id).await;
            snapshot.channels.insert(blueprint_id.clone(), channels);
            let moves = moves(client, &blueprint_id).await;
            snapshot.moves.insert(blueprint_id.clone(), moves);
            let head = client
                .head(&blueprint_id)
                .await
                .commit
                .expect("GetBlueprint answers the commit");
            snapshot.heads.insert(blueprint_id.clone(), head.version);
            let history = client.history(&blueprint_id).await;
            for commit in &history {
                let key = (blueprint_id.clone(), commit.version.clone());
                if let std::collections::btree_map::Entry::Vacant(place) =
                    snapshot.documents.entry(key)
                {
                    let fixed = Some(Selector::Fixed(commit.version.clone()));
                    let answer = client.select(&blueprint_id, fixed).await;
                    let answer = answer.unwrap_or_else(|status| {
                        panic!(
                            "{blueprint_id} lists version {} but does not give it: {status}",
                            commit.version
                        )
                    });
                    let json =
                        serde_json::from_str(&answer.document_json).expect("document_json is JSON");
                    place.insert(Document {
                        yaml: answer.document_yaml,
                        json,
                    });
                }
            }
            snapshot.histories.insert(blueprint_id, history);
        }
        snapshot
    }

    /// The counts of a rig's queue, and the length of every list and lease set that must be empty.
    ///
    /// # Panics
    /// If they cannot be read.
    pub async fn left(rig: &Rig) -> BTreeMap<String, u64> {
        left(&rig.client, vec![rig.redis.connection().await]).await
    }
}

/// The channels of a Blueprint, by name.
async fn channels(client: &Client, blueprint_id: &str) -> Vec<v1::Channel> {
    let request = v1::ListChannelsRequest {
        blueprint_id: blueprint_id.to_owned(),
    };
    let answer = client.blueprints.clone().list_channels(request).await;
    answer.expect("ListChannels").into_inner().channels
}

/// The moves of a Blueprint's channels, oldest first.
async fn moves(client: &Client, blueprint_id: &str) -> Vec<v1::ChannelMove> {
    let mut moves = Vec::new();
    let mut request = v1::ListChannelMovesRequest {
        blueprint_id: blueprint_id.to_owned(),
        page_size: 1_000,
        ..Default::default()
    };
    loop {
        let mut blueprints = client.blueprints.clone();
        let page = blueprints.list_channel_moves(request.clone()).await;
        let page = page.expect("ListChannelMoves").into_inner();
        moves.extend(page.moves);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            moves.reverse();
            return moves;
        }
    }
}

async fn left(client: &Client, redis: Vec<MultiplexedConnection>) -> BTreeMap<String, u64> {
    let stats = client.stats().await;
    let mut left = BTreeMap::from([
        ("GetQueueStats.pending".to_owned(), stats.pending),
        ("GetQueueStats.ready".to_owned(), stats.ready),
        ("GetQueueStats.delayed".to_owned(), stats.delayed),
        ("GetQueueStats.in_flight".to_owned(), stats.in_flight),
        ("GetQueueStats.in_review".to_owned(), stats.in_review),
    ]);
    for mut redis in redis {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut redis)
            .await
            .expect("KEYS");
        for key in keys {
            let name = key.rsplit_once("}:").map_or(key.as_str(), |(_, name)| name);
            let command = match name.split(':').next().unwrap_or_default() {
                "pending" | "processing" | "backlog" => "LLEN",
                "leases" | "delayed" | "waiting" | "in_review" | "review_due" => "ZCARD",
                "places" | "steps" | "proposal" => "HLEN",
                _ => continue,
            };
            let count = redis::cmd(command).arg(&key).query_async(&mut redis).await;
            left.insert(
                key.clone(),
                count.unwrap_or_else(|error| panic!("{command} {key}: {error}")),
            );
        }
    }
    left
}
