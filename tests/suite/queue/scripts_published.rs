//! The events and counters of the scripts, besides their decisions.

use std::collections::HashMap;

use shared::domain::actor::Actor;
use shared::domain::issue::Authority;
use shared::domain::trace_parent::TraceParent;
use shared::store::{CancelOutcome, ClaimMode, ReapOutcome, Release, SettleOutcome, Store};
use tests::events::{ALL_CHANNEL, Events, issue_channel};
use tests::eventually::eventually;
use tests::raw_script::outcome;
use tests::store_fixture::{Fixture, How, LONG, OVER, fault, marked, new_issue, worker_id};

#[tokio::test]
async fn a_cancellation_is_published_as_it_is_stored() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let mut all = Events::subscribe(&fixture.redis, ALL_CHANNEL).await;
    let mut own = Events::subscribe(&fixture.redis, &issue_channel("i")).await;
    fixture
        .step(
            fixture
                .store
                .cancel_issue(&issue.issue_id, Authority::Admin),
        )
        .await;
    let event = all.next().await;
    assert_eq!(own.next().await, event);
    let found = fixture.issue(&issue).await;
    assert_eq!(event["state"], "rejected");
    assert_eq!(
        (&event["cause"], &event["reason"]),
        (&"cancelled".into(), &"cancelled".into())
    );
    assert_eq!(event["revision"], found.revision);
    assert_eq!(event["updated_at_ms"], found.updated_at_ms);
}

#[tokio::test]
async fn an_issue_that_is_given_up_is_published() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    fixture
        .take_in(&worker_id("w"), OVER, ClaimMode::Exclusive)
        .await;
    let mut all = Events::subscribe(&fixture.redis, ALL_CHANNEL).await;
    let dead = fixture.step(fixture.store.reap(&issue, 1, 0.0)).await;
    assert_eq!(dead, ReapOutcome::Dead);
    let event = all.next().await;
    let found = fixture.issue(&issue).await;
    assert_eq!(event["state"], "rejected");
    assert_eq!(
        (&event["cause"], &event["reason"]),
        (&"failed".into(), &found.reason.into())
    );
}

#[tokio::test]
async fn times_are_those_of_the_server() {
    let fixture = Fixture::start().await;
    let now = async || -> u64 {
        let (secs, micros): (u64, u64) = fixture.raw(&["TIME"]).await;
        secs * 1000 + micros / 1000
    };
    // The test needs a time with a millisecond below 100, which is formatted with leading zeros.
    eventually("a second begins", async || {
        let now = now().await % 1000;
        (now < 90).then_some(()).ok_or_else(|| now.to_string())
    })
    .await;
    let began = now().await;
    let put = fixture.put(&marked("a", "first", "1.0.0")).await;
    let issue = fixture.submit("a", "i").await;
    fixture
        .store
        .pause_queue(None, &Actor::anonymous())
        .await
        .expect("paused");
    let paused = fixture.store.keys().paused();
    let paused: String = fixture.raw(&["HGET", &paused, "*"]).await;
    let (paused_at, by) = paused.split_once(' ').expect("a time and an actor");
    let paused_at: u64 = paused_at.parse().expect("a time");
    assert_eq!(by, "anonymous");
    let submitted_at = fixture.issue(&issue).await.submitted_at_ms;
    let ended = now().await;
    for at in [put.committed_at_ms, submitted_at, paused_at] {
        assert!((began..=ended).contains(&at), "{began} {at} {ended}");
    }
}

#[tokio::test]
async fn previews_are_tried_in_the_order_of_their_requests() {
    let fixture = Fixture::start().await;
    let keys = fixture.store.keys();
    let list = [keys.previews(), keys.orbits()];
    for request in ["first", "second"] {
        let args = [request, "9", "a", "admin", ""];
        let call = outcome(&fixture.store, "request_preview", &list, &args).await;
        assert_eq!(call.expect("an answer"), "ok");
    }
    // As workers take them.
    let taken: String = fixture.raw(&["RPOP", &list[0]]).await;
    assert_eq!(taken, "first");
}

/// Most reasons are published unchanged; these need escapes.
#[tokio::test]
async fn every_reason_is_published_as_json() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let mut all = Events::subscribe(&fixture.redis, ALL_CHANNEL).await;
    let awkward = [
        "\"", "\\", "\u{0}", "\n", "\u{1f}", "\u{7f}", "ü", "\u{2028}", "/",
    ];
    for part in awkward {
        let claimed = fixture.take(&worker_id("w"), LONG).await;
        let release = Release::Fault {
            delay_ms: 0,
            reason: format!("before{part}after"),
        };
        fixture
            .step(fixture.store.release(&claimed.lease, &release))
            .await;
        assert_eq!(all.next().await["reason"], "", "the claim");
        assert_eq!(all.next().await["reason"], format!("before{part}after"));
        fixture.step(fixture.store.promote(&issue)).await;
    }
}

