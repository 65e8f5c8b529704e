//! Archived Blueprints: the calls that reject them, and that no setting can name one.

use std::time::Duration;

use futures::future::join;
use proto::v1::{self, IssueState, RejectionCause};
use shared::domain::setting::EnhanceSetting;
use shared::domain::version_selector::VersionSelector;
use shared::ids::SettingId;
use shared::store::{ArchiveOutcome, PutSettingOutcome, Store};
use tests::factory;
use tests::programs::{Program, run};
use tests::rig::Rig;
use tests::store_fixture::{ARCHIVED, Fixture, blueprint_id};
use tonic::{Code, Status};
use tonic_types::StatusExt;

async fn archive(rig: &Rig, id: &str) -> Result<v1::BlueprintSummary, Status> {
    let request = v1::ArchiveBlueprintRequest {
        blueprint_id: id.to_owned(),
    };
    let answer = rig
        .client
        .blueprints
        .clone()
        .archive_blueprint(request)
        .await;
    Ok(answer?.into_inner().blueprint.expect("a Blueprint"))
}

async fn unarchive(rig: &Rig, id: &str) -> Result<v1::BlueprintSummary, Status> {
    let request = v1::UnarchiveBlueprintRequest {
        blueprint_id: id.to_owned(),
    };
    let answer = rig
        .client
        .blueprints
        .clone()
        .unarchive_blueprint(request)
        .await;
    Ok(answer?.into_inner().blueprint.expect("a Blueprint"))
}

async fn listed(rig: &Rig, include_archived: bool) -> Vec<v1::BlueprintSummary> {
    let request = v1::ListBlueprintsRequest {
        include_archived,
        ..Default::default()
    };
    let answer = rig.client.blueprints.clone().list_blueprints(request).await;
    answer.expect("ListBlueprints").into_inner().blueprints
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.expect("an ErrorInfo").reason
}

#[tokio::test]
async fn an_archived_blueprint_is_kept_and_not_written() {
    let mut rig = Rig::without_worker().await;
    let first = rig.client.put(factory::small("kept")).await;
    let second = rig.client.put(factory::two_kb("kept")).await;
    let before = listed(&rig, false).await;
    let waiting = rig.client.submit("kept", "tag x").await.issue_id;

    let archived = archive(&rig, "kept").await.expect("ArchiveBlueprint");
    assert!(archived.archived);
    let again = archive(&rig, "kept").await.expect("again is the same");
    assert_eq!(again, archived);
    let ids = |list: Vec<v1::BlueprintSummary>| -> Vec<String> {
        list.into_iter().map(|b| b.blueprint_id).collect()
    };
    assert_eq!(
        ids(listed(&rig, false).await),
        ["enhance-default", "enhance-repair"]
    );
    assert!(listed(&rig, true).await.contains(&archived));
    assert_eq!(rig.client.head("kept").await.commit, Some(second));
    assert_eq!(rig.client.history("kept").await.len(), 2);

    let mut refused = vec![rig.client.put_refused(factory::small("kept")).await];
    let request = v1::RevertBlueprintRequest {
        blueprint_id: "kept".to_owned(),
        version: first.version,
        rationale: None,
    };
    let revert = rig
        .client
        .blueprints
        .clone()
        .revert_blueprint(request)
        .await;
    refused.push(revert.expect_err("archived"));
    let request = v1::SubmitIssueRequest {
        blueprint_id: "kept".to_owned(),
        intent: "tag y".to_owned(),
        issue_id: None,
        ..Default::default()
    };
    let submit = rig.client.intake.clone().submit_issue(request).await;
    refused.push(submit.expect_err("archived"));
    let mut setting = v1::EnhanceSetting {
        id: "names-it".to_owned(),
        blueprint_id: "kept".to_owned(),
        no_verification: true,
        ttl_secs: 60,
        ..Default::default()
    };
    let request = v1::PutSettingRequest {
        setting: Some(setting.clone()),
        ..Default::default()
    };
    let put = rig.client.settings.clone().put_setting(request).await;
    let status = put.expect_err("archived");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert_eq!(reason(&status), "ORBIT_ARCHIVED");
    for status in refused {
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        assert_eq!(reason(&status), "BLUEPRINT_ARCHIVED");
    }

    // A queued issue fails when it is claimed.
    rig.add_worker(&[]);
    let issue = rig.client.decided(&waiting).await;
    assert_eq!(
        (issue.state(), issue.cause(), issue.reason.as_str()),
        (IssueState::Rejected, RejectionCause::Failed, ARCHIVED)
    );

    let back = unarchive(&rig, "kept").await.expect("UnarchiveBlueprint");
    assert!(!back.archived && before.contains(&back), "{back:?}");
    unarchive(&rig, "kept").await.expect("again is the same");
    assert_eq!(listed(&rig, false).await, before);
    let next = rig.client.run("kept", "tag x").await;
    assert_eq!(next.state(), IssueState::Applied, "{next:?}");
    assert_eq!(rig.client.entry(&waiting).await.reasons, [ARCHIVED]);

    // A Blueprint that a setting names cannot be archived until the setting names another.
    let orbit = serde_json::json!({"id": "kept", "flow": factory::denying_flow(), "agents": []});
    rig.client.put(orbit.to_string()).await;
    setting.id = "other".to_owned();
    for name in ["default", "names-it", "other"] {
        setting.id = name.to_owned();
        let request = v1::PutSettingRequest {
            setting: Some(setting.clone()),
            ..Default::default()
        };
        let put = rig.client.settings.clone().put_setting(request).await;
        put.expect("PutSetting");
    }
    let status = archive(&rig, "kept").await.expect_err("in use");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, "ORBIT_IN_USE");
    assert_eq!(info.metadata["setting_ids"], "default,names-it,other");
    archive(&rig, "enhance-default")
        .await
        .expect("nobody names it now");
    for (id, call) in [("nobody", true), ("nobody", false)] {
        let answer = if call {
            archive(&rig, id).await
        } else {
            unarchive(&rig, id).await
        };
        assert_eq!(answer.expect_err("not there").code(), Code::NotFound);
    }
}

