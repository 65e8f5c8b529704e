//! The costs for Redis of idle watches, and the changes that watches find without an event.

use std::time::{Duration, Instant};

use proto::v1;
use shared::ids::IssueId;
use shared::store::redis::keys::Keys;
use tests::eventually::within_wait_limit;
use tests::factory;
use tests::rig::Rig;

/// The framing of a text of some thousand bytes in a reply: `$5123`, and two line ends.
const FRAME_BYTES: u64 = 9;

/// Reads the statistics of Redis over one connection, and counts the bytes of its own reads.
struct Statistics {
    connection: redis::aio::MultiplexedConnection,
    /// The bytes of the replies so far.
    own_bytes: u64,
}

impl Statistics {
    async fn of(rig: &Rig) -> Self {
        Self {
            connection: rig.redis.connection().await,
            own_bytes: 0,
        }
    }

    /// The number after `name` in a section of INFO; 0 if it is missing.
    async fn info(&mut self, section: &str, name: &str) -> u64 {
        let text: String = redis::cmd("INFO")
            .arg(section)
            .query_async(&mut self.connection)
            .await
            .expect("INFO");
        self.own_bytes += u64::try_from(text.len()).expect("a small answer") + FRAME_BYTES;
        let after = text.split_once(name).map(|(_, after)| after);
        let digits = after.and_then(|after| after.split([',', '\r']).next());
        digits.map_or(0, |digits| digits.parse().expect("a number"))
    }

    /// The number of reads of watched issues.
    async fn looks(&mut self) -> u64 {
        self.info("commandstats", "cmdstat_hmget:calls=").await
    }

    /// The number of complete reads of an issue, with its intent in the same round trip.
    async fn reads(&mut self) -> u64 {
        self.info("commandstats", "cmdstat_hgetall:calls=").await
    }

    /// The bytes that Redis has sent to other clients.
    async fn sent(&mut self) -> u64 {
        // Redis counts a reply after it has written it.
        let before = self.own_bytes;
        let sent = self.info("stats", "total_net_output_bytes:").await;
        sent.saturating_sub(before)
    }

    /// Waits for `n` more reads.
    async fn until_looked(&mut self, n: u64) {
        let begun = self.looks().await;
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.looks().await < begun + n {
            assert!(Instant::now() < deadline, "{n} more looks");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
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
    const INTENT_BYTES: usize = 60_000;
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("watched")).await;
    let intent = "x".repeat(INTENT_BYTES);
    let issue = rig.client.submit("watched", intent).await.issue_id;
    let mut watches = Vec::new();
    for _ in 0..N_WATCHERS {
        watches.push(watch(&rig, &issue).await);
    }
    let mut redis = Statistics::of(&rig).await;
    // The first read comes with the subscription; afterwards there is no traffic.
    redis.until_looked(1).await;
    let (begun, read, sent) = (redis.looks().await, redis.reads().await, redis.sent().await);
    assert!(read >= N_WATCHERS, "each watcher has read it once: {read}");
    redis.until_looked(2).await;
    let sent = redis.sent().await.saturating_sub(sent);
    assert_eq!(redis.reads().await, read, "nothing has happened");
    // Independent of the command that reads the intent: a single read would be visible.
    assert!(
        sent < INTENT_BYTES as u64 / 2,
        "{sent} bytes while nothing has happened"
    );
    // One read serves all watchers of the same issue.
    assert!(redis.looks().await < begun + N_WATCHERS);
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
        let told = within_wait_limit("the watcher is told", stream.message()).await;
        let told = told.expect("no error").expect("a state");
        let issue = told.issue.expect("an issue");
        assert_eq!((issue.revision, issue.reason.as_str()), (9, "unannounced"));
    }
    // The removal of an issue ends its watches.
    let _: i64 = redis::cmd("DEL")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .expect("DEL");
    for stream in &mut watches {
        let ended = within_wait_limit("the watch ends", stream.message()).await;
        assert_eq!(
            ended.expect_err("an error").code(),
            tonic::Code::NotFound,
            "the issue is gone"
        );
    }
}

#[tokio::test]
async fn what_pending_issues_wait_for_is_read_for_a_bounded_number_at_a_time() {
    /// More than a poll reads, each with two calls of LPOS.
    const N_ISSUES: usize = 150;
    const LPOS_PER_POLL: u64 = 2 * 100;
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("watched")).await;
    let mut watches = Vec::new();
    for n in 0..N_ISSUES {
        let issue_id = rig
            .client
            .submit("watched", format!("tag n{n}"))
            .await
            .issue_id;
        let request = v1::WatchIssueRequest {
            issue_id,
            include_waiting: true,
            ..Default::default()
        };
        let stream = rig.client.intake.clone().watch_issue(request).await;
        let mut stream = stream.expect("WatchIssue").into_inner();
        let first = stream.message().await.expect("no error").expect("a state");
        let waiting = first.issue.expect("a state").waiting_for;
        assert_eq!(waiting.expect("it waits").issues_ahead, n as u64);
        watches.push(stream);
    }
    let mut redis = Statistics::of(&rig).await;
    let lpos = "cmdstat_lpos:calls=";
    // Each reading has one read of the newest heartbeat.
    let zrange = "cmdstat_zrange:calls=";
    let (calls, readings) = (
        redis.info("commandstats", lpos).await,
        redis.info("commandstats", zrange).await,
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let calls = redis.info("commandstats", lpos).await - calls;
        let readings = redis.info("commandstats", zrange).await - readings;
        // Read first, so it cannot be ahead of the readings.
        assert!(
            calls <= LPOS_PER_POLL * readings,
            "{calls} in {readings} readings"
        );
        if readings >= 3 {
            // Three readings of at most 100 reach all 150 issues.
            assert!(calls > 2 * N_ISSUES as u64, "{calls}");
            break;
        }
        assert!(Instant::now() < deadline, "{readings} readings");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(watches);
}
