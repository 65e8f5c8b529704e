//! `WatchBlueprints`: consumers hear of each version that they should run.

use std::collections::{BTreeMap, HashMap};

use proto::v1;
use proto::v1::watch_blueprints_response::Event;
use shared::ids::{BlueprintId, Version};
use shared::store::redis::keys::Keys;
use tests::blueprint_watcher::{BlueprintWatcher, request};
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

/// Another version of the small Blueprint `id`.
fn version(id: &str, n: usize) -> String {
    let (was, now) = (format!("sample {id}\n"), format!("sample {id} {n}\n"));
    factory::small(id).replacen(&was, &now, 1)
}

async fn put(client: &Client, id: &str, n: usize) -> String {
    client.put(version(id, n)).await.version
}

async fn set_archived(client: &Client, id: &str, is_archived: bool) {
    let (mut blueprints, blueprint_id) = (client.blueprints.clone(), id.to_owned());
    let answer = if is_archived {
        let request = v1::ArchiveBlueprintRequest { blueprint_id };
        blueprints.archive_blueprint(request).await.map(drop)
    } else {
        let request = v1::UnarchiveBlueprintRequest { blueprint_id };
        blueprints.unarchive_blueprint(request).await.map(drop)
    };
    answer.expect("an answer");
}

/// Writes a channel without its script, so nothing is published.
async fn write_channel(rig: &Rig, id: &str, commit: &v1::Commit, revision: u64) {
    let key = Keys::of_shard(0).channels(&BlueprintId::parse(id).expect("an id"));
    let channel = serde_json::json!({
        "version": commit.version, "seq": commit.seq, "label": "", "revision": revision,
        "at": 0, "by": "", "reason": "",
    });
    let mut connection = rig.redis.connection().await;
    let _: i64 = redis::cmd("HSET")
        .arg(&[&key, "production", &channel.to_string()])
        .query_async(&mut connection)
        .await
        .expect("HSET");
}

#[tokio::test]
async fn the_present_state_comes_first_and_then_each_move() {
    let rig = Rig::without_worker().await;
    let client = &rig.client;
    let team = put(client, "team.a", 1).await;
    put(client, "other", 1).await;
    let mut watcher =
        BlueprintWatcher::start(client, request(["team.*", "team.a", "?ingle"])).await;
    assert_eq!(watcher.until_synced().await, 1);
    assert_eq!(watcher.have, BTreeMap::from([("team.a".to_owned(), team)]));

    put(client, "other", 2).await;
    // A new version, and Blueprints that did not exist at the start.
    for (id, n) in [("team.a", 2), ("team.b", 1), ("single", 1)] {
        let written = put(client, id, n).await;
        let update = watcher.update().await;
        assert_eq!(update.channel_revision, 0);
        assert_eq!(update.document_yaml, "", "documents were not requested");
        let commit = update.commit.expect("a commit");
        assert_eq!(
            (commit.blueprint_id.as_str(), commit.version),
            (id, written)
        );
    }
    set_archived(client, "team.b", true).await;
    let reason = watcher.removal("team.b").await;
    assert_eq!(reason, v1::RemovalReason::Archived);
    set_archived(client, "team.b", false).await;
    let commit = watcher.update().await.commit.expect("a commit");
    assert_eq!((commit.blueprint_id.as_str(), commit.seq), ("team.b", 1));
    // A watch without news is kept open.
    assert!(matches!(watcher.next().await, Event::Heartbeat(_)));
}

