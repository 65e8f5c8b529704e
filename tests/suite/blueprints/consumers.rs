//! Consumers: what they report, how long it is kept, and how operators list it.

use proto::v1::{self, ConsumerStatus as Wire};
use shared::domain::actor::Actor;
use shared::domain::consumer::{CONSUMER_LIFETIME, Consumer, ConsumerReport, ConsumerStatus};
use shared::ids::{ChannelName, ConsumerId, Version};
use shared::store::{PageRequest, ReportOutcome, SetChannel, Store};
use tests::factory;
use tests::programs::{Program, run};
use tests::raw_script::outcome;
use tests::rig::Rig;
use tests::store_fixture::{Fixture, blueprint_id, marked};

fn consumer_id(name: &str) -> ConsumerId {
    ConsumerId::parse(name).expect("an id")
}

fn first_version(blueprint: &str) -> Version {
    marked(blueprint, "first", "1.0.0").version().clone()
}

/// A report of the first version of [`Fixture::with`].
fn report(blueprint: &str, consumer: &str) -> ConsumerReport {
    ConsumerReport {
        consumer_id: consumer_id(consumer),
        blueprint_id: blueprint_id(blueprint),
        channel: None,
        version: first_version(blueprint),
        status: ConsumerStatus::Applied,
        message: "größer \"☃\"\n".to_owned(),
    }
}

async fn send(fixture: &Fixture, report: &ConsumerReport) {
    let outcome = fixture.store.report_version(report).await;
    assert_eq!(outcome.expect("an answer"), ReportOutcome::Reported);
}

async fn set_channel(store: &Store, blueprint: &str, channel: &str, version: &Version) {
    let (id, channel) = (
        blueprint_id(blueprint),
        ChannelName::parse(channel).expect("a name"),
    );
    let set = SetChannel {
        blueprint_id: &id,
        channel: &channel,
        version,
        expected_revision: None,
        actor: &Actor::anonymous(),
        reason: "",
    };
    let used = store.channel_use(&id, &channel).await.expect("an answer");
    let set = store.set_checked_channel(&set, &used).await;
    set.expect("an answer").expect("not followed");
}

/// The consumers of one Blueprint or of all, by pages of this size.
async fn listed(store: &Store, blueprint: Option<&str>, size: usize) -> Vec<Consumer> {
    let blueprint = blueprint.map(blueprint_id);
    let (mut consumers, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest { size, after };
        let part = store.list_consumers(blueprint.as_ref(), &page).await;
        let part = part.expect("an answer");
        assert!(part.items.len() <= size);
        consumers.extend(part.items);
        after = part.next;
        if after.is_none() {
            return consumers;
        }
    }
}