#[tokio::test]
async fn no_setting_ever_names_an_archived_orbit() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let one = store.with_own_connection(Duration::MAX);
    let other = Store::open(&fixture.redis.socket_url(), 1).expect("a URL");
    let mut seen = [0, 0];
    for n in 0..200 {
        let name = format!("orbit-{n}");
        fixture
            .put(&tests::store_fixture::marked(&name, "x", ""))
            .await;
        let id = blueprint_id(&name);
        let setting = EnhanceSetting {
            id: SettingId::parse("s").expect("an id"),
            blueprint_id: id.clone(),
            selector: VersionSelector::Latest,
            verifier_axes: Vec::new(),
            no_verification: true,
            ttl_secs: 1,
            spawner: None,
            applies_to: Vec::new(),
            axis_options: Default::default(),
            review: Default::default(),
            revision: 0,
            updated_by: None,
            updated_at_ms: None,
        };
        let (archived, put) = join(
            one.set_archived(&id, true),
            other.put_setting(&setting, None),
        )
        .await;
        match (archived.expect("an answer"), put.expect("an answer")) {
            (ArchiveOutcome::Done(_), PutSettingOutcome::ArchivedOrbit) => seen[0] += 1,
            (ArchiveOutcome::InUse(by), PutSettingOutcome::Stored(_)) => {
                assert_eq!(by, ["s"]);
                seen[1] += 1;
            }
            both => panic!("one of them has to give way: {both:?}"),
        }
    }
    assert_eq!(seen[0] + seen[1], 200);
    assert!(
        fixture
            .refused(store.set_archived(&blueprint_id("none"), true))
            .await
            == ArchiveOutcome::Unknown
    );
}

#[tokio::test]
async fn a_person_archives_and_takes_back() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("kept")).await;
    let addr = format!("http://{}", rig.address);
    let draftsman = async |args: &[&str]| {
        let finished = run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    assert!(draftsman(&["archive", "kept"]).await.contains("archived"));
    assert!(!draftsman(&["get"]).await.contains("kept"));
    assert!(draftsman(&["get", "--archived"]).await.contains("kept"));
    let back = draftsman(&["unarchive", "kept", "--output", "json"]).await;
    let back: serde_json::Value = serde_json::from_str(&back).expect("JSON");
    assert_eq!(back["blueprint"]["archived"], false);
}