#[tokio::test]
async fn a_claim_hands_the_trace_of_the_submission_over() {
    let fixture = Fixture::with(&["a"]).await;
    let trace = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(trace.is_some());
    let traced = new_issue("a", "traced").with_trace(trace.clone());
    fixture.step(fixture.store.submit(&traced)).await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    assert_eq!(claimed.trace, trace);
    fixture.step(fixture.settle(&claimed, How::Applied)).await;
    fixture.submit("a", "untraced").await;
    assert_eq!(fixture.take(&worker_id("w"), LONG).await.trace, None);
}

/// A decision does not depend on subscribers.
#[tokio::test]
async fn a_user_who_may_not_publish_decides_all_the_same() {
    let mut fixture = Fixture::with(&["a"]).await;
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("mute").arg("on").arg(">secret");
    user.arg("allkeys").arg("resetchannels").arg("+@all");
    let _: String = fixture
        .store
        .handle()
        .command("acl", &user)
        .await
        .expect("a user");
    let url = format!("redis://mute:secret@127.0.0.1:{}", fixture.redis.port());
    let mute = Store::open(&url, 1).expect("a valid URL");
    fixture.store = mute.home().clone();

    let worker = worker_id("w");
    fixture.submit("a", "given-back").await;
    let claimed = fixture.take(&worker, LONG).await;
    let release = fixture.store.release(&claimed.lease, &Release::Shutdown);
    fixture.step(release).await;
    let claimed = fixture.take(&worker, OVER).await;
    let reaped = fixture.step(fixture.store.reap(&claimed.lease.issue, 5, 0.0));
    assert_eq!(reaped.await, ReapOutcome::Delayed(0));
    fixture
        .step(fixture.store.promote(&claimed.lease.issue))
        .await;
    let claimed = fixture.take(&worker, LONG).await;
    let settled = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert!(matches!(settled, SettleOutcome::Settled(_)), "{settled:?}");
    let issue = fixture.submit("a", "cancelled").await;
    let cancelled = fixture
        .step(
            fixture
                .store
                .cancel_issue(&issue.issue_id, Authority::Admin),
        )
        .await;
    assert!(
        matches!(cancelled, CancelOutcome::Cancelled(_)),
        "{cancelled:?}"
    );
}

#[tokio::test]
async fn each_thing_is_counted_once() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let mut expected: HashMap<String, u64> = HashMap::new();
    let count = |expected: &mut HashMap<String, u64>, name: &str| {
        *expected.entry(name.to_owned()).or_default() += 1;
    };
    for (id, how) in [
        ("1", How::Applied),
        ("2", How::Denied),
        ("3", How::Failed),
        ("4", How::Dead),
    ] {
        fixture.submit("a", id).await;
        let claimed = fixture.take(&worker, LONG).await;
        // A repeated call publishes no second event.
        fixture.step(fixture.settle(&claimed, how)).await;
        fixture.step(fixture.settle(&claimed, how)).await;
        count(&mut expected, "submitted");
        let name = how.cause().map_or("applied", |cause| cause.as_str());
        count(&mut expected, name);
    }
    let issue = fixture.submit("a", "5").await;
    let claimed = fixture.take(&worker, LONG).await;
    fixture.step(store.release(&claimed.lease, &fault(0))).await;
    fixture.step(store.promote(&issue)).await;
    let claimed = fixture.take(&worker, LONG).await;
    let release = store.release(&claimed.lease, &Release::Shutdown);
    fixture.step(release).await;
    fixture.take_in(&worker, OVER, ClaimMode::Exclusive).await;
    let dead = fixture.step(store.reap(&issue, 1, 0.0)).await;
    assert_eq!(dead, ReapOutcome::Dead);
    for name in ["submitted", "retries", "reaped", "failed"] {
        count(&mut expected, name);
    }
    let issue = fixture.submit("a", "6").await;
    fixture
        .step(store.cancel_issue(&issue.issue_id, Authority::Admin))
        .await;
    fixture
        .step(store.cancel_issue(&issue.issue_id, Authority::Admin))
        .await;
    count(&mut expected, "submitted");
    count(&mut expected, "cancelled");
    let mut counted = store.totals().await.expect("Redis answers");
    assert_eq!(counted.remove("pending"), Some(0));
    assert_eq!(counted, expected);
}
