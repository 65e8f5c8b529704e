//! Watchers through kills of intake, cut connections and restarts of Redis.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use tests::blueprint_watcher::{BlueprintWatcher, request};
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::resp_proxy::RespProxy;
use tests::rng::SeededRng;
use tokio::sync::watch;

const N_MOVES: usize = 1_000;
const N_WATCHERS: usize = 12;
const IDS: [&str; 5] = ["team.a", "team.b", "team.c", "lone", "late"];

const CHANNEL: &str = "production";

/// The versions of a watcher, by Blueprint.
type Versions = BTreeMap<String, String>;

/// Watches until it is dropped, on the intake whose address is in `address`.
async fn keep_watching(
    mut address: watch::Receiver<String>,
    patterns: [&'static str; 2],
    channel: &'static str,
    told: Arc<watch::Sender<Versions>>,
) {
    loop {
        let at = address.borrow_and_update().clone();
        let known_versions = told.borrow().clone().into_iter().collect();
        let request = v1::WatchBlueprintsRequest {
            known_versions,
            channel: channel.to_owned(),
            ..request(patterns)
        };
        let client = Client::try_connect(&at).await;
        if let Some(client) = client
            && let Ok(mut watcher) = BlueprintWatcher::try_start(&client, request).await
        {
            loop {
                tokio::select! {
                    event = watcher.try_next() => if event.is_err() { break },
                    _ = address.changed() => break,
                }
                told.send_replace(watcher.have.clone());
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes one random move. An error means that Redis is away; the move may have happened.
async fn make_move(client: &Client, rng: &mut SeededRng, n: usize, written: &mut Vec<v1::Commit>) {
    let id = IDS[rng.roll(IDS.len())].to_owned();
    let mut blueprints = client.blueprints.clone();
    match rng.roll(10) {
        0 => {
            let request = v1::ArchiveBlueprintRequest { blueprint_id: id };
            let _may_fail = blueprints.archive_blueprint(request).await;
        }
        1 | 2 => {
            let request = v1::UnarchiveBlueprintRequest { blueprint_id: id };
            let _may_fail = blueprints.unarchive_blueprint(request).await;
        }
        3 => {
            let request = v1::DeleteChannelRequest {
                blueprint_id: id,
                channel: CHANNEL.to_owned(),
                ..Default::default()
            };
            let _may_fail = blueprints.delete_channel(request).await;
        }
        4..7 => {
            if let Some(commit) = rng.pick(written) {
                let request = v1::SetChannelRequest {
                    blueprint_id: commit.blueprint_id,
                    channel: CHANNEL.to_owned(),
                    version: commit.version,
                    ..Default::default()
                };
                let _may_fail = blueprints.set_channel(request).await;
            }
        }
        _ => {
            let (was, now) = (format!("sample {id}\n"), format!("sample {id} {n}\n"));
            let request = v1::PutBlueprintRequest {
                document: factory::small(&id).replacen(&was, &now, 1),
                ..Default::default()
            };
            if let Ok(answer) = blueprints.put_blueprint(request).await {
                written.extend(answer.into_inner().commit);
            }
        }
    }
}

/// The versions that a consumer of all Blueprints should have: of the heads, and of the channel.
async fn present(client: &Client) -> [Versions; 2] {
    let mut blueprints = client.blueprints.clone();
    let request = v1::ListBlueprintsRequest::default();
    let answer = blueprints.list_blueprints(request).await;
    let listed = answer.expect("ListBlueprints").into_inner().blueprints;
    let [mut heads, mut channels] = [Versions::new(), Versions::new()];
    for blueprint in listed {
        let blueprint_id = blueprint.blueprint_id;
        if !IDS.contains(&blueprint_id.as_str()) {
            continue;
        }
        heads.insert(blueprint_id.clone(), blueprint.head);
        let request = v1::ListChannelsRequest { blueprint_id };
        let answer = blueprints.list_channels(request).await;
        for channel in answer.expect("ListChannels").into_inner().channels {
            channels.insert(channel.blueprint_id, channel.version);
        }
    }
    [heads, channels]
}

#[tokio::test]
async fn every_watcher_ends_on_the_final_versions() {
    let mut redis = RedisServer::start(Aof::Always);
    let proxy = RespProxy::start(redis.port()).await;
    let mut writer = Process::intake(&redis.url(), &[]);
    let client = Client::connect(&writer.address().await).await;
    client.put(factory::small("team.a")).await;
    let mut watched = Process::intake(&proxy.url(), &[]);
    let address = watch::Sender::new(watched.address().await);
    let mut watchers = tokio::task::JoinSet::new();
    let mut told = Vec::new();
    for n in 0..N_WATCHERS {
        let versions = Arc::new(watch::Sender::new(Versions::new()));
        let channel = if n % 3 == 0 { CHANNEL } else { "" };
        told.push((channel, Arc::clone(&versions)));
        let patterns = if n % 2 == 0 {
            ["*", "lone"]
        } else {
            ["team.*", "l*"]
        };
        watchers.spawn(keep_watching(
            address.subscribe(),
            patterns,
            channel,
            versions,
        ));
    }
    let mut rng = SeededRng::new(7);
    let mut written = Vec::new();
    for n in 0..N_MOVES {
        make_move(&client, &mut rng, n, &mut written).await;
        match rng.roll(100) {
            0 => {
                watched.kill();
                watched = Process::intake(&proxy.url(), &[]);
                address.send_replace(watched.address().await);
            }
            1..=4 => proxy.drop_all(),
            5 => {
                redis.stop();
                redis.start_again();
                eventually("Redis serves again", async || {
                    let stats = v1::GetQueueStatsRequest {};
                    let answer = client.intake.clone().get_queue_stats(stats).await;
                    answer.map(drop).map_err(|status| status.to_string())
                })
                .await;
            }
            _ => {}
        }
    }
    let [heads, channels] = present(&client).await;
    assert!(!heads.is_empty() && !channels.is_empty());
    eventually("every watcher has the final versions", async || {
        for (channel, versions) in &told {
            let finally = if channel.is_empty() {
                &heads
            } else {
                &channels
            };
            let mut versions = versions.borrow().clone();
            versions.retain(|id, _| IDS.contains(&id.as_str()));
            if versions != *finally {
                return Err(format!("{versions:#?} instead of {finally:#?}"));
            }
        }
        Ok(())
    })
    .await;
}
