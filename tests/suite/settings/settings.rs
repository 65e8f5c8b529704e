//! Settings: accepted and rejected writes, and when an edit takes effect.

use proto::v1;
use proto::v1::IssueState;
use proto::v1::version_selector::Selector;
use tests::factory::{self, selector, setting};
use tests::rig::Rig;
use tonic::{Code, Status};

async fn put(rig: &Rig, request: v1::PutSettingRequest) -> Result<v1::EnhanceSetting, Status> {
    let answer = rig.client.settings.clone().put_setting(request).await?;
    Ok(answer
        .into_inner()
        .setting
        .expect("PutSetting answers the setting"))
}

#[tokio::test]
async fn what_is_no_setting_is_refused() {
    let rig = Rig::without_worker().await;
    let before = rig.key_dump().await;
    let cases: &[(&str, v1::PutSettingRequest, &[Code])] = &[
        (
            "nothing",
            v1::PutSettingRequest::default(),
            &[Code::InvalidArgument],
        ),
        ("an empty id", setting("", |_| {}), &[Code::InvalidArgument]),
        (
            "an id that is none",
            setting("a/b", |_| {}),
            &[Code::InvalidArgument],
        ),
        (
            "an invalid id of an orbit",
            setting("s", |s| s.blueprint_id = "a/b".to_owned()),
            &[Code::InvalidArgument],
        ),
        (
            "an unknown orbit",
            setting("s", |s| s.blueprint_id = "nobody".to_owned()),
            &[Code::NotFound, Code::FailedPrecondition],
        ),
        (
            "a ceiling of 0",
            setting("s", |s| s.ttl_secs = 0),
            &[Code::InvalidArgument],
        ),
        (
            "no requirement",
            setting("s", |s| {
                s.selector = selector(Selector::SemverReq("banana".to_owned()))
            }),
            &[Code::InvalidArgument],
        ),
        (
            "no version",
            setting("s", |s| {
                s.selector = selector(Selector::Fixed("abc".to_owned()))
            }),
            &[Code::InvalidArgument],
        ),
        (
            "a spawner with a huge number",
            setting("s", |s| s.spawner = Some(huge())),
            &[Code::InvalidArgument],
        ),
    ];
    for (what, request, codes) in cases {
        let status = put(&rig, request.clone()).await.expect_err(what);
        assert!(codes.contains(&status.code()), "{what}: {status}");
    }
    assert!(before == rig.key_dump().await, "a refusal changes nothing");
    let get = v1::GetSettingRequest {
        setting_id: "s".to_owned(),
    };
    assert_eq!(
        rig.client
            .settings
            .clone()
            .get_setting(get)
            .await
            .expect_err("no such setting")
            .code(),
        Code::NotFound
    );
}

/// `{kind: lua, n: 1e17}`: integral and outside ±2^53.
fn huge() -> prost_types::Struct {
    use prost_types::value::Kind;
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let fields = [
        (
            "kind".to_owned(),
            value(Kind::StringValue("lua".to_owned())),
        ),
        ("n".to_owned(), value(Kind::NumberValue(1e17))),
    ];
    prost_types::Struct {
        fields: fields.into_iter().collect(),
    }
}

#[tokio::test]
async fn a_write_raises_the_revision_and_can_insist_on_the_one_it_saw() {
    let rig = Rig::without_worker().await;
    let first = put(&rig, setting("mine", |_| {}))
        .await
        .expect("PutSetting");
    assert_eq!((first.id.as_str(), first.ttl_secs), ("mine", 60));
    let mut request = setting("mine", |s| s.ttl_secs = 61);
    request.expected_revision = Some(first.revision);
    let second = put(&rig, request.clone())
        .await
        .expect("the revision as seen");
    assert!(second.revision > first.revision);
    let stale = put(&rig, request).await.expect_err("the revision moved");
    assert_eq!(stale.code(), Code::Aborted, "{stale}");
    let get = v1::GetSettingRequest {
        setting_id: "mine".to_owned(),
    };
    let got = rig
        .client
        .settings
        .clone()
        .get_setting(get)
        .await
        .expect("GetSetting")
        .into_inner()
        .setting;
    assert_eq!(got, Some(second));
}

#[tokio::test]
async fn an_edit_acts_on_the_next_issue_and_outlives_a_restart() {
    let mut rig = Rig::start().await;
    rig.client.put(factory::small("edited")).await;
    for axes in [vec!["des"], vec!["noop", "des"], vec![], vec!["canonical"]] {
        let axes: Vec<String> = axes.into_iter().map(str::to_owned).collect();
        rig.client
            .edit_setting(|s| {
                s.no_verification = axes.is_empty();
                s.verifier_axes = axes.clone();
            })
            .await;
        let issue = rig
            .client
            .run("edited", format!("tag t{}", axes.len()))
            .await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        let entry = rig.client.entry(&issue.issue_id).await;
        assert_eq!(
            entry
                .verdicts
                .into_iter()
                .map(|v| v.axis)
                .collect::<Vec<_>>(),
            axes
        );
    }
    rig.intake.terminate().await;
    rig.restart_intake().await;
    rig.workers.clear();
    rig.add_worker(&[]);
    let issue = rig.client.run("edited", "tag last").await;
    let entry = rig.client.entry(&issue.issue_id).await;
    assert_eq!(
        entry.verdicts.len(),
        1,
        "the seed overwrites nothing: {entry:?}"
    );
}

#[tokio::test]
async fn a_worker_uses_the_setting_that_it_was_told() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("told")).await;
    put(&rig, setting("other", |_| {}))
        .await
        .expect("PutSetting");
    rig.add_worker(&[("DRAFTSMAN_SETTING", "other")]);
    let issue = rig.client.run("told", "tag x").await;
    let axes = rig
        .client
        .entry(&issue.issue_id)
        .await
        .verdicts
        .into_iter()
        .map(|v| v.axis)
        .collect::<Vec<_>>();
    assert_eq!(axes, ["des"]);
}

#[tokio::test]
async fn an_orbit_may_be_pinned_while_its_head_is_edited() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("pinned")).await;
    let orbit = rig
        .client
        .head("enhance-default")
        .await
        .commit
        .expect("a commit")
        .version;
    rig.client
        .edit_setting(|s| s.selector = selector(Selector::Fixed(orbit.clone())))
        .await;
    // The head loses its committer; no setting uses it by `latest` now, so the write is valid.
    let mut edited = rig.client.head_json("enhance-default").await;
    edited["agents"] = serde_json::json!([]);
    rig.client.put(edited.to_string()).await;
    let issue = rig.client.run("pinned", "tag x").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
}

#[tokio::test]
async fn an_orbit_in_use_must_stay_runnable() {
    let rig = Rig::start().await;
    let good = rig.client.head_json("enhance-default").await;
    let mut bad = good.clone();
    bad["agents"] = serde_json::json!([]);
    let status = rig.client.put_refused(bad.to_string()).await;
    assert!(
        matches!(
            status.code(),
            Code::InvalidArgument | Code::FailedPrecondition
        ),
        "{status}"
    );
    let issue = rig.client.run("enhance-default", "remove /agents/0").await;
    assert_eq!(issue.state(), IssueState::Rejected, "{issue:?}");
    assert_eq!(rig.client.head_json("enhance-default").await, good);
}