#[tokio::test]
async fn what_the_consumer_has_is_not_sent_again() {
    let rig = Rig::without_worker().await;
    let client = &rig.client;
    let mut known = HashMap::new();
    for id in ["same", "older", "archived"] {
        known.insert(id.to_owned(), put(client, id, 1).await);
    }
    let unknown = put(client, "unknown", 1).await;
    let newer = put(client, "older", 2).await;
    set_archived(client, "archived", true).await;
    known.insert("missing".to_owned(), known["same"].clone());
    known.insert("elsewhere".to_owned(), known["same"].clone());
    let request = v1::WatchBlueprintsRequest {
        known_versions: known,
        ..request(["same", "older", "archived", "unk*", "miss*", "never*"])
    };
    let mut watcher = BlueprintWatcher::start(client, request).await;
    let mut told = BTreeMap::new();
    loop {
        let (id, what) = match watcher.next().await {
            Event::Update(update) => {
                let commit = update.commit.expect("a commit");
                (commit.blueprint_id, commit.version)
            }
            Event::Removal(removal) => {
                let reason = removal.reason().as_str_name().to_owned();
                (removal.blueprint_id, reason)
            }
            Event::Synced(_) => break,
            Event::Heartbeat(_) => continue,
        };
        assert!(told.insert(id, what).is_none(), "each is told once");
    }
    let expected = [
        ("archived", "REMOVAL_REASON_ARCHIVED"),
        ("missing", "REMOVAL_REASON_NOT_FOUND"),
        ("older", &newer),
        ("unknown", &unknown),
    ];
    let expected = expected.map(|(id, what)| (id.to_owned(), what.to_owned()));
    assert_eq!(told, BTreeMap::from(expected));
    // A pattern without a match stays in effect.
    put(client, "never.say", 1).await;
    assert_eq!(watcher.update().await.commit.expect("a commit").seq, 1);
}

#[tokio::test]
async fn documents_have_the_version_and_are_sent_on_request() {
    let rig = Rig::without_worker().await;
    let text = factory::hundred_kb("large");
    rig.client.put(text).await;
    let request = v1::WatchBlueprintsRequest {
        include_documents: true,
        ..request(["large"])
    };
    let mut watchers = Vec::new();
    for _ in 0..3 {
        watchers.push(BlueprintWatcher::start(&rig.client, request.clone()).await);
    }
    let head = rig.client.head("large").await;
    for watcher in &mut watchers {
        let update = watcher.update().await;
        let commit = update.commit.expect("a commit");
        assert_eq!(Version::of(&update.document_yaml).as_str(), commit.version);
        assert_eq!(update.document_json, head.document_json);
    }
}

#[tokio::test]
async fn a_channel_is_followed_and_moves_without_an_event_are_found() {
    let rig = Rig::without_worker().await;
    let client = &rig.client;
    let first = client.put(version("a", 1)).await;
    let request = v1::WatchBlueprintsRequest {
        channel: "production".to_owned(),
        ..request(["*"])
    };
    let mut watcher = BlueprintWatcher::start(client, request).await;
    assert_eq!(watcher.until_synced().await, 0, "nothing is in the channel");
    write_channel(&rig, "a", &first, 1).await;
    let update = watcher.update().await;
    assert_eq!(update.channel_revision, 1);
    assert_eq!(update.commit.as_ref(), Some(&first));
    // The head moves, and the channel does not.
    let second = client.put(version("a", 2)).await;
    write_channel(&rig, "a", &second, 2).await;
    let update = watcher.update().await;
    assert_eq!((update.channel_revision, update.commit), (2, Some(second)));
    let key = Keys::of_shard(0).channels(&BlueprintId::parse("a").expect("an id"));
    let mut connection = rig.redis.connection().await;
    let _: i64 = redis::cmd("DEL")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .expect("DEL");
    assert_eq!(watcher.removal("a").await, v1::RemovalReason::NotInChannel);
}

