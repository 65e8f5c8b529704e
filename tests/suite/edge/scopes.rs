//! The effects of each scope of a tokens file on the verification. Every RPC is tried against
//! orbits, settings and everything else that controls it. `docs/security.md` names the tests here.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;
use proto::v1;
use serde_json::json;
use tests::factory;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::scopes_stage::{
    ADMIN, ATTACK, NOBODY, ORBIT, READER, REPORT, SUBMITTER, Stage, WAITING, with,
};

/// RPCs that only read.
const READS: [&str; 19] = [
    "EnhanceLogService/GetActivity",
    "IntakeService/GetIssue",
    "IntakeService/ListIssues",
    "IntakeService/WatchIssue",
    "IntakeService/GetQueueStats",
    "IntakeService/GetProposal",
    "BlueprintService/GetBlueprint",
    "BlueprintService/ListBlueprints",
    "BlueprintService/ListCommits",
    "BlueprintService/DiffBlueprint",
    "BlueprintService/ExportBlueprint",
    "BlueprintService/ListChannels",
    "BlueprintService/ListChannelMoves",
    "BlueprintService/ListConsumers",
    "BlueprintService/WatchBlueprints",
    "SettingService/GetSetting",
    "SettingService/ListSettings",
    "EnhanceLogService/GetLogEntry",
    "EnhanceLogService/ListLogEntries",
];
/// RPCs about issues: a submitter may call them, but not for an orbit.
const ISSUES: [&str; 4] = [
    "IntakeService/SubmitIssue",
    "IntakeService/RetryIssue",
    "IntakeService/PreviewIssue",
    "IntakeService/CancelIssue",
];
/// RPCs that reject an admin for a reason other than the scope, with their codes.
const ADMINS: [(&str, Code); 2] = [
    (
        "BlueprintService/ArchiveBlueprint",
        Code::FailedPrecondition,
    ),
    ("BlueprintService/ImportBlueprint", Code::AlreadyExists),
];

fn reason(status: &Status) -> (String, BTreeMap<String, String>) {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"));
    (info.reason, info.metadata.into_iter().collect())
}

/// Every RPC of Draftsman, as `Service/Method`.
fn rpcs() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET);
    let files = set.expect("the descriptors").file;
    let services = files.into_iter().flat_map(|file| file.service);
    let methods = services.flat_map(|service| {
        let name = service.name().to_owned();
        let methods = service.method.into_iter();
        methods.map(move |method| format!("{name}/{}", method.name()))
    });
    methods.collect()
}

#[tokio::test]
async fn every_rpc_is_tried_against_what_is_verified_with_every_scope() {
    let stage = Stage::with_orbit().await;
    let rpcs = rpcs();
    assert!(rpcs.len() > 25, "{rpcs:?}");
    let before = stage.stored().await;
    for (token, scope) in [
        (NOBODY, "no token"),
        (READER, "read"),
        (SUBMITTER, "submit"),
    ] {
        for rpc in &rpcs {
            let answer = stage.attack(token, rpc).await;
            let is_read = READS.contains(&rpc.as_str());
            let is_report = rpc == REPORT && token == SUBMITTER;
            if is_read && token != NOBODY || is_report {
                assert!(answer.is_ok(), "{rpc} with {scope}: {answer:?}");
                continue;
            }
            let refused = answer.expect_err(&format!("{rpc} with {scope} is taken"));
            let expected = match token {
                NOBODY => "TOKEN_MISSING",
                SUBMITTER if ISSUES.contains(&rpc.as_str()) => "ORBIT_NEEDS_ADMIN",
                _ => "SCOPE_TOO_NARROW",
            };
            let (found, metadata) = reason(&refused);
            assert_eq!(found, expected, "{rpc} with {scope}");
            if expected == "ORBIT_NEEDS_ADMIN" {
                assert_eq!(refused.code(), Code::PermissionDenied);
                assert_eq!(metadata["blueprint_id"], ORBIT);
                assert_eq!(metadata["setting_id"], "names-it", "the first of two");
            }
        }
        let after = stage.stored().await;
        let changed: Vec<&String> = after
            .keys()
            .filter(|k| before.get(*k) != after.get(*k))
            .collect();
        assert!(changed.is_empty(), "{scope} has changed {changed:?}");
        assert_eq!(after.len(), before.len(), "{scope} has removed something");
    }
    // Shows that each attack has an effect: an admin may make all of them.
    for rpc in &rpcs {
        let answer = stage.attack(ADMIN, rpc).await;
        let refused = ADMINS.iter().find(|(name, _)| name == rpc);
        let code = answer.as_ref().err().map(Status::code);
        assert_eq!(code, refused.map(|(_, code)| *code), "{rpc}: {answer:?}");
    }
}

