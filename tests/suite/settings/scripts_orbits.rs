//! The scripts enforce the rights to change an orbit, also with concurrent writes.

use std::time::Duration;

use futures::future::join;
use shared::domain::bundled::BUNDLED_ORBITS;
use shared::domain::issue::{Authority, IssueState, RejectionCause};
use shared::domain::version_selector::VersionSelector;
use shared::ids::{IssueId, SettingId};
use shared::store::{
    CancelOutcome, ClaimOutcome, ExpectedHead, PreviewRequestOutcome, PutSettingOutcome,
    SettleOutcome, Store, SubmitOutcome,
};
use tests::redis_server::{Aof, RedisServer};
use tests::resp_proxy::RespProxy;
use tests::store_fixture::{
    BESIDE, Fixture, How, LONG, blueprint_id, issue_ref, marked, new_issue, worker_id,
};
use tests::store_orbits::{checked_at, orbit_setting, pinned};

fn refused_by(name: &str) -> SubmitOutcome {
    SubmitOutcome::OrbitNeedsAdmin {
        setting_id: Some(SettingId::parse(name).expect("an id")),
    }
}

fn reason(setting: &str) -> String {
    format!(
        "dispatch failed: ORBIT_NEEDS_ADMIN: the setting {setting} uses this Blueprint as its orbit, and the issue was \
         not filed with the scope admin; retry it with an admin token"
    )
}

#[tokio::test]
async fn a_submitter_files_nothing_against_an_orbit_by_whatever_selector() {
    let fixture = Fixture::with(&["orbit", "target"]).await;
    let store = &fixture.store;
    let fixed = VersionSelector::Fixed(marked("orbit", "first", "1.0.0").version().clone());
    for selector in [VersionSelector::Latest, fixed, pinned()] {
        for name in ["b", "a"] {
            let setting = orbit_setting(name, "orbit", selector.clone());
            fixture.whole.put_setting(&setting, None).await.unwrap();
        }
        let new = new_issue("orbit", "i-1");
        let outcome = fixture.refused(store.submit(&new)).await;
        assert_eq!(outcome, refused_by("a"), "{selector:?}");
    }
    // A Blueprint that is not an orbit accepts issues of everyone, an orbit those of an admin.
    fixture.submit("target", "i-2").await;
    let by_admin = new_issue("orbit", "i-3").on_authority(Authority::Admin);
    let outcome = fixture.step(store.submit(&by_admin)).await;
    assert!(matches!(outcome, SubmitOutcome::Accepted(_)), "{outcome:?}");
    // The same submission gets the same answer and no further right.
    let again = new_issue("orbit", "i-3");
    let outcome = fixture.refused(store.submit(&again)).await;
    assert!(matches!(outcome, SubmitOutcome::Existed(_)), "{outcome:?}");
    // Also not as a retry of an admin's issue.
    let worker = worker_id("w");
    fixture.take(&worker, LONG).await;
    let claimed = fixture.take(&worker, LONG).await;
    fixture.step(fixture.settle(&claimed, How::Denied)).await;
    let retry = shared::domain::issue::NewIssue::new(
        IssueId::generate(),
        blueprint_id("orbit"),
        again.intent().to_owned(),
        Some(again.issue_id().clone()),
    )
    .expect("a valid issue");
    let outcome = fixture.refused(store.submit(&retry)).await;
    assert_eq!(outcome, refused_by("a"));
}

#[tokio::test]
async fn a_submitter_files_nothing_against_a_bundled_orbit_that_no_setting_names() {
    let fixture = Fixture::with(&BUNDLED_ORBITS).await;
    for name in BUNDLED_ORBITS {
        let outcome = fixture
            .refused(fixture.store.submit(&new_issue(name, "i-1")))
            .await;
        assert_eq!(outcome, SubmitOutcome::OrbitNeedsAdmin { setting_id: None });
    }
}