#[tokio::test]
async fn invalid_requests_name_the_field() {
    let rig = Rig::without_worker().await;
    let many = vec!["a".to_owned(); 65];
    let known = |id: &str, version: &str| HashMap::from([(id.to_owned(), version.to_owned())]);
    let digits = "0".repeat(64);
    let none = v1::WatchBlueprintsRequest::default();
    let good = request(["a"]);
    let cases = [
        ("patterns", none),
        (
            "patterns",
            v1::WatchBlueprintsRequest {
                patterns: many,
                ..Default::default()
            },
        ),
        ("patterns[1]", request(["a", "a/b"])),
        (
            "channel",
            v1::WatchBlueprintsRequest {
                channel: "head".to_owned(),
                ..good.clone()
            },
        ),
        (
            "known_versions",
            v1::WatchBlueprintsRequest {
                known_versions: known("a", "1"),
                ..good.clone()
            },
        ),
        (
            "known_versions",
            v1::WatchBlueprintsRequest {
                known_versions: known("a/b", &digits),
                ..good.clone()
            },
        ),
        (
            "consumer_id",
            v1::WatchBlueprintsRequest {
                consumer_id: "a b".to_owned(),
                ..good.clone()
            },
        ),
    ];
    for (field, request) in cases {
        let refused = BlueprintWatcher::try_start(&rig.client, request).await;
        let status = refused.expect_err(field);
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        let details = status.get_details_bad_request().expect("the fields");
        let fields: Vec<&str> = details
            .field_violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(fields, [field], "{status}");
    }
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_version_and_not_every_one() {
    const N_MOVES: usize = 60;
    let rig = Rig::without_worker().await;
    let client = &rig.client;
    let large = factory::hundred_kb("busy");
    client.put(large.clone()).await;
    client.put(version("quiet", 1)).await;
    let request = v1::WatchBlueprintsRequest {
        include_documents: true,
        ..request(["busy", "quiet"])
    };
    // Its own connection, so that it delays nobody else.
    let slow = Client::connect(&rig.address).await;
    let mut slow = BlueprintWatcher::start(&slow, request.clone()).await;
    let mut newest = String::new();
    for n in 0..N_MOVES {
        let text = large.replacen("sample busy\n", &format!("sample busy {n}\n"), 1);
        newest = client.put(text).await.version;
    }
    let mut fast = BlueprintWatcher::start(client, request).await;
    fast.until_synced().await;
    let mut n_updates = 0;
    while slow.have.get("busy") != Some(&newest) || !slow.have.contains_key("quiet") {
        if let Event::Update(_) = slow.next().await {
            n_updates += 1;
        }
    }
    // Each takes more than the flow control window of a stream.
    assert!(n_updates < N_MOVES / 4, "{n_updates} of {N_MOVES} moves");
}

#[tokio::test]
async fn one_read_serves_all_watchers_and_idle_ones_cost_little() {
    const N_WATCHERS: usize = 50;
    let rig = Rig::without_worker().await;
    put(&rig.client, "a", 1).await;
    let mut watchers = Vec::new();
    for n in 0..N_WATCHERS {
        let patterns = if n % 2 == 0 { ["a"] } else { ["*"] };
        let mut watcher = BlueprintWatcher::start(&rig.client, request(patterns)).await;
        watcher.until_synced().await;
        watchers.push(watcher);
    }
    let mut connection = rig.redis.connection().await;
    let before = calls_of_reads(&mut connection).await;
    let newest = put(&rig.client, "a", 2).await;
    for watcher in &mut watchers {
        while watcher.have.get("a") != Some(&newest) {
            watcher.next().await;
        }
    }
    let during = calls_of_reads(&mut connection).await - before;
    // The reads of the move and of its commit, and those of a few polls.
    assert!(during < N_WATCHERS / 2, "{during} reads for one move");
    let clients: String = redis::cmd("CLIENT")
        .arg(&["LIST", "TYPE", "pubsub"])
        .query_async(&mut connection)
        .await
        .expect("CLIENT LIST");
    assert_eq!(clients.lines().count(), 1, "one subscription: {clients}");
}

/// The number of reads of hashes so far.
async fn calls_of_reads(connection: &mut redis::aio::MultiplexedConnection) -> usize {
    let text: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(connection)
        .await
        .expect("INFO");
    let calls = ["hmget", "hget", "hgetall"].map(|command| {
        let name = format!("cmdstat_{command}:calls=");
        let after = text.split_once(&name).map(|(_, after)| after);
        let digits = after.and_then(|after| after.split(',').next());
        digits.map_or(0, |digits| digits.parse().expect("a number"))
    });
    calls.iter().sum()
}

#[tokio::test]
async fn a_watch_ends_at_its_limit_and_counts_as_one() {
    let env = [
        ("DRAFTSMAN_MAX_WATCHES", "1"),
        ("DRAFTSMAN_MAX_WATCH_SECS", "2"),
    ];
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&env).await;
    let mut watcher = BlueprintWatcher::start(&rig.client, request(["*"])).await;
    let refused = BlueprintWatcher::try_start(&rig.client, request(["*"])).await;
    let refused = refused.expect_err("one is open");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    watcher.until_synced().await;
    let ended = loop {
        if let Err(status) = watcher.try_next().await {
            break status;
        }
    };
    let info = ended.get_details_error_info().expect("details");
    assert_eq!(info.reason, "WATCH_OVER");
    drop(watcher);
    // The place is free again.
    eventually("another watch is accepted", async || {
        let next = BlueprintWatcher::try_start(&rig.client, request(["*"])).await;
        next.map(drop).map_err(|status| status.to_string())
    })
    .await;
}
