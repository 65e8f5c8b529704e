//! What watches cost Redis while nothing happens, and what they find although nobody told them.

use proto::v1;
use shared::ids::IssueId;
use shared::store::redis::keys::Keys;
use tests::eventually::{eventually, within_patience};
use tests::factory;
use tests::rig::Rig;

/// The number after `name` in a section of INFO; 0 if it is not there.
async fn info(rig: &Rig, section: &str, name: &str) -> u64 {
    let mut connection = rig.redis.connection().await;
    let text: String = redis::cmd("INFO")
        .arg(section)
        .query_async(&mut connection)
        .await
        .expect("INFO");
    let after = text.split_once(name).map(|(_, after)| after);
    let digits = after.and_then(|after| after.split([',', '\r']).next());
    digits.map_or(0, |digits| digits.parse().expect("a number"))
}

/// How often watched issues were looked at.
async fn looks(rig: &Rig) -> u64 {
    info(rig, "commandstats", "cmdstat_hmget:calls=").await
}

/// How often an issue was read whole, its intent in the same round trip.
async fn reads(rig: &Rig) -> u64 {
    info(rig, "commandstats", "cmdstat_hgetall:calls=").await
}

async fn watch(rig: &Rig, issue_id: &str) -> tonic::Streaming<v1::WatchIssueResponse> {
    let request = v1::WatchIssueRequest {
        issue_id: issue_id.to_owned(),
        ..Default::default()
    };
    let stream = rig.client.intake.clone().watch_issue(request).await;
    let mut stream = stream.expect("WatchIssue").into_inner();
    stream.message().await.expect("no error").expect("a state");
    stream
}

#[tokio::test]
async fn idle_watches_read_no_intent() {
    const N_WATCHERS: u64 = 20;
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("watched")).await;
    let intent = "x".repeat(60_000);
    let issue = rig.client.submit("watched", intent).await.issue_id;
    let mut watches = Vec::new();
    for _ in 0..N_WATCHERS {
        watches.push(watch(&rig, &issue).await);
    }
    // The first look comes when the subscription is up; from then on all is quiet.
    let first = looks(&rig).await;
    eventually("the watched issue is looked at", async || {
        let now = looks(&rig).await;
        (now > first).then_some(()).ok_or(now.to_string())
    })
    .await;
    let (begun, read) = (looks(&rig).await, reads(&rig).await);
    assert!(read >= N_WATCHERS, "each watcher has read it once: {read}");
    eventually("two more looks", async || {
        let now = looks(&rig).await;
        (now >= begun + 2).then_some(()).ok_or(now.to_string())
    })
    .await;
    assert_eq!(reads(&rig).await, read, "nothing has happened");
    // Of the same issue one look serves all who watch it.
    assert!(looks(&rig).await < begun + N_WATCHERS);
    drop(watches);
}

#[tokio::test]
async fn a_change_that_nobody_was_told_of_is_found() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("watched")).await;
    let issue = rig.client.submit("watched", "tag x").await.issue_id;
    let mut watches = vec![watch(&rig, &issue).await, watch(&rig, &issue).await];
    let key = Keys::of_shard(0).issue(&IssueId::parse(&issue).expect("an id"));
    let mut connection = rig.redis.connection().await;
    let _: i64 = redis::cmd("HSET")
        .arg(&[key.as_str(), "revision", "9", "reason", "unannounced"])
        .query_async(&mut connection)
        .await
        .expect("HSET");
    for stream in &mut watches {
        let told = within_patience("the watcher is told", stream.message()).await;
        let told = told.expect("no error").expect("a state");
        let issue = told.issue.expect("an issue");
        assert_eq!((issue.revision, issue.reason.as_str()), (9, "unannounced"));
    }
    // An issue that is gone ends its watches.
    let _: i64 = redis::cmd("DEL")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .expect("DEL");
    for stream in &mut watches {
        let ended = within_patience("the watch ends", stream.message()).await;
        assert_eq!(
            ended.expect_err("an error").code(),
            tonic::Code::NotFound,
            "the issue is gone"
        );
    }
}