#[tokio::test]
async fn a_report_is_kept_in_place_of_the_previous_one() {
    let fixture = Fixture::with(&["a"]).await;
    let whole = &fixture.whole;
    let first = first_version("a");
    set_channel(whole, "a", "live", &first).await;
    let second = fixture.put(&marked("a", "second", "")).await.version;
    let now = async || -> u64 {
        let (secs, micros): (u64, u64) = fixture.raw(&["TIME"]).await;
        secs * 1000 + micros / 1000
    };
    let mut sent = report("a", "c");
    let began = now().await;
    send(&fixture, &sent).await;
    let ended = now().await;
    let found = listed(whole, Some("a"), 10).await;
    assert_eq!((found.len(), &found[0].report), (1, &sent));
    assert!(found[0].behind, "the head is another one");
    assert_eq!(found[0].since_ms, found[0].last_seen_ms);
    assert!((began..=ended).contains(&found[0].since_ms));

    // `since` stays as long as channel, version and status do. Time passes on the server.
    let since = async |what: &str, sent: &ConsumerReport, is_kept: bool| {
        let key = fixture.store.keys().consumers(&blueprint_id("a"));
        let text: String = fixture.raw(&["HGET", &key, "c"]).await;
        let (_, rest) = text.split_once(',').expect("fields");
        let old = format!(r#"{{"since":7,{rest}"#);
        let _: i64 = fixture.raw(&["HSET", &key, "c", &old]).await;
        send(&fixture, sent).await;
        let found = listed(whole, None, 10).await;
        assert_eq!((found.len(), &found[0].report), (1, sent), "{what}");
        assert_eq!(found[0].since_ms == 7, is_kept, "{what}");
        found[0].behind
    };
    sent.message = "still".to_owned();
    assert!(since("another message", &sent, true).await);
    sent.status = ConsumerStatus::Failed;
    since("another status", &sent, false).await;
    sent.version = second.clone();
    assert!(!since("another version", &sent, false).await, "the head");
    sent.channel = Some(ChannelName::parse("live").expect("a name"));
    assert!(since("another channel", &sent, false).await);
    set_channel(whole, "a", "live", &second).await;
    assert!(!since("the channel moves", &sent, true).await);
    let live = ChannelName::parse("live").expect("a name");
    let (id, actor) = (blueprint_id("a"), Actor::anonymous());
    let deleted = fixture.store.delete_channel(&id, &live, None, &actor);
    deleted.await.expect("an answer");
    assert!(listed(whole, Some("a"), 10).await[0].behind, "no channel");
}

#[tokio::test]
async fn a_report_of_what_does_not_exist_is_refused() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let cases = [
        (report("nobody", "c"), ReportOutcome::UnknownBlueprint),
        (
            ConsumerReport {
                channel: Some(ChannelName::parse("unknown").expect("a name")),
                ..report("a", "c")
            },
            ReportOutcome::UnknownChannel,
        ),
        (
            ConsumerReport {
                version: Version::of("unknown"),
                ..report("a", "c")
            },
            ReportOutcome::UnknownVersion,
        ),
    ];
    for (sent, expected) in cases {
        let refused = fixture.refused(store.report_version(&sent)).await;
        assert_eq!(refused, expected);
    }
    // With a limit of one consumer instead of ten thousand.
    let (id, version) = (blueprint_id("a"), first_version("a"));
    let keys = [
        store.keys().blueprint(&id),
        store.keys().newest(&id),
        store.keys().channels(&id),
        store.keys().consumers(&id),
        store.keys().consumers_seen(&id),
        store.keys().consumed(),
    ];
    let json = format!(r#"{{"channel":"","version":"{version}","status":"applied","message":""}}"#);
    for (consumer, expected) in [
        ("one", "reported"),
        ("two", "too_many"),
        ("one", "reported"),
    ] {
        let args = [
            "a",
            consumer,
            "",
            version.as_str(),
            "applied",
            &json,
            "86400000",
            "1",
        ];
        let answer = outcome(store, "report_version", &keys, &args).await;
        assert_eq!(answer.expect("an answer"), expected, "{consumer}");
    }
}

#[tokio::test]
async fn a_report_is_forgotten_after_its_lifetime() {
    let fixture = Fixture::with(&["a"]).await;
    let (store, whole, id) = (&fixture.store, &fixture.whole, blueprint_id("a"));
    let keys = [
        store.keys().consumers(&id),
        store.keys().consumers_seen(&id),
        store.keys().consumed(),
    ];
    for consumer in ["kept", "old"] {
        send(&fixture, &report("a", consumer)).await;
    }
    let lifetime = i64::try_from(CONSUMER_LIFETIME.as_millis()).expect("a day");
    for key in &keys {
        let ttl: i64 = fixture.raw(&["PTTL", key]).await;
        assert!(ttl > lifetime - 60_000 && ttl <= lifetime, "{key}: {ttl}");
    }
    // A day ago, and almost a day ago.
    let aged = async |consumer: &str, age_ms: i64| {
        let (secs, _): (i64, i64) = fixture.raw(&["TIME"]).await;
        let at = (secs * 1000 - age_ms).to_string();
        let _: i64 = fixture.raw(&["ZADD", &keys[1], &at, consumer]).await;
    };
    aged("old", lifetime + 1_000).await;
    aged("kept", lifetime - 600_000).await;
    let ids = async || -> Vec<String> {
        let found = listed(whole, None, 10).await.into_iter();
        found.map(|c| c.report.consumer_id.to_string()).collect()
    };
    assert_eq!(ids().await, ["kept"]);
    // A stream keeps a report, and neither revives nor creates one.
    let streams = ["kept", "old", "never"].map(consumer_id);
    let seen = store.seen_consumers(&id, &streams).await;
    assert_eq!(seen.expect("an answer"), 1);
    let (secs, _): (u64, u64) = fixture.raw(&["TIME"]).await;
    let found = listed(whole, None, 10).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].last_seen_ms >= (secs - 60) * 1000, "{found:?}");
    // The next report removes what is too old.
    send(&fixture, &report("a", "new")).await;
    let stored: Vec<String> = fixture.raw(&["HKEYS", &keys[0]]).await;
    assert!(!stored.contains(&"old".to_owned()), "{stored:?}");
    assert_eq!(ids().await, ["kept", "new"]);
    send(&fixture, &report("a", "old")).await;
    assert_eq!(ids().await, ["kept", "new", "old"]);
}

