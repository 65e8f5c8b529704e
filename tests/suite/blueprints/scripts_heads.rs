//! The messages that wake the watchers of Blueprints, for each script that moves a head, or
//! archives.

use serde_json::{Value, json};
use shared::domain::history::HistoryEntry;
use shared::store::redis::keys::HEADS_CHANNEL;
use shared::store::{ArchiveOutcome, ImportOutcome, NextClaim, SettleOutcome, Store};
use tests::events::Events;
use tests::store_fixture::{Fixture, How, LONG, blueprint_id, marked, worker_id};

/// The message of a head.
fn head(version: &str, seq: u64, is_archived: bool) -> Value {
    json!({
        "blueprint_id": "a",
        "version": version,
        "seq": seq,
        "channel": "",
        "channel_revision": 0,
        "archived": is_archived,
    })
}

#[tokio::test]
async fn every_move_of_a_head_is_published_whole() {
    let fixture = Fixture::start().await;
    let mut heads = Events::subscribe(&fixture.redis, HEADS_CHANNEL).await;
    let first = fixture.put(&marked("a", "first", "1.0.0")).await;
    assert_eq!(heads.next().await, head(first.version.as_str(), 1, false));

    // A decision without a next issue, and one that hands the next issue over.
    let worker = worker_id("w");
    for (seq, next) in [
        (2, None),
        (
            3,
            Some(NextClaim {
                nonce: "n",
                lease_ms: LONG,
                known: None,
                yields: false,
            }),
        ),
    ] {
        fixture.submit("a", &format!("applied-{seq}")).await;
        fixture.submit("a", &format!("denied-{seq}")).await;
        let claimed = fixture.take(&worker, LONG).await;
        let settled = fixture.settle_with(&claimed, How::Applied, next.as_ref());
        let (outcome, handed_over) = fixture.step(settled).await;
        assert!(matches!(outcome, SettleOutcome::Settled(_)), "{outcome:?}");
        let stored = fixture.store.summary(&blueprint_id("a")).await;
        let version = stored.expect("an answer").expect("a Blueprint").head;
        assert_eq!(heads.next().await, head(version.as_str(), seq, false));
        // A denied issue moves no head.
        let claimed = match handed_over {
            Some(claimed) => *claimed,
            None => fixture.take(&worker, LONG).await,
        };
        fixture.step(fixture.settle(&claimed, How::Denied)).await;
        let after = heads.so_far(&fixture.redis, HEADS_CHANNEL).await;
        assert_eq!(after, Vec::<Value>::new());
    }

    let stored = fixture.store.summary(&blueprint_id("a")).await;
    let version = stored.expect("an answer").expect("a Blueprint").head;
    for is_archived in [true, false] {
        fixture.set_archived("a", is_archived).await;
        let expected = head(version.as_str(), 3, is_archived);
        assert_eq!(heads.next().await, expected);
    }
}

#[tokio::test]
async fn an_import_is_published_as_the_move_of_a_head() {
    let source = Fixture::with(&["a"]).await;
    let newest = source.put(&marked("a", "second", "")).await;
    let id = blueprint_id("a");
    let history: Vec<HistoryEntry> = source.store.history(&id, 1, 2).await.expect("a history");
    let fixture = Fixture::start().await;
    let mut heads = Events::subscribe(&fixture.redis, HEADS_CHANNEL).await;
    let import = fixture.store.begin_import(&id).await.expect("an answer");
    let mut import = import.expect("absent");
    import.stage(&history).await.expect("an answer");
    let finished = import.finish().await.expect("an answer");
    assert_eq!(finished, ImportOutcome::Imported);
    let published = heads.so_far(&fixture.redis, HEADS_CHANNEL).await;
    assert_eq!(published, [head(newest.version.as_str(), 2, false)]);
}

/// A write does not depend on subscribers.
#[tokio::test]
async fn a_user_who_may_not_publish_writes_all_the_same() {
    let mut fixture = Fixture::with(&["a"]).await;
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("mute").arg("on").arg(">secret");
    user.arg("allkeys").arg("resetchannels").arg("+@all");
    let handle = fixture.store.handle();
    let _: String = handle.command("acl", &user).await.expect("a user");
    let url = format!("redis://mute:secret@127.0.0.1:{}", fixture.redis.port());
    let mute = Store::open(&url, 1).expect("a valid URL");
    fixture.store = mute.home().clone();
    fixture.put(&marked("a", "second", "")).await;
    let archived = fixture.store.set_archived(&blueprint_id("a"), true).await;
    assert!(
        matches!(archived, Ok(ArchiveOutcome::Done(_))),
        "{archived:?}"
    );
}
