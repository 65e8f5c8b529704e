//! Settings in the store, the counter by which workers notice an edit, and the bundled data.

use futures::future::{join, join_all};
use shared::blueprint::Blueprint;
use shared::domain::actor::Actor;
use shared::domain::id_pattern::IdPattern;
use shared::domain::proposal::ReviewPolicy;
use shared::domain::setting::EnhanceSetting;
use shared::domain::version_selector::VersionSelector;
use shared::ids::{SettingId, Version};
use shared::store::{
    DeleteSettingOutcome, ExpectedHead, PutOutcome, PutSettingOutcome, Seed, Store, StoreError,
};
use tests::resp_proxy::RespProxy;
use tests::store_fixture::{Fixture, How, LONG, blueprint_id, marked, worker_id};
use tests::store_orbits::checked_at;

fn semver(req: &str) -> VersionSelector {
    VersionSelector::SemverReq(req.parse().expect("a requirement"))
}

fn setting(name: &str, orbit: &str, selector: VersionSelector) -> EnhanceSetting {
    let spawner =
        r#"{"kind":"llm","big":1152921504606846977,"one":1.0,"none":null,"list":[],"map":{}}"#;
    let axis_options =
        shared::blueprint::json::parse(r#"{"own":{"big":9223372036854775807,"one":1.0}}"#)
            .expect("JSON");
    EnhanceSetting {
        id: SettingId::parse(name).expect("an id"),
        blueprint_id: blueprint_id(orbit),
        selector,
        verifier_axes: vec!["noop".to_owned()],
        no_verification: false,
        ttl_secs: 30,
        spawner: Some(shared::blueprint::json::parse(spawner).expect("JSON")),
        applies_to: vec![IdPattern::parse("team.*").expect("a pattern")],
        axis_options: axis_options.as_object().expect("an object").clone(),
        review: ReviewPolicy {
            ttl_secs: 90,
            allow_self_review: true,
        },
        revision: 99,
        updated_by: Some(Actor::parse("größer \"☃\"").expect("an actor")),
        updated_at_ms: None,
    }
}

#[tokio::test]
async fn a_setting_is_written_under_its_revision() {
    let fixture = Fixture::with(&["orbit", "other"]).await;
    let store = &fixture.store;
    let fixed = VersionSelector::Fixed(Version::of("x"));
    let mut revision = 0;
    for selector in [VersionSelector::Latest, fixed, semver("^1.2, <2")] {
        let new = setting("s", "orbit", selector);
        for wrong in [revision + 1, 7] {
            let put = fixture
                .refused(fixture.whole.put_setting(&new, Some(wrong)))
                .await;
            assert_eq!(put, PutSettingOutcome::RevisionMoved { actual: revision });
        }
        let expected = (revision > 0).then_some(revision);
        revision += 1;
        let (secs, micros): (u64, u64) = fixture.raw(&["TIME"]).await;
        let began = secs * 1_000 + micros / 1_000;
        let put = fixture.whole.put_setting(&new, expected).await.unwrap();
        let PutSettingOutcome::Stored(stored) = put else {
            panic!("{put:?}")
        };
        assert!(stored.updated_at_ms >= Some(began), "{stored:?}");
        let expected = EnhanceSetting {
            revision,
            updated_at_ms: stored.updated_at_ms,
            ..new.clone()
        };
        let stored = *stored;
        assert_eq!(stored, expected);
        assert_eq!(store.setting(&new.id).await.unwrap(), Some(stored.clone()));
        assert_eq!(store.list_settings().await.unwrap(), [stored]);
    }
    let lost = setting("s", "nowhere", VersionSelector::Latest);
    let put = fixture
        .refused(fixture.whole.put_setting(&lost, None))
        .await;
    assert_eq!(put, PutSettingOutcome::UnknownOrbit);
    // No setting names it, so it can be archived; afterwards no setting may name it.
    fixture.set_archived("other", true).await;
    let archived = setting("s", "other", VersionSelector::Latest);
    let put = fixture
        .refused(fixture.whole.put_setting(&archived, None))
        .await;
    assert_eq!(put, PutSettingOutcome::ArchivedOrbit);
    // The revision is checked first in a store that has the setting.
    let put = fixture
        .refused(fixture.whole.put_setting(&lost, Some(0)))
        .await;
    assert_eq!(put, PutSettingOutcome::RevisionMoved { actual: revision });
}

#[tokio::test]
async fn a_deleted_setting_is_gone_and_its_revisions_go_on() {
    let fixture = Fixture::with(&["orbit"]).await;
    let store = &fixture.store;
    let (one, two) = (
        setting("one", "orbit", VersionSelector::Latest),
        setting("two", "orbit", semver(">=1")),
    );
    for new in [&one, &one, &two] {
        fixture.whole.put_setting(new, None).await.unwrap();
    }
    let counter = async || -> u64 {
        fixture
            .raw(&["GET", &store.keys().settings_counter()])
            .await
    };
    assert_eq!(counter().await, 3);
    let deleted = fixture.whole.delete_setting(&one.id).await.unwrap();
    assert_eq!(deleted, DeleteSettingOutcome::Deleted);
    assert_eq!(counter().await, 4, "workers see it");
    assert_eq!(store.setting(&one.id).await.unwrap(), None);
    let left = store.list_settings().await.unwrap();
    assert_eq!(
        left.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(),
        ["two"]
    );
    assert!(!store.is_orbit_by_latest(&one.blueprint_id).await.unwrap());
    for name in ["one", "never"] {
        let id = SettingId::parse(name).expect("an id");
        let again = fixture.refused(fixture.whole.delete_setting(&id)).await;
        assert_eq!(again, DeleteSettingOutcome::UnknownSetting);
    }

    // A writer with the old revision cannot overwrite a new setting of that name.
    let stale = fixture
        .refused(fixture.whole.put_setting(&one, Some(2)))
        .await;
    assert_eq!(stale, PutSettingOutcome::RevisionMoved { actual: 0 });
    let new = fixture.whole.put_setting(&one, Some(0)).await.unwrap();
    assert!(
        matches!(&new, PutSettingOutcome::Stored(stored) if stored.revision == 3),
        "{new:?}"
    );
}

#[tokio::test]
async fn a_setting_of_a_release_without_patterns_has_none() {
    let fixture = Fixture::with(&["orbit"]).await;
    let store = &fixture.store;
    let mut old = setting("s", "orbit", VersionSelector::Latest);
    old.applies_to.clear();
    fixture.whole.put_setting(&old, None).await.unwrap();
    let text: String = fixture.raw(&["HGET", &store.keys().settings(), "s"]).await;
    assert!(
        !text.contains("applies_to"),
        "older releases can read it: {text}"
    );
    let read = store.setting(&old.id).await.unwrap().expect("it is there");
    assert_eq!(read.applies_to, []);
}

#[tokio::test]
async fn the_counter_rises_with_settings_and_their_orbits_alone() {
    let fixture = Fixture::with(&["orbit", "pinned", "other"]).await;
    let store = &fixture.store;
    let counter = async || {
        let count: Option<u64> = fixture
            .raw(&["GET", &store.keys().settings_counter()])
            .await;
        count.unwrap_or(0)
    };
    assert_eq!(counter().await, 0);
    let fixed = VersionSelector::Fixed(Version::of("x"));
    for (name, orbit, selector) in [
        ("one", "orbit", VersionSelector::Latest),
        ("two", "orbit", VersionSelector::Latest),
        ("three", "pinned", fixed),
    ] {
        fixture
            .whole
            .put_setting(&setting(name, orbit, selector), None)
            .await
            .unwrap();
    }
    assert_eq!(counter().await, 3);
    fixture.put(&marked("other", "new", "")).await;
    assert_eq!(counter().await, 3);
    fixture.put(&marked("pinned", "new", "")).await;
    assert_eq!(counter().await, 4);

    // An issue against an orbit counts too: once, however many settings name the orbit.
    for (name, how, expected) in [
        ("orbit", How::Denied, 4),
        ("other", How::Applied, 4),
        ("orbit", How::Applied, 5),
    ] {
        fixture
            .submit_by_admin(name, &format!("{name}-{how:?}"))
            .await;
        let claimed = fixture.take(&worker_id("w"), LONG).await;
        assert_eq!(claimed.settings_counter, 4);
        fixture.step(fixture.settle(&claimed, how)).await;
        assert_eq!(counter().await, expected, "{name} {how:?}");
    }
}

#[tokio::test]
async fn an_orbit_that_could_not_run_is_not_written() {
    let fixture = Fixture::with(&["orbit"]).await;
    let store = &fixture.store;
    let broken = "id: orbit\nflow: {kind: nonsense}\nagents: []\n";
    let broken = Blueprint::parse(broken).expect("a Blueprint");
    let follows = setting("s", "orbit", VersionSelector::Latest);
    fixture.whole.put_setting(&follows, None).await.unwrap();
    let put = fixture
        .refused(store.put_blueprint(&broken, ExpectedHead::Any, ""))
        .await;
    assert!(matches!(put, PutOutcome::NotRunnable(_)), "{put:?}");
    // The setting is pinned, so the head does not matter.
    let pinned = setting("s", "orbit", VersionSelector::Fixed(Version::of("x")));
    fixture.whole.put_setting(&pinned, None).await.unwrap();
    fixture.put(&broken).await;
}

/// Writes through a store behind a proxy that holds the first call of `script`. Returns the answer
/// to `write` after a concurrent change.
async fn overtaken<T>(
    fixture: &Fixture,
    script: &str,
    write: impl AsyncFnOnce(Store) -> T,
    meanwhile: impl AsyncFnOnce(),
) -> (T, Vec<String>) {
    let proxy = RespProxy::start(fixture.redis.port()).await;
    let store = Store::open(&proxy.url(), 1).expect("a valid URL");
    let mut held = proxy.stall_before(script, 1);
    let overtaking = async {
        held.fired().await;
        meanwhile().await;
        proxy.stall(false);
    };
    let (answer, ()) = join(write(store), overtaking).await;
    (answer, proxy.outcomes(script))
}

#[tokio::test]
async fn an_orbit_that_comes_into_use_while_it_is_written_is_looked_at() {
    let fixture = Fixture::with(&["orbit"]).await;
    let bundled = include_str!("../../../lua/enhance-default.yaml");
    let runs = bundled.replacen("id: enhance-default", "id: orbit", 1);
    let runs = Blueprint::parse(&runs).expect("a Blueprint");
    let broken = "id: orbit\nflow: {kind: nonsense}\nagents: []\n";
    let broken = Blueprint::parse(broken).expect("a Blueprint");
    let other = "id: orbit\nflow: {kind: nothing}\nagents: []\n";
    let other = Blueprint::parse(other).expect("a Blueprint");
    for (n, (selector, document, expected)) in [
        (
            VersionSelector::Latest,
            broken.clone(),
            &["orbit_in_use"][..],
        ),
        (VersionSelector::Latest, runs, &["orbit_in_use", "created"]),
        // Whether a label is chosen is checked again; this one has none.
        (semver(">=1"), broken, &["orbit_in_use", "created"]),
        // The setting is pinned, so the head does not matter.
        (
            VersionSelector::Fixed(Version::of("x")),
            other,
            &["created"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let named = setting(&format!("s{n}"), "orbit", selector);
        let (put, outcomes) = overtaken(
            &fixture,
            "put_blueprint",
            async |store| store.put_blueprint(&document, ExpectedHead::Any, "").await,
            async || {
                drop(
                    fixture
                        .whole
                        .put_setting(&named, None)
                        .await
                        .expect("stored"),
                )
            },
        )
        .await;
        let put = put.expect("an answer");
        assert_eq!(outcomes, expected, "{n}: {put:?}");
        let is_refused = matches!(put, PutOutcome::NotRunnable(_));
        assert_eq!(is_refused, n == 0, "{n}: {put:?}");
        fixture
            .whole
            .delete_setting(&named.id)
            .await
            .expect("deleted");
    }
}

#[tokio::test]
async fn a_setting_whose_orbit_moved_since_it_was_checked_is_not_written() {
    let fixture = Fixture::with(&["orbit"]).await;
    let named = setting("s", "orbit", VersionSelector::Latest);
    let seq = fixture
        .store
        .head_seq(&named.blueprint_id)
        .await
        .expect("read");
    assert_eq!(seq, Some(1));
    let (put, outcomes) = overtaken(
        &fixture,
        "put_setting",
        async |store| {
            store
                .put_checked_setting(&named, None, checked_at(seq))
                .await
        },
        async || drop(fixture.put(&marked("orbit", "moved", "")).await),
    )
    .await;
    assert_eq!(put.expect("an answer"), PutSettingOutcome::OrbitMoved);
    assert_eq!(outcomes, ["orbit_moved"]);
    let refused = fixture
        .whole
        .put_checked_setting(&named, None, checked_at(Some(1)));
    assert_eq!(
        fixture.refused(refused).await,
        PutSettingOutcome::OrbitMoved
    );
    let put = fixture
        .whole
        .put_checked_setting(&named, None, checked_at(Some(2)))
        .await;
    assert!(matches!(put, Ok(PutSettingOutcome::Stored(_))), "{put:?}");
}

#[tokio::test]
async fn what_is_bundled_is_written_once_and_never_over_an_edit() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let seed = Seed::bundled();
    let clients: Vec<Store> = (0..4)
        .map(|_| Store::open(&fixture.redis.socket_url(), 1).unwrap())
        .collect();
    for prepared in join_all(clients.iter().map(|client| client.prepare(&seed))).await {
        prepared.unwrap();
    }
    let (seeded, again) = (
        store.list_settings().await.unwrap(),
        fixture.whole.prepare(&seed),
    );
    assert_eq!(
        (seeded.len(), seeded[0].id.as_str(), seeded[0].revision),
        (1, "default", 1)
    );
    fixture.refused(again).await;
    let edited = EnhanceSetting {
        ttl_secs: 7,
        ..seeded[0].clone()
    };
    fixture.whole.put_setting(&edited, Some(1)).await.unwrap();
    fixture.refused(fixture.whole.prepare(&seed)).await;

    for (field, value) in [("format", "2"), ("shards", "3")] {
        let meta = store.keys().meta();
        let before: String = fixture.raw(&["HGET", &meta, field]).await;
        let _: i64 = fixture.raw(&["HSET", &meta, field, value]).await;
        let refused = fixture.whole.prepare(&seed).await;
        assert!(
            matches!(refused, Err(StoreError::Damaged { .. })),
            "{field}: {refused:?}"
        );
        let _: i64 = fixture.raw(&["HSET", &meta, field, &before]).await;
    }
}