#[tokio::test]
async fn an_issue_whose_target_becomes_an_orbit_is_not_claimed() {
    let fixture = Fixture::with(&["orbit"]).await;
    let store = &fixture.store;
    let issue = fixture.submit("orbit", "i-1").await;
    let by_admin = new_issue("orbit", "i-2").on_authority(Authority::Admin);
    fixture.step(store.submit(&by_admin)).await;
    fixture.set_orbit("orbit", true, false).await;

    let worker = worker_id("w");
    assert_eq!(fixture.pop(&worker).await, Some(issue.clone()));
    let claim = store.claim(&issue, &worker, "n", LONG, None, BESIDE);
    let outcome = fixture.step(claim).await;
    assert!(
        matches!(outcome, ClaimOutcome::OrbitNeedsAdmin),
        "{outcome:?}"
    );
    let said = reason("names-orbit");
    fixture
        .assert_rejected(&issue, None, RejectionCause::Failed, &said)
        .await;
    // A claim whose answer was lost finds the issue decided.
    let claim = store.claim(&issue, &worker, "n", LONG, None, BESIDE);
    let outcome = fixture.refused(claim).await;
    assert!(matches!(outcome, ClaimOutcome::NotMine), "{outcome:?}");
    // The next issue is an admin's.
    let claimed = fixture.take(&worker, LONG).await;
    let settled = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(settled, SettleOutcome::Settled(IssueState::Applied));
}

#[tokio::test]
async fn an_issue_whose_target_becomes_an_orbit_while_it_runs_is_not_applied() {
    let fixture = Fixture::with(&["orbit"]).await;
    let store = &fixture.store;
    let head = store.summary(&blueprint_id("orbit")).await.unwrap();
    let worker = worker_id("w");
    let issue = fixture.submit("orbit", "i-1").await;
    let claimed = fixture.take(&worker, LONG).await;
    fixture.set_orbit("orbit", true, true).await;

    let settled = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(settled, SettleOutcome::OrbitNeedsAdmin);
    let found = fixture.issue(&issue).await;
    assert_eq!(
        (found.state, found.cause, found.reason),
        (
            IssueState::Rejected,
            Some(RejectionCause::Failed),
            reason("names-orbit")
        )
    );
    assert_eq!(
        fixture.log_entry(&issue).await.reasons,
        [reason("names-orbit")]
    );
    let now = store.summary(&blueprint_id("orbit")).await.unwrap();
    assert_eq!(now, head, "the orbit is as it was");
    // A caller that missed the answer gets it again.
    let again = fixture
        .refused(fixture.settle(&claimed, How::Applied))
        .await;
    assert_eq!(again, SettleOutcome::OrbitNeedsAdmin);
}

#[tokio::test]
async fn a_denial_stands_though_the_target_became_an_orbit() {
    let fixture = Fixture::with(&["orbit"]).await;
    let worker = worker_id("w");
    let issue = fixture.submit("orbit", "i-1").await;
    let claimed = fixture.take(&worker, LONG).await;
    fixture.set_orbit("orbit", true, true).await;
    let settled = fixture.step(fixture.settle(&claimed, How::Denied)).await;
    assert_eq!(settled, SettleOutcome::Settled(IssueState::Rejected));
    assert_eq!(
        fixture.issue(&issue).await.cause,
        Some(RejectionCause::Denied)
    );
}

