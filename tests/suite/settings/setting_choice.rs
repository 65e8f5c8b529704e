//! Several settings: the choice of the setting for an issue, and deleted settings.

use proto::v1;
use proto::v1::IssueState;
use tests::factory::{self, setting};
use tests::judgement::assert_failed;
use tests::programs::Process;
use tests::resp_proxy::RespProxy;
use tests::rig::Rig;
use tonic::Code;

/// Writes a setting that can be recognised by its axes.
async fn put(rig: &Rig, id: &str, axes: &[&str], applies_to: &[&str]) {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    let request = setting(id, |s| {
        s.verifier_axes = owned(axes);
        s.applies_to = owned(applies_to);
    });
    rig.client.put_setting(request).await.expect("PutSetting");
}

/// The axes that judge an issue of this Blueprint.
async fn axes(rig: &Rig, blueprint_id: &str, intent: &str) -> String {
    let issue = rig.client.run(blueprint_id, intent).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let entry = rig.client.entry(&issue.issue_id).await;
    let axes: Vec<String> = entry.verdicts.into_iter().map(|v| v.axis).collect();
    axes.join(" ")
}

async fn list(rig: &Rig, page_size: i32) -> Vec<String> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListSettingsRequest {
            page_size,
            page_token,
        };
        let answer = rig.client.settings.clone().list_settings(request).await;
        let page = answer.expect("ListSettings").into_inner();
        ids.extend(page.settings.into_iter().map(|s| s.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

#[tokio::test]
async fn an_issue_is_worked_on_by_the_most_specific_setting() {
    let mut rig = Rig::without_worker().await;
    let proxy = RespProxy::start(rig.redis.port()).await;
    rig.workers.push(Process::worker(&proxy.url(), &[]));
    for id in ["team.alpha", "team.beta", "other"] {
        rig.client.put(factory::small(id)).await;
    }
    put(&rig, "teams", &["canonical"], &["team.*"]).await;
    put(&rig, "alphas", &["noop"], &["*.alpha", "team.al*"]).await;
    let default = "des canonical noop agent-ref";
    for (n, (id, expected)) in [
        ("team.alpha", "noop"),
        ("team.beta", "canonical"),
        ("other", default),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            axes(&rig, id, &format!("tag first-{n}")).await,
            expected,
            "{id}"
        );
    }
    assert_eq!(list(&rig, 0).await, ["alphas", "default", "teams"]);
    assert_eq!(list(&rig, 1).await, ["alphas", "default", "teams"]);

    // Without writes of settings or orbits, no issue causes a read of them.
    let looks = || (proxy.calls("HGETALL"), proxy.calls("HGET"));
    let before = looks();
    for n in 0..3 {
        for id in ["team.alpha", "other", "team.beta"] {
            axes(&rig, id, &format!("tag again-{n}")).await;
        }
    }
    assert_eq!(looks(), before);

    // An edit and a deletion apply to the next issue.
    put(&rig, "alphas", &["noop"], &["nothing-of-ours"]).await;
    assert_eq!(axes(&rig, "team.alpha", "tag edited").await, "canonical");
    rig.client
        .delete_setting("teams")
        .await
        .expect("DeleteSetting");
    assert_eq!(axes(&rig, "team.alpha", "tag deleted").await, default);
    assert!(looks() > before, "the settings were read again");
    assert_eq!(list(&rig, 0).await, ["alphas", "default"]);
}

#[tokio::test]
async fn a_deleted_setting_fails_the_issues_of_its_workers_by_name() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("told")).await;
    rig.client.put(factory::small("kept.by")).await;
    put(&rig, "mine", &["des"], &[]).await;
    put(&rig, "for-kept", &["noop"], &["kept.*"]).await;
    rig.add_worker(&[("DRAFTSMAN_SETTING", "mine")]);
    assert_eq!(axes(&rig, "told", "tag one").await, "des");
    rig.client
        .delete_setting("mine")
        .await
        .expect("DeleteSetting");
    let issue = rig.client.run("told", "tag two").await;
    let reason = assert_failed(&rig, &issue).await;
    assert!(
        reason.contains("setting mine") && reason.contains("DRAFTSMAN_SETTING"),
        "{reason}"
    );
    // Another setting may still apply.
    assert_eq!(axes(&rig, "kept.by", "tag one").await, "noop");

    // When it is written again, its revisions continue.
    put(&rig, "mine", &["noop"], &[]).await;
    assert_eq!(axes(&rig, "told", "tag three").await, "noop");
    let request = v1::GetSettingRequest {
        setting_id: "mine".to_owned(),
    };
    let answer = rig.client.settings.clone().get_setting(request).await;
    let revision = answer.expect("GetSetting").into_inner().setting;
    assert_eq!(revision.expect("a setting").revision, 2);
}

#[tokio::test]
async fn what_cannot_be_deleted_is_kept() {
    let rig = Rig::without_worker().await;
    let before = rig.key_dump().await;
    for (id, code) in [
        ("default", Code::FailedPrecondition),
        ("nobody", Code::NotFound),
        ("a/b", Code::InvalidArgument),
    ] {
        let status = rig.client.delete_setting(id).await.expect_err(id);
        assert_eq!(status.code(), code, "{id}: {status}");
    }
    assert!(before == rig.key_dump().await);
}
