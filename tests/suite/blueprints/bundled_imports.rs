//! Imports that take the place of a bundled orbit, as a restore needs them: only while nobody has
//! changed it, and only what its settings can run.

use proto::v1;
use proto::v1::version_selector::Selector;
use shared::domain::history::HistoryEntry;
use shared::ids::BlueprintId;
use shared::store::{ImportOutcome, Seed, StageOutcome};
use tests::factory;
use tests::rig::Rig;
use tests::store_fixture::{Fixture, blueprint_id};
use tests::transfers::{export, import};
use tonic::Code;

const ORBIT: &str = "enhance-default";

/// An export that takes the place of a bundled orbit.
async fn replacing(rig: &Rig, id: &str) -> Vec<v1::ImportBlueprintRequest> {
    let mut messages = export(&rig.client, id).await;
    for message in &mut messages {
        message.replace_bundled = true;
    }
    messages
}

/// An orbit with a change, a label and a channel, in a store of its own.
async fn changed() -> Vec<v1::ImportBlueprintRequest> {
    let rig = Rig::without_worker().await;
    let orbit = rig.client.head(ORBIT).await.document_yaml;
    let changed = rig.client.put(format!("{orbit}x-note: changed\n")).await;
    rig.client
        .set_channel(ORBIT, "production", &changed.version)
        .await;
    replacing(&rig, ORBIT).await
}

#[tokio::test]
async fn a_bundled_orbit_that_nobody_changed_is_replaced_and_used() {
    let messages = changed().await;
    let rig = Rig::start().await;
    rig.client.put(factory::small("target")).await;
    // The worker has the orbit in its cache.
    let before = rig.client.run("target", "tag one").await;
    assert_eq!(before.state(), v1::IssueState::Applied, "{before:?}");

    let mut unasked = messages.clone();
    unasked[0].replace_bundled = false;
    let refused = import(&rig.client, unasked).await.expect_err("it exists");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    let head = import(&rig.client, messages.clone())
        .await
        .expect("ImportBlueprint");
    assert_eq!(head.seq, 2);
    let got = rig.client.head(ORBIT).await;
    assert!(
        got.document_yaml.contains("x-note: changed"),
        "{}",
        got.document_yaml
    );
    let again: Vec<_> = replacing(&rig, ORBIT).await;
    assert_eq!(
        again[1..],
        messages[1..],
        "the whole history, moves of channels included"
    );
    let after = rig.client.run("target", "tag two").await;
    assert_eq!(after.state(), v1::IssueState::Applied, "{after:?}");
    // It is not bundled any more.
    let refused = import(&rig.client, messages)
        .await
        .expect_err("it was changed");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
}

#[tokio::test]
async fn what_was_changed_or_is_selected_is_not_replaced() {
    let messages = changed().await;
    let head = |rig: &Rig| {
        let client = rig.client.clone();
        async move { client.head(ORBIT).await }
    };
    // A commit of a caller.
    let rig = Rig::without_worker().await;
    let orbit = head(&rig).await.document_yaml;
    rig.client.put(format!("{orbit}x-note: mine\n")).await;
    let refused = import(&rig.client, messages.clone())
        .await
        .expect_err("a commit");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");

    // A channel, even one that was deleted.
    let rig = Rig::without_worker().await;
    let version = head(&rig).await.commit.expect("a commit").version;
    rig.client.set_channel(ORBIT, "staging", &version).await;
    let request = v1::DeleteChannelRequest {
        blueprint_id: ORBIT.to_owned(),
        channel: "staging".to_owned(),
        expected_revision: None,
    };
    rig.client
        .blueprints
        .clone()
        .delete_channel(request)
        .await
        .expect("DeleteChannel");
    let refused = import(&rig.client, messages.clone())
        .await
        .expect_err("a channel");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");

    // A setting that selects its version.
    let rig = Rig::without_worker().await;
    let version = head(&rig).await.commit.expect("a commit").version;
    let request = factory::setting("pinned", |setting| {
        setting.selector = factory::selector(Selector::Fixed(version));
    });
    rig.client.put_setting(request).await.expect("PutSetting");
    let refused = import(&rig.client, messages.clone())
        .await
        .expect_err("a selected version");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");

    // A Blueprint that no release bundles.
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("other")).await;
    let refused = import(&rig.client, replacing(&rig, "other").await)
        .await
        .expect_err("it exists");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    let staged = rig.key_dump().await;
    assert!(
        staged.keys().all(|key| !key.contains("staged")),
        "{:?}",
        staged.keys()
    );
}

#[tokio::test]
async fn an_orbit_that_cannot_run_does_not_replace_one_in_use() {
    let source = Rig::without_worker().await;
    // No setting uses it there, so any document can be written.
    source
        .client
        .put_setting(factory::setting("default", |setting| {
            setting.blueprint_id = "enhance-repair".to_owned();
        }))
        .await
        .expect("PutSetting");
    source.client.put(factory::small(ORBIT)).await;
    let messages = replacing(&source, ORBIT).await;
    let rig = Rig::without_worker().await;
    let before = rig.client.head(ORBIT).await;
    let refused = import(&rig.client, messages)
        .await
        .expect_err("it cannot run");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert_eq!(rig.client.head(ORBIT).await, before);
    let staged = rig.key_dump().await;
    assert!(
        staged.keys().all(|key| !key.contains("staged")),
        "{:?}",
        staged.keys()
    );
}

#[tokio::test]
async fn a_setting_that_changed_after_the_check_stops_the_replacement() {
    let source = Fixture::start().await;
    source
        .whole
        .prepare(&Seed::bundled())
        .await
        .expect("a prepared store");
    let id: BlueprintId = blueprint_id(ORBIT);
    let history: Vec<HistoryEntry> = source.store.history(&id, 1, 1).await.expect("a history");
    let document = shared::blueprint::Blueprint::parse(&history[0].document).expect("a document");

    let fixture = Fixture::start().await;
    fixture
        .whole
        .prepare(&Seed::bundled())
        .await
        .expect("a prepared store");
    let begin = fixture
        .store
        .begin_replacement(&id)
        .await
        .expect("an answer");
    let mut import = begin.expect("it is as bundled");
    assert!(import.is_replacement());
    let staged = import.stage(&history).await.expect("an answer");
    assert_eq!(staged, StageOutcome::Staged);
    let used = fixture.whole.orbit_use(&document).await.expect("its use");
    let settings = fixture
        .whole
        .home()
        .list_settings()
        .await
        .expect("the settings");
    fixture
        .whole
        .put_setting(&settings[0], None)
        .await
        .expect("a written setting");
    let outcome = fixture
        .refused(fixture.whole.finish_replacement(&import, &used))
        .await;
    assert_eq!(outcome, ImportOutcome::OrbitInUse);
    let used = fixture.whole.orbit_use(&document).await.expect("its use");
    let outcome = fixture
        .step(fixture.whole.finish_replacement(&import, &used))
        .await;
    assert_eq!(outcome, ImportOutcome::Imported);
    // It is as bundled again, but its end was used up.
    let outcome = fixture
        .refused(fixture.whole.finish_replacement(&import, &used))
        .await;
    assert_eq!(outcome, ImportOutcome::Expired);

    // Without a Blueprint of this id it is an import like any other.
    let empty = Fixture::start().await;
    let begin = empty.store.begin_replacement(&id).await.expect("an answer");
    assert!(!begin.expect("it is absent").is_replacement());
}
