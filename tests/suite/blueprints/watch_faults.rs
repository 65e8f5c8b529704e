//! `WatchBlueprints` over damaged data, and what many creations and many new watchers cost.

use futures::future::join_all;
use proto::v1::watch_blueprints_response::Event;
use redis::aio::MultiplexedConnection;
use shared::ids::BlueprintId;
use shared::store::redis::keys::Keys;
use tests::blueprint_watcher::{BlueprintWatcher, request};
use tests::factory;
use tests::rig::Rig;

/// Writes a field of a hash without its script.
async fn overwrite(rig: &Rig, key: &str, field: &str, value: &str) {
    let mut connection = rig.redis.connection().await;
    let written: i64 = redis::cmd("HSET")
        .arg(&[key, field, value])
        .query_async(&mut connection)
        .await
        .expect("HSET");
    assert_eq!(written, 0, "{key} has the field {field}");
}

/// The number of lists of all ids so far.
async fn lists(connection: &mut MultiplexedConnection) -> usize {
    let text: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(connection)
        .await
        .expect("INFO");
    let after = text.split_once("cmdstat_zrange:calls=");
    let digits = after.and_then(|(_, after)| after.split(',').next());
    digits.map_or(0, |digits| digits.parse().expect("a number"))
}

/// A version that cannot be read is logged, and not sent. The stream continues with the others.
#[tokio::test]
async fn a_damaged_version_ends_no_stream() {
    let rig = Rig::without_worker().await;
    let client = &rig.client;
    let keys = Keys::of_shard(0);
    let [commit, document] =
        ["x.commit", "x.document"].map(|id| BlueprintId::parse(id).expect("an id"));
    client.put(factory::small(commit.as_str())).await;
    let damaged = client.put(factory::small(document.as_str())).await;
    let whole = client.put(factory::small("x.whole")).await;
    overwrite(&rig, &keys.commits(&commit), "1", "{").await;
    overwrite(
        &rig,
        &keys.documents(&document),
        &damaged.version,
        "id: other\n",
    )
    .await;

    let with_documents = proto::v1::WatchBlueprintsRequest {
        include_documents: true,
        ..request(["x.*"])
    };
    let mut watcher = BlueprintWatcher::start(client, with_documents.clone()).await;
    assert_eq!(watcher.until_synced().await, 1);
    assert_eq!(watcher.have["x.whole"], whole.version);
    // A watcher that needs no document is told of the one whose commit is whole.
    let mut other = BlueprintWatcher::start(client, request(["x.*"])).await;
    assert_eq!(other.until_synced().await, 2);
    assert_eq!(other.have[document.as_str()], damaged.version);
    let log = rig.intake.stderr();
    for id in [&commit, &document] {
        let lines = log.lines().filter(|line| {
            line.contains("this version cannot be read") && line.contains(id.as_str())
        });
        assert_eq!(lines.count(), 1, "{id} in {log}");
    }

    // The next version of each is sent on the same stream.
    for id in [&commit, &document] {
        let (was, now) = (format!("sample {id}\n"), format!("sample {id} repaired\n"));
        let repaired = client
            .put(factory::small(id.as_str()).replacen(&was, &now, 1))
            .await;
        for watcher in [&mut watcher, &mut other] {
            let update = watcher.update().await;
            assert_eq!(update.commit.as_ref(), Some(&repaired));
        }
    }
    // A new stream gets the whole ones.
    let mut again = BlueprintWatcher::start(client, with_documents).await;
    assert_eq!(again.until_synced().await, 3);
}

/// Events name new Blueprints, so that the ids are not listed for each of them.
#[tokio::test]
async fn creations_are_not_listed_one_by_one() {
    const N_CREATED: usize = 150;
    let rig = Rig::without_worker().await;
    let mut watcher = BlueprintWatcher::start(&rig.client, request(["team.*"])).await;
    watcher.until_synced().await;
    let mut connection = rig.redis.connection().await;
    let before = lists(&mut connection).await;
    for n in 0..N_CREATED {
        // Every second one is not watched.
        let team = ["team", "other"][n % 2];
        rig.client.put(factory::small(&format!("{team}.{n}"))).await;
    }
    while watcher.have.len() < N_CREATED / 2 {
        assert!(matches!(watcher.next().await, Event::Update(_)));
    }
    // One for the unwatched ones with each poll, every few seconds.
    let during = lists(&mut connection).await - before;
    assert!(
        during < N_CREATED / 5,
        "{during} lists for {N_CREATED} creations"
    );
}

/// Many watchers come back at once, for example after a restart of intake.
#[tokio::test]
async fn watchers_that_come_at_once_share_a_list() {
    const N_WATCHERS: usize = 60;
    const N_BLUEPRINTS: usize = 120;
    let mut rig = Rig::without_worker().await;
    for n in 0..N_BLUEPRINTS {
        rig.client.put(factory::small(&format!("team.{n}"))).await;
    }
    rig.restart_intake().await;
    let mut connection = rig.redis.connection().await;
    let before = lists(&mut connection).await;
    let opening = (0..N_WATCHERS).map(|n| {
        let pattern = ["team.?*", "team.*", "t*"][n % 3];
        BlueprintWatcher::start(&rig.client, request([pattern]))
    });
    for mut watcher in join_all(opening).await {
        watcher.until_synced().await;
        assert_eq!(watcher.have.len(), N_BLUEPRINTS);
    }
    let during = lists(&mut connection).await - before;
    assert!(
        during < N_WATCHERS / 4,
        "{during} lists for {N_WATCHERS} watchers"
    );
}