#[tokio::test]
async fn a_submitter_calls_no_issue_of_an_orbit_off() {
    let fixture = Fixture::with(&["orbit"]).await;
    let store = &fixture.store;
    let issue = fixture.submit("orbit", "i-1").await;
    fixture.set_orbit("orbit", true, true).await;
    let cancel = |authority| store.cancel_issue(&issue.issue_id, authority);
    let outcome = fixture.refused(cancel(Authority::Submitter)).await;
    let expected = CancelOutcome::OrbitNeedsAdmin {
        blueprint_id: issue.blueprint_id.clone(),
        setting_id: SettingId::parse("names-orbit").ok(),
    };
    assert_eq!(outcome, expected);
    let outcome = fixture.step(cancel(Authority::Admin)).await;
    assert!(
        matches!(outcome, CancelOutcome::Cancelled(_)),
        "{outcome:?}"
    );
    // The state of a decided issue is returned to everyone.
    let outcome = fixture.refused(cancel(Authority::Submitter)).await;
    assert!(
        matches!(outcome, CancelOutcome::Cancelled(_)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_submitter_previews_nothing_of_an_orbit() {
    let fixture = Fixture::with(&["orbit", "enhance-repair", "target"]).await;
    fixture.set_orbit("orbit", true, false).await;
    let ask = async |name: &str, authority| {
        let (id, target) = (IssueId::generate(), blueprint_id(name));
        let wait = Duration::from_secs(60);
        let intent = "tag x".to_owned();
        let asked = fixture
            .store
            .request_preview(&id, &target, intent, wait, authority, None);
        match asked.await.expect("the store answers") {
            PreviewRequestOutcome::Waits(_) => "accepted".to_owned(),
            PreviewRequestOutcome::OrbitNeedsAdmin { setting_id } => format!("{setting_id:?}"),
            other => panic!("{other:?}"),
        }
    };
    let named = format!("{:?}", SettingId::parse("names-orbit").ok());
    assert_eq!(ask("orbit", Authority::Submitter).await, named);
    assert_eq!(ask("enhance-repair", Authority::Submitter).await, "None");
    let waiting: u64 = fixture
        .raw(&["LLEN", &fixture.store.keys().previews()])
        .await;
    assert_eq!(waiting, 0, "what is refused does not wait");
    assert_eq!(ask("target", Authority::Submitter).await, "accepted");
    assert_eq!(ask("orbit", Authority::Admin).await, "accepted");
}

/// A setting of shard 0 names an orbit of another shard: a call on the orbit checks its own shard.
#[tokio::test]
async fn an_orbit_in_another_shard_is_known_there_before_the_setting_is_written() {
    const SHARDS: usize = 4;
    let redis = RedisServer::start(Aof::None);
    let store = Store::open(&redis.socket_url(), SHARDS).expect("a valid URL");
    let name = (0..)
        .map(|n| format!("orbit-{n}"))
        .find(|name| store.of(&blueprint_id(name)).number() != 0)
        .expect("names are spread over the shards");
    let there = store.of(&blueprint_id(&name)).clone();
    let first = marked(&name, "first", "1.0.0");
    let put = store.put_blueprint(&first, ExpectedHead::Any, "");
    put.await.expect("the store answers");
    let setting = orbit_setting("s", &name, pinned());
    let entries = async || -> Vec<String> {
        let mut all = redis::cmd("HGETALL");
        all.arg(there.keys().orbits());
        let mut connection = redis.connection().await;
        let mut flat: Vec<String> = all.query_async(&mut connection).await.expect("HGETALL");
        flat.sort();
        flat
    };
    // Rejected: no part of it is stored.
    let stale = store
        .put_checked_setting(&setting, Some(7), checked_at(Some(1)))
        .await;
    stale.expect("the store answers");
    assert_eq!(entries().await, [""; 0]);
    // An orbit that was written after the check is noticed, although it is in another shard.
    let moved = store
        .put_checked_setting(&setting, None, checked_at(Some(9)))
        .await;
    let moved = moved.expect("the store answers");
    assert_eq!(moved, PutSettingOutcome::OrbitMoved);
    assert_eq!(entries().await, [""; 0]);
    let put = store
        .put_checked_setting(&setting, None, checked_at(Some(1)))
        .await;
    put.expect("the store answers");
    assert_eq!(
        entries().await,
        [format!("{name} labelled"), "s".to_owned()]
    );
    let outcome = store.submit(&new_issue(&name, "i-1")).await;
    assert_eq!(outcome.expect("the store answers"), refused_by("s"));

    // As if shard 0 had not stored it yet: the announcement alone causes the rejection.
    let mut announce = redis::cmd("HSET");
    let other = (0..)
        .map(|n| format!("other-{n}"))
        .find(|other| store.of(&blueprint_id(other)).number() == there.number())
        .expect("names are spread over the shards");
    announce.arg(there.keys().orbits());
    announce.arg("t (announced)").arg(format!("{other} pinned"));
    let mut connection = redis.connection().await;
    let _: u64 = announce.query_async(&mut connection).await.expect("HSET");
    let first = marked(&other, "first", "1.0.0");
    let put = store.put_blueprint(&first, ExpectedHead::Any, "");
    put.await.expect("the store answers");
    let outcome = store.submit(&new_issue(&other, "i-2")).await;
    assert_eq!(outcome.expect("the store answers"), refused_by("t"));
}

/// Between the announcement of a setting and its write, the auditor or another writer mirrors the
/// stored settings.
#[tokio::test]
async fn an_announced_setting_stays_announced_while_others_are_written() {
    const SHARDS: usize = 2;
    let redis = RedisServer::start(Aof::None);
    let direct = Store::open(&redis.socket_url(), SHARDS).expect("a valid URL");
    let mut names = (0..).map(|n| format!("orbit-{n}"));
    let mut elsewhere = || {
        let is_elsewhere = |name: &String| direct.of(&blueprint_id(name)).number() == 1;
        names.find(is_elsewhere).expect("names are spread")
    };
    let (name, other) = (elsewhere(), elsewhere());
    for name in [&name, &other] {
        let first = marked(name, "first", "1.0.0");
        let put = direct.put_blueprint(&first, ExpectedHead::Any, "");
        put.await.expect("the store answers");
    }
    let proxy = RespProxy::start(redis.port()).await;
    let slow = Store::open(&proxy.url(), SHARDS).expect("a valid URL");
    let mut held = proxy.stall_before("put_setting", 1);
    let setting = orbit_setting("s", &name, pinned());
    let meanwhile = async {
        held.fired().await;
        let submit = async |id: &str| {
            let outcome = direct.submit(&new_issue(&name, id)).await;
            outcome.expect("the store answers")
        };
        assert_eq!(submit("i-1").await, refused_by("s"));
        direct.mirror_orbits().await.expect("mirrored");
        assert_eq!(submit("i-2").await, refused_by("s"), "after a mirroring");
        let beside = orbit_setting("beside", &other, pinned());
        let put = direct
            .put_checked_setting(&beside, None, checked_at(Some(1)))
            .await;
        put.expect("the store answers");
        assert_eq!(submit("i-3").await, refused_by("s"), "after another write");
        proxy.stall(false);
    };
    let (put, ()) = join(
        slow.put_checked_setting(&setting, None, checked_at(Some(1))),
        meanwhile,
    )
    .await;
    put.expect("the store answers");
    let orbits = async || -> Vec<String> {
        let mut keys = redis::cmd("HKEYS");
        keys.arg(direct.shards()[1].keys().orbits());
        let mut connection = redis.connection().await;
        let mut keys: Vec<String> = keys.query_async(&mut connection).await.expect("HKEYS");
        keys.sort();
        keys
    };
    assert_eq!(
        orbits().await,
        ["beside", "s"],
        "nothing is announced any more"
    );

    // An announcement whose writer died is removed after a minute.
    let (secs, _): (u64, u64) = redis::cmd("TIME")
        .query_async(&mut redis.connection().await)
        .await
        .expect("TIME");
    for (age, expected) in [(0, 3), (61, 2)] {
        let mut announce = redis::cmd("HSET");
        announce.arg(direct.shards()[1].keys().orbits());
        let at = (secs - age) * 1_000;
        announce
            .arg(format!("t (announced) {at} x"))
            .arg(format!("{name} pinned"));
        let mut connection = redis.connection().await;
        let _: u64 = announce.query_async(&mut connection).await.expect("HSET");
        direct.mirror_orbits().await.expect("mirrored");
        assert_eq!(orbits().await.len(), expected, "{age} s old");
        let mut take_back = redis::cmd("HDEL");
        take_back.arg(direct.shards()[1].keys().orbits());
        take_back.arg(format!("t (announced) {at} x"));
        let _: u64 = take_back.query_async(&mut connection).await.expect("HDEL");
    }
}

#[tokio::test]
async fn an_issue_of_a_store_without_authorities_counts_as_a_submitters() {
    let fixture = Fixture::with(&["orbit"]).await;
    let store = &fixture.store;
    let by_admin = new_issue("orbit", "i-1").on_authority(Authority::Admin);
    fixture.step(store.submit(&by_admin)).await;
    let issue = issue_ref("orbit", "i-1");
    let key = store.keys().issue(&issue.issue_id);
    let removed: u64 = fixture.raw(&["HDEL", &key, "authority"]).await;
    assert_eq!(removed, 1);
    fixture.set_orbit("orbit", true, true).await;
    let worker = worker_id("w");
    assert_eq!(fixture.pop(&worker).await, Some(issue.clone()));
    let claim = store.claim(&issue, &worker, "n", LONG, None, BESIDE);
    let outcome = fixture.step(claim).await;
    assert!(
        matches!(outcome, ClaimOutcome::OrbitNeedsAdmin),
        "{outcome:?}"
    );
}

/// The note that a Blueprint has of the settings that name it.
async fn noted(fixture: &Fixture, name: &str) -> Option<String> {
    let key = fixture.store.keys().blueprint(&blueprint_id(name));
    fixture.raw(&["HGET", &key, "orbit_as_of"]).await
}

/// Removes the note, as for a Blueprint without any submitted issue.
async fn forget_note(fixture: &Fixture, name: &str) {
    let key = fixture.store.keys().blueprint(&blueprint_id(name));
    let _: i64 = fixture.raw(&["HDEL", &key, "orbit_as_of"]).await;
}

#[tokio::test]
async fn who_names_an_orbit_is_noted_by_submit_claim_and_settle() {
    let fixture = Fixture::with(&["orbit", "target"]).await;
    fixture.set_orbit("orbit", true, false).await;
    let worker = worker_id("w");
    let before = fixture.store.settings_counter().await.unwrap();
    for (name, setting) in [("orbit", "names-orbit"), ("target", "")] {
        let counter = fixture.store.settings_counter().await.unwrap();
        let expected = Some(format!("{counter} {setting}"));
        let id = format!("{name}.1");
        match name {
            "orbit" => drop(fixture.submit_by_admin(name, &id).await),
            _ => {
                fixture.submit(name, &id).await;
                assert_eq!(noted(&fixture, name).await, expected, "submit");
                forget_note(&fixture, name).await;
            }
        }
        let claimed = fixture.take(&worker, LONG).await;
        assert_eq!(noted(&fixture, name).await, expected, "claim");
        forget_note(&fixture, name).await;
        fixture.step(fixture.settle(&claimed, How::Applied)).await;
        assert_eq!(noted(&fixture, name).await, expected, "settle");
    }
    // The commit of an orbit in use makes workers read the settings again, so the note is outdated.
    assert_eq!(fixture.store.settings_counter().await.unwrap(), before + 1);
}

#[tokio::test]
async fn the_settings_are_not_read_again_until_one_is_written() {
    let fixture = Fixture::with(&["orbit"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let early = fixture.submit("orbit", "i-1").await;
    let later = fixture.submit("orbit", "i-2").await;
    let claimed = fixture.take(&worker, LONG).await;
    assert_eq!(claimed.lease.issue, early);
    fixture.set_orbit("orbit", true, false).await;
    fixture.submit_by_admin("orbit", "i-3").await;
    let counter = store.settings_counter().await.unwrap();
    let key = store.keys().blueprint(&blueprint_id("orbit"));
    let note = format!("{counter} names-orbit");
    let _: i64 = fixture.raw(&["HSET", &key, "orbit_as_of", &note]).await;
    // From here on only the note says which settings name the orbit.
    let _: i64 = fixture.raw(&["DEL", &store.keys().orbits()]).await;
    let outcome = fixture
        .refused(store.submit(&new_issue("orbit", "i-4")))
        .await;
    assert_eq!(outcome, refused_by("names-orbit"));
    let settled = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(settled, SettleOutcome::OrbitNeedsAdmin);
    assert_eq!(fixture.pop(&worker).await, Some(later.clone()));
    let claim = store.claim(&later, &worker, "n", LONG, None, BESIDE);
    let outcome = fixture.step(claim).await;
    assert!(
        matches!(outcome, ClaimOutcome::OrbitNeedsAdmin),
        "{outcome:?}"
    );
    // After a setting is written, the settings are read.
    fixture.set_orbit("orbit", false, false).await;
    fixture.submit("orbit", "i-5").await;
}