#[tokio::test]
async fn a_submitter_changes_blueprints_and_no_orbit_by_any_selector() {
    let stage = Stage::with_orbit().await;
    // By a requirement, by `latest`, and bundled without a setting.
    for (target, setting) in [
        (ORBIT, Some("names-it")),
        ("enhance-default", Some("default")),
        ("enhance-repair", None),
    ] {
        let refused = [
            stage.submit(SUBMITTER, target, ATTACK, "").await.map(drop),
            stage.preview(SUBMITTER, target).await,
        ];
        for answer in refused {
            let (found, metadata) = reason(&answer.expect_err(target));
            assert_eq!(found, "ORBIT_NEEDS_ADMIN", "{target}");
            let named = metadata.get("setting_id").map(String::as_str);
            assert_eq!(named, setting, "{target}");
        }
    }
    // A submitter may do the same to a Blueprint that is not an orbit.
    stage.preview(SUBMITTER, "plain").await.expect("a preview");
    let issue = stage.submit(SUBMITTER, "plain", "tag mine", "mine").await;
    issue.expect("SubmitIssue");
    let decided = stage.decided("mine").await;
    assert_eq!(decided.state(), v1::IssueState::Applied, "{decided:?}");
    // Submitting an admin's issue again neither grants nor removes a right.
    let again = stage.submit(SUBMITTER, ORBIT, "tag waits", WAITING).await;
    assert!(again.expect("SubmitIssue").already_existed);
    let resume = v1::ResumeQueueRequest {
        blueprint_id: Some(ORBIT.to_owned()),
    };
    let resumed = stage
        .client
        .intake
        .clone()
        .resume_queue(with(ADMIN, resume))
        .await;
    resumed.expect("ResumeQueue");
    let applied = stage.decided(WAITING).await;
    assert_eq!(applied.state(), v1::IssueState::Applied, "{applied:?}");
}

#[tokio::test]
async fn an_issue_that_was_accepted_before_its_target_became_an_orbit_fails() {
    let stage = Stage::new().await;
    let mut orbit = stage.orbit("enhance-default").await;
    orbit["id"] = json!("later");
    stage
        .put(ADMIN, &orbit.to_string())
        .await
        .expect("a Blueprint");
    let pause = v1::PauseQueueRequest {
        blueprint_id: Some("later".to_owned()),
    };
    let mut intake = stage.client.intake.clone();
    intake
        .pause_queue(with(ADMIN, pause))
        .await
        .expect("PauseQueue");
    let filed = stage.submit(SUBMITTER, "later", "tag early", "early").await;
    filed.expect("it is no orbit yet");
    let setting = factory::setting("uses-it", |s| s.blueprint_id = "later".to_owned());
    let put = stage
        .client
        .settings
        .clone()
        .put_setting(with(ADMIN, setting))
        .await;
    put.expect("PutSetting");
    let resume = v1::ResumeQueueRequest {
        blueprint_id: Some("later".to_owned()),
    };
    intake
        .resume_queue(with(ADMIN, resume))
        .await
        .expect("ResumeQueue");
    let issue = stage.decided("early").await;
    assert_eq!(issue.cause(), v1::RejectionCause::Failed, "{issue:?}");
    for words in ["ORBIT_NEEDS_ADMIN", "uses-it", "admin token"] {
        assert!(issue.reason.contains(words), "{issue:?}");
    }
    assert_eq!(stage.orbit("later").await, orbit);
    // The remedy: an admin retries the issue; the setting's axes still apply.
    let retry = |token| {
        let request = v1::RetryIssueRequest {
            issue_id: "early".to_owned(),
            new_issue_id: Some("again".to_owned()),
        };
        let mut intake = stage.client.intake.clone();
        async move { intake.retry_issue(with(token, request)).await }
    };
    let refused = retry(SUBMITTER).await.expect_err("a submitter");
    assert_eq!(reason(&refused).0, "ORBIT_NEEDS_ADMIN");
    retry(ADMIN).await.expect("RetryIssue");
    let applied = stage.decided("again").await;
    assert_eq!(applied.state(), v1::IssueState::Applied, "{applied:?}");
}

/// Every test that the page names exists.
#[test]
fn the_page_on_security_names_tests_that_exist() {
    let page = include_str!("../../../docs/security.md");
    let named = page.split('`').filter_map(|words| {
        let (file, test) = words.split_once("::")?;
        file.strip_suffix(".rs").map(|_| (file, test))
    });
    let mut n_named = 0;
    for (file, test) in named {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let source = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(
            source.contains(&format!("fn {test}(")),
            "{file} has no test {test}"
        );
        n_named += 1;
    }
    assert!(n_named >= 10, "{n_named} tests are named");
}
