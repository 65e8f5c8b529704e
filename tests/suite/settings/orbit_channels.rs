//! A setting whose selector is a channel of its orbit: a move takes effect with the next issue, and
//! is checked and tried as a write of an orbit in use.

use proto::v1;
use proto::v1::version_selector::Selector;
use proto::v1::{IssueState, RejectionCause, Trial};
use serde_json::{Value, json};
use tests::factory::{self, selector, setting};
use tests::rig::Rig;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// An orbit that denies every issue.
fn denies() -> Value {
    json!({"id": "own-orbit", "flow": factory::denying_flow(), "agents": []})
}

fn follows(channel: &str) -> v1::PutSettingRequest {
    setting("s", |s| {
        s.blueprint_id = "own-orbit".to_owned();
        s.selector = selector(Selector::Channel(channel.to_owned()));
        s.applies_to = vec!["target".to_owned()];
    })
}

async fn set(rig: &Rig, channel: &str, version: &str) -> Result<v1::SetChannelResponse, Status> {
    let request = v1::SetChannelRequest {
        blueprint_id: "own-orbit".to_owned(),
        channel: channel.to_owned(),
        version: version.to_owned(),
        ..Default::default()
    };
    let answer = rig.client.blueprints.clone().set_channel(request).await?;
    Ok(answer.into_inner())
}

fn reason_of(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    (status.code(), info.reason)
}

#[tokio::test]
async fn a_setting_follows_a_channel_of_its_orbit() {
    let rig = Rig::start().await;
    rig.until_registered(1).await;
    rig.client.put(factory::small("target")).await;
    let mut orbit = rig.client.head_json("enhance-default").await;
    orbit["id"] = json!("own-orbit");
    let applies = rig.client.put(orbit.to_string()).await.version;
    let denies = rig.client.put(denies().to_string()).await.version;
    // It cannot run: its flow names an agent that it does not have.
    orbit["agents"] = json!([]);
    let broken = rig.client.put(orbit.to_string()).await.version;

    let unknown = rig.client.put_setting(follows("live")).await;
    let status = unknown.expect_err("no channel");
    let expected = (
        Code::FailedPrecondition,
        "ORBIT_VERSION_NOT_FOUND".to_owned(),
    );
    assert_eq!(reason_of(&status), expected, "{status}");
    assert!(status.message().contains("no channel live"), "{status}");
    let made = set(&rig, "live", &applies).await.expect("SetChannel");
    assert_eq!(made.trial(), Trial::Unspecified, "no setting follows it");
    let stored = rig.client.put_setting(follows("live")).await;
    let stored = stored.expect("PutSetting");
    assert_eq!(stored.trial(), Trial::Passed, "{}", stored.trial_detail);
    let found = stored.setting.and_then(|setting| setting.selector);
    assert_eq!(found, selector(Selector::Channel("live".to_owned())));

    let issue = rig.client.run("target", "tag one").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let moved = set(&rig, "live", &denies).await.expect("SetChannel");
    assert_eq!(moved.trial(), Trial::Passed, "{}", moved.trial_detail);
    let issue = rig.client.run("target", "tag two").await;
    assert_eq!(issue.cause(), RejectionCause::Denied, "{issue:?}");
    set(&rig, "live", &applies).await.expect("SetChannel");
    let issue = rig.client.run("target", "tag three").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");

    // What cannot run is refused for this channel only, and as a head it is not selected.
    let status = set(&rig, "live", &broken).await.expect_err("broken");
    let expected = (Code::FailedPrecondition, "ORBIT_NOT_RUNNABLE".to_owned());
    assert_eq!(reason_of(&status), expected, "{status}");
    let violations = status.get_details_bad_request().expect("a BadRequest");
    assert_eq!(violations.field_violations[0].field, "version");
    assert!(status.message().contains("setting s"), "{status}");
    set(&rig, "other", &broken).await.expect("not followed");
    let issue = rig.client.run("target", "tag four").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");

    // The channel and its Blueprint stay while the setting follows it.
    let mut blueprints = rig.client.blueprints.clone();
    let delete = v1::DeleteChannelRequest {
        blueprint_id: "own-orbit".to_owned(),
        channel: "live".to_owned(),
        expected_revision: None,
    };
    let status = blueprints.delete_channel(delete.clone()).await;
    let status = status.expect_err("in use");
    let expected = (Code::FailedPrecondition, "CHANNEL_IN_USE".to_owned());
    assert_eq!(reason_of(&status), expected, "{status}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.metadata["setting_ids"], "s");
    let archive = v1::ArchiveBlueprintRequest {
        blueprint_id: "own-orbit".to_owned(),
    };
    let status = blueprints.archive_blueprint(archive).await;
    let expected = (Code::FailedPrecondition, "ORBIT_IN_USE".to_owned());
    assert_eq!(reason_of(&status.expect_err("in use")), expected);
    rig.client.delete_setting("s").await.expect("DeleteSetting");
    blueprints
        .delete_channel(delete)
        .await
        .expect("DeleteChannel");
}