#[tokio::test]
async fn consumers_are_listed_by_blueprint_in_pages_of_any_size() {
    let fixture = Fixture::with(&["a", "b", "c", "d"]).await;
    let mut expected = Vec::new();
    for (blueprint, n) in [("a", 3), ("b", 1), ("d", 4)] {
        for consumer in 0..n {
            expected.push((blueprint.to_owned(), format!("i-{consumer}")));
            send(&fixture, &report(blueprint, &format!("i-{consumer}"))).await;
        }
    }
    let names = async |blueprint: Option<&str>, size: usize| -> Vec<(String, String)> {
        let found = listed(&fixture.whole, blueprint, size).await.into_iter();
        let name = |c: Consumer| {
            let report = c.report;
            (
                report.blueprint_id.to_string(),
                report.consumer_id.to_string(),
            )
        };
        found.map(name).collect()
    };
    for size in 1..=9 {
        assert_eq!(names(None, size).await, expected, "by {size}");
        assert_eq!(names(Some("d"), size).await, expected[4..], "by {size}");
    }
    assert!(names(Some("c"), 9).await.is_empty());
    assert!(names(Some("nobody"), 9).await.is_empty());
}

#[tokio::test]
async fn an_operator_sees_who_runs_what() {
    let rig = Rig::without_worker().await;
    let first = rig.client.put(factory::small("swarm")).await;
    rig.client
        .set_channel("swarm", "live", &first.version)
        .await;
    rig.client.put(factory::two_kb("swarm")).await;
    let mut blueprints = rig.client.blueprints.clone();
    for (consumer_id, channel) in [("one", "live"), ("two", "")] {
        let request = v1::ReportVersionRequest {
            consumer_id: consumer_id.to_owned(),
            blueprint_id: "swarm".to_owned(),
            channel: channel.to_owned(),
            version: first.version.clone(),
            status: Wire::Failed.into(),
            message: "no memory".to_owned(),
        };
        blueprints.report_version(request).await.expect("a report");
    }
    let request = v1::ListConsumersRequest {
        blueprint_id: Some("swarm".to_owned()),
        page_size: 1,
        ..Default::default()
    };
    let page = blueprints.list_consumers(request).await;
    let page = page.expect("ListConsumers").into_inner();
    assert_eq!(page.consumers.len(), 1);
    assert!(!page.next_page_token.is_empty());
    let one = &page.consumers[0];
    assert_eq!(
        (one.consumer_id.as_str(), one.status()),
        ("one", Wire::Failed)
    );
    assert_eq!((one.channel.as_str(), one.behind), ("live", false));
    assert_eq!(
        (&one.version, one.message.as_str()),
        (&first.version, "no memory")
    );
    assert!(one.since.is_some() && one.last_seen.is_some());

    let addr = format!("http://{}", rig.address);
    let draftsman = async |args: &[&str]| {
        let finished = run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    let table = draftsman(&["consumers"]).await;
    let behind: Vec<bool> = table.lines().map(|line| line.contains("behind")).collect();
    assert_eq!(behind, [false, true], "{table}");
    let listed = draftsman(&["consumers", "swarm", "--output", "json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["consumers"][1]["consumer_id"], "two");
    assert_eq!(listed["consumers"][1]["status"], "failed");
    assert_eq!(listed["consumers"][1]["behind"], true);
}
