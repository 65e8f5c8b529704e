//! The scripts for several shards: copies of settings in use, and pointers of issues.

use std::time::Duration;

use futures::future::join;
use redis::Value;
use shared::blueprint::Blueprint;
use shared::domain::setting::EnhanceSetting;
use shared::domain::version_selector::VersionSelector;
use shared::ids::SettingId;
use shared::store::{ArchiveOutcome, ExpectedHead, Store};
use tests::raw_script::answer;
use tests::resp_proxy::RespProxy;
use tests::store_fixture::{Fixture, blueprint_id, marked};

fn setting(name: &str) -> EnhanceSetting {
    EnhanceSetting {
        id: SettingId::parse(name).expect("an id"),
        blueprint_id: blueprint_id("orbit"),
        selector: VersionSelector::Latest,
        verifier_axes: vec!["noop".to_owned()],
        no_verification: false,
        ttl_secs: 30,
        spawner: None,
        applies_to: Vec::new(),
        axis_options: Default::default(),
        review: Default::default(),
        revision: 0,
        updated_by: None,
        updated_at_ms: None,
    }
}

async fn orbits(fixture: &Fixture, store: &Store) -> Vec<String> {
    let mut names: Vec<String> = fixture
        .raw(&["HKEYS", &store.shards()[1].keys().orbits()])
        .await;
    names.sort_unstable();
    names
}

/// A caller that read the settings and was overtaken before it wrote its copy.
#[tokio::test]
async fn an_older_copy_of_the_orbits_in_use_never_wins() {
    let fixture = Fixture::start().await;
    let direct = Store::open(&fixture.redis.socket_url(), 2).expect("a valid URL");
    let orbit: Blueprint = marked("orbit", "first", "1.0.0");
    let put = direct
        .of(orbit.id())
        .put_blueprint(&orbit, ExpectedHead::Any, "");
    put.await.expect("it is written");

    let proxy = RespProxy::start(fixture.redis.port()).await;
    let slow = Store::open(&proxy.url(), 2).expect("a valid URL");
    let mut held = proxy.stall_before("mirror_orbits", 1);
    let one = setting("one");
    let overtaking = async {
        held.fired().await;
        let stored = direct.put_setting(&setting("two"), None).await;
        stored.expect("it is written");
        assert_eq!(orbits(&fixture, &direct).await, ["one", "two"]);
        proxy.stall(false);
    };
    let (put, ()) = join(slow.put_setting(&one, None), overtaking).await;
    put.expect("it is written");
    assert_eq!(proxy.outcomes("mirror_orbits"), ["newer"]);
    assert_eq!(orbits(&fixture, &direct).await, ["one", "two"]);

    // The same settings again are not a change for the workers; fewer settings are.
    let counter = async || direct.settings_counters().await[1];
    let before = counter().await;
    direct.mirror_orbits().await.expect("mirrored");
    assert_eq!(counter().await, before);
    direct.delete_setting(&one.id).await.expect("deleted");
    assert_eq!(orbits(&fixture, &direct).await, ["two"]);
    assert_ne!(counter().await, before);
}

#[tokio::test]
async fn an_orbit_in_use_is_not_archived() {
    let fixture = Fixture::with(&["orbit", "other"]).await;
    for name in ["two", "one"] {
        let stored = fixture.whole.put_setting(&setting(name), None).await;
        stored.expect("it is written");
    }
    let orbit = blueprint_id("orbit");
    let archive = |id| fixture.store.set_archived(id, true);
    let outcome = fixture.refused(archive(&orbit)).await;
    let named = ["one", "two"].map(str::to_owned).to_vec();
    assert_eq!(outcome, ArchiveOutcome::InUse(named));
    fixture.set_archived("other", true).await;
    for name in ["one", "two"] {
        let deleted = fixture.whole.delete_setting(&setting(name).id).await;
        deleted.expect("it is deleted");
    }
    fixture.set_archived("orbit", true).await;
}

/// The outcome of pointing `i` at a Blueprint, and the age of the existing pointer.
async fn point(fixture: &Fixture, blueprint: &str, stale: &str) -> (String, Option<Duration>) {
    let keys = [fixture.store.keys().ids()];
    let args = ["i", blueprint, stale];
    let answer = answer(&fixture.store, "point_issue", &keys, &args).await;
    let answer = answer.expect("an answer");
    let outcome: String = redis::from_redis_value(answer[0].clone()).expect("an outcome");
    let age = answer.get(2).map(|age: &Value| {
        Duration::from_millis(redis::from_redis_value(age.clone()).expect("an age"))
    });
    (outcome, age)
}

#[tokio::test]
async fn an_id_points_at_one_blueprint_until_the_pointer_is_taken_over() {
    let fixture = Fixture::start().await;
    let ids = fixture.store.keys().ids();
    let pointer = async || -> String { fixture.raw(&["HGET", &ids, "i"]).await };
    let to_first = ("ok".to_owned(), None);
    assert_eq!(point(&fixture, "first", "").await, to_first);
    assert_eq!(point(&fixture, "first", "").await, to_first, "again");
    let (outcome, age) = point(&fixture, "second", "").await;
    assert_eq!(outcome, "elsewhere");
    assert!(age < Some(Duration::from_secs(60)), "{age:?}");
    assert!(pointer().await.starts_with("first|"));

    // A pointer of an hour ago.
    let old = {
        let now: u64 = pointer().await["first|".len()..].parse().expect("a time");
        let (secs, _): (u64, u64) = fixture.raw(&["TIME"]).await;
        assert!(now / 1000 <= secs && secs - now / 1000 < 60, "{now}");
        format!("first|{}", now - 3_600_000)
    };
    let _: i64 = fixture.raw(&["HSET", &ids, "i", &old]).await;
    let (outcome, age) = point(&fixture, "second", "").await;
    assert_eq!(
        outcome, "elsewhere",
        "the caller decides whether it is taken over"
    );
    assert!(age >= Some(Duration::from_secs(3_600)), "{age:?}");
    // Another caller has replaced the pointer in the meantime.
    assert_eq!(point(&fixture, "second", "first|1").await.0, "elsewhere");
    assert_eq!(pointer().await, old);
    assert_eq!(point(&fixture, "second", &old).await.0, "ok");
    assert!(pointer().await.starts_with("second|"));
}

#[tokio::test]
async fn a_call_that_the_server_does_not_know_counts_as_not_allowed() {
    let fixture = Fixture::start().await;
    let keys = [fixture.store.keys().fence()];
    let args = ["GET x", "NO-SUCH-COMMAND x"];
    let answer = answer(&fixture.store, "probe_rights", &keys, &args).await;
    let answer = answer.expect("an answer");
    let refused: Vec<String> = redis::from_redis_value(answer[1].clone()).expect("calls");
    assert_eq!(refused, ["NO-SUCH-COMMAND x"]);
}
