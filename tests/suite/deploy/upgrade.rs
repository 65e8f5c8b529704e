//! Stores that other programs wrote: of an earlier release, of a newer one, or restored from a
//! backup.

use proto::v1;
use proto::v1::IssueState;
use proto::v1::version_selector::Selector;
use shared::store::redis::keys::Keys;
use tests::checker::{Attempts, assert_sound};
use tests::client::Client;
use tests::factory;
use tests::programs::{Process, workspace_dir};
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;

/// The accepted issues of the fixture, in order for each Blueprint.
const ACCEPTED: [&str; 10] = [
    "alpha-one",
    "alpha-two",
    "alpha-three",
    "alpha-denied",
    "beta-held",
    "beta-behind",
    "gamma-1",
    "gamma-2",
    "delta-1",
    "delta-2",
];

/// A Redis with the data of the first programs of format 1: one command per line. A worker died
/// with `beta-held`, `gamma` is paused, `omega` archived, `delta` waits, and the setting `own`
/// applies to it.
async fn earlier_store() -> RedisServer {
    let redis = RedisServer::start(Aof::None);
    let mut connection = redis.connection().await;
    let path = workspace_dir().join("tests/fixtures/store-format-1.jsonl");
    let fixture = std::fs::read_to_string(path).expect("the fixture");
    for line in fixture.lines() {
        let words: Vec<String> = serde_json::from_str(line).expect("a command");
        let mut command = redis::cmd(&words[0]);
        command.arg(&words[1..]);
        let () = command
            .query_async(&mut connection)
            .await
            .expect("it is taken");
    }
    redis
}

#[tokio::test]
async fn the_store_of_an_earlier_release_is_read_served_and_gone_on_with() {
    let mut rig = Rig::with_redis(earlier_store().await).await;
    let history = rig.client.history("alpha").await;
    assert_eq!(history.len(), 5);
    let chosen = Some(Selector::SemverReq("^1.0".to_owned()));
    let chosen = rig.client.select("alpha", chosen).await.expect("a version");
    assert_eq!(chosen.commit.expect("a commit").version_label, "1.0.3");
    let whole = &rig.client.head_json("alpha").await["unknown"];
    assert_eq!(whole["big"], 1_152_921_504_606_846_977_u64);
    let denied = rig.client.entry("alpha-denied").await;
    assert_eq!(denied.cause, "denied");
    assert_eq!(
        rig.client.issue("beta-held").await.state(),
        IssueState::InFlight
    );
    assert!(rig.client.stats().await.paused_blueprint_ids == ["gamma"]);

    // The times of the fixture are old, so that its decided issues would be pruned.
    rig.add_worker(&[("DRAFTSMAN_RETENTION_DAYS", "0")]);
    for issue in ["beta-held", "beta-behind", "delta-1", "delta-2"] {
        let decided = rig.client.decided(issue).await;
        assert_eq!(decided.state(), IssueState::Applied, "{decided:?}");
    }
    assert_eq!(rig.client.issue("beta-held").await.attempt, 2);
    let waits = rig.client.issue("gamma-1").await.state();
    assert_eq!(waits, IssueState::Pending, "a pause outlasts an upgrade");
    let request = v1::ResumeQueueRequest {
        blueprint_id: Some("gamma".to_owned()),
    };
    let resumed = rig.client.intake.clone().resume_queue(request).await;
    resumed.expect("ResumeQueue");
    let ids = ACCEPTED.map(str::to_owned);
    assert_sound(&rig, &ids, Attempts::UpTo(2)).await;
    assert_eq!(rig.counted("repaired").await, 0);
}

/// Issues, commits, entries and settings of a release without actors have empty ones.
#[tokio::test]
async fn the_store_of_a_release_without_actors_has_empty_ones() {
    let mut rig = Rig::with_redis(earlier_store().await).await;
    let client = rig.client.clone();
    for commit in client.history("alpha").await {
        assert_eq!(commit.author, "", "{commit:?}");
    }
    let entry = client.entry("alpha-denied").await;
    let actors = (entry.submitted_by.as_str(), entry.decided_by.as_str());
    assert_eq!(actors, ("", ""), "{entry:?}");
    let setting = v1::GetSettingRequest {
        setting_id: "own".to_owned(),
    };
    let setting = client.settings.clone().get_setting(setting).await;
    let setting = setting.expect("GetSetting").into_inner().setting;
    let setting = setting.expect("a setting");
    assert_eq!(
        (setting.updated_by.as_str(), setting.updated_at),
        ("", None)
    );
    // Issues of that release are decided by this one.
    assert_eq!(client.issue("delta-1").await.submitted_by, "");
    rig.add_worker(&[("DRAFTSMAN_RETENTION_DAYS", "0")]);
    let decided = client.decided("delta-1").await;
    assert_eq!(decided.submitted_by, "", "{decided:?}");
    let newest = client.history("delta").await;
    assert!(newest.iter().all(|commit| commit.author.is_empty()));
    let filter = v1::ListIssuesRequest {
        submitted_by: Some("anonymous".to_owned()),
        ..Default::default()
    };
    let found = client.intake.clone().list_issues(filter).await;
    assert!(found.expect("ListIssues").into_inner().issues.is_empty());
}

/// Programs of this release exit instead of changing data that they cannot read; newer ones
/// continue.
#[tokio::test]
async fn the_store_of_a_newer_release_is_refused() {
    let redis = earlier_store().await;
    let mut connection = redis.connection().await;
    let () = redis::cmd("HSET")
        .arg(Keys::of_shard(0).meta())
        .arg(&["format", "2"])
        .query_async(&mut connection)
        .await
        .expect("HSET");
    for mut program in [
        Process::intake(&redis.url(), &[]),
        Process::worker(&redis.url(), &[]),
    ] {
        let status = program.wait().await;
        let log = program.stderr();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(
            log.contains("its format is 2, this program works with 1"),
            "{log}"
        );
    }
}

/// As `docs/operations.md` describes it: the snapshot of a working Redis is restored into a new
/// one.
#[tokio::test]
async fn a_backup_is_restored_into_a_fresh_redis() {
    let mut rig = Rig::with_redis(RedisServer::start(Aof::EverySecond)).await;
    rig.client.put(factory::small("kept")).await;
    rig.client.put(factory::small("waits")).await;
    rig.add_worker(&[]);
    rig.client.run("kept", "tag before").await;
    rig.workers.clear();
    let waiting = rig.client.submit("waits", "tag later").await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let backup = dir.path().join("dump.rdb");
    let (port, file) = (rig.redis.port().to_string(), backup.display().to_string());
    let taken = tokio::process::Command::new("redis-cli")
        .args(["-p", &port, "--rdb", &file])
        .output()
        .await
        .expect("redis-cli runs");
    assert!(taken.status.success(), "{taken:?}");
    let before = rig.client.history("kept").await;
    // Changes after the backup are not part of it.
    rig.client.put(factory::small("too-late")).await;
    drop(rig);

    let restored = RedisServer::restore(&backup);
    let mut rig = Rig::with_redis(restored).await;
    assert_eq!(rig.client.history("kept").await, before);
    let ids: Vec<String> = rig.client.blueprint_ids().await;
    assert!(!ids.contains(&"too-late".to_owned()), "{ids:?}");
    rig.add_worker(&[]);
    let decided = rig.client.decided(&waiting.issue_id).await;
    assert_eq!(decided.state(), IssueState::Applied, "{decided:?}");
    // The restored server has an append-only file again, with all data.
    rig.redis.stop();
    rig.redis.start_again();
    let client = Client::connect(&rig.address).await;
    assert_eq!(client.history("kept").await, before);
}
