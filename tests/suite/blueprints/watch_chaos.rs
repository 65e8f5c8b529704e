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

/// The versions of a watcher, by Blueprint.
type Versions = BTreeMap<String, String>;

/// Watches until it is dropped, on the intake whose address is in `address`.
async fn keep_watching(
    mut address: watch::Receiver<String>,
    patterns: [&'static str; 2],
    told: Arc<watch::Sender<Versions>>,
) {
    loop {
        let at = address.borrow_and_update().clone();
        let known_versions = told.borrow().clone().into_iter().collect();
        let request = v1::WatchBlueprintsRequest {
            known_versions,
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
async fn make_move(client: &Client, rng: &mut SeededRng, n: usize) {
    let id = IDS[rng.roll(IDS.len())].to_owned();
    let mut blueprints = client.blueprints.clone();
    let _may_fail = match rng.roll(10) {
        0 => {
            let request = v1::ArchiveBlueprintRequest { blueprint_id: id };
            blueprints.archive_blueprint(request).await.map(drop)
        }
        1 | 2 => {
            let request = v1::UnarchiveBlueprintRequest { blueprint_id: id };
            blueprints.unarchive_blueprint(request).await.map(drop)
        }
        _ => {
            let (was, now) = (format!("sample {id}\n"), format!("sample {id} {n}\n"));
            let request = v1::PutBlueprintRequest {
                document: factory::small(&id).replacen(&was, &now, 1),
                ..Default::default()
            };
            blueprints.put_blueprint(request).await.map(drop)
        }
    };
}

/// The versions that a consumer of all Blueprints should have.
async fn present(client: &Client) -> Versions {
    let request = v1::ListBlueprintsRequest::default();
    let answer = client.blueprints.clone().list_blueprints(request).await;
    let blueprints = answer.expect("ListBlueprints").into_inner().blueprints;
    let versions = blueprints.into_iter().map(|b| (b.blueprint_id, b.head));
    versions
        .filter(|(id, _)| IDS.contains(&id.as_str()))
        .collect()
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
        told.push(Arc::clone(&versions));
        let patterns = if n % 2 == 0 {
            ["*", "lone"]
        } else {
            ["team.*", "l*"]
        };
        watchers.spawn(keep_watching(address.subscribe(), patterns, versions));
    }
    let mut rng = SeededRng::new(7);
    for n in 0..N_MOVES {
        make_move(&client, &mut rng, n).await;
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
    let finally = present(&client).await;
    assert!(!finally.is_empty());
    eventually("every watcher has the final versions", async || {
        for versions in &told {
            let mut versions = versions.borrow().clone();
            versions.retain(|id, _| IDS.contains(&id.as_str()));
            if versions != finally {
                return Err(format!("{versions:#?} instead of {finally:#?}"));
            }
        }
        Ok(())
    })
    .await;
}
