//! Every RPC of every service with invalid input: the right code, the name of the field, and no
//! changed key in Redis.
//!
//! One line for each case. The list of RPCs comes from the descriptor set, so that a new RPC
//! without a case fails here.

use std::collections::BTreeSet;

use futures::FutureExt;
use futures::future::BoxFuture;
use prost::Message;
use proto::v1;
use tests::client::Client;
use tests::factory::{self, selector, setting};
use tests::rig::Rig;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::bad_input_channels::{channel_cases, consumer_cases};
use super::bad_input_reviews::review_cases;

/// RPCs whose requests have no field that could be invalid.
const WITHOUT_INPUT: [&str; 1] = ["GetQueueStats"];

/// A call that must be rejected.
pub(super) struct Case {
    pub(super) rpc: &'static str,
    pub(super) what: &'static str,
    pub(super) code: Code,
    /// The fields that the error names, in order.
    pub(super) fields: &'static [&'static str],
    pub(super) answer: BoxFuture<'static, Result<(), Status>>,
}

/// Adds a case:
/// ```text
/// refused! { cases, client, service.method(request), "Rpc", "what", Code, [fields] }
/// ```
macro_rules! refused {
    (
        $cases:ident, $client:ident, $service:ident.$method:ident($request:expr),
        $rpc:literal, $what:expr, $code:ident, [$($field:literal),*]
    ) => {
        let (mut service, request) = ($client.$service.clone(), $request);
        $cases.push(Case {
            rpc: $rpc,
            what: $what,
            code: Code::$code,
            fields: &[$($field),*],
            answer: async move { service.$method(request).await.map(drop) }.boxed(),
        });
    };
}

pub(super) use refused;

/// Invalid ids.
pub(super) const BAD_IDS: [(&str, &str); 5] = [
    ("an empty id", ""),
    ("a slash", "a/b"),
    ("a brace", "{draftsman:0}"),
    ("a line's end", "a\n"),
    ("not ASCII", "ä"),
];

/// An invalid version.
const BAD_VERSION: &str = "ABC";

fn issue_cases(client: &Client, cases: &mut Vec<Case>) {
    for (what, id) in BAD_IDS {
        let id = || id.to_owned();
        let issue_id = id;
        let submit = || v1::SubmitIssueRequest {
            blueprint_id: "sample".to_owned(),
            intent: "tag x".to_owned(),
            issue_id: None,
            ..Default::default()
        };
        let to = v1::SubmitIssueRequest {
            blueprint_id: id(),
            ..submit()
        };
        refused! { cases, client, intake.submit_issue(to), "SubmitIssue", what, InvalidArgument, ["blueprint_id"] }
        let under = v1::SubmitIssueRequest {
            issue_id: Some(id()),
            ..submit()
        };
        refused! { cases, client, intake.submit_issue(under), "SubmitIssue", what, InvalidArgument, ["issue_id"] }
        refused! { cases, client, intake.get_issue(v1::GetIssueRequest { issue_id: issue_id() }), "GetIssue", what, InvalidArgument, ["issue_id"] }
        refused! { cases, client, intake.watch_issue(v1::WatchIssueRequest { issue_id: issue_id(), ..Default::default() }), "WatchIssue", what, InvalidArgument, ["issue_id"] }
        refused! { cases, client, intake.cancel_issue(v1::CancelIssueRequest { issue_id: issue_id() }), "CancelIssue", what, InvalidArgument, ["issue_id"] }
        let retry = v1::RetryIssueRequest {
            issue_id: id(),
            new_issue_id: None,
        };
        refused! { cases, client, intake.retry_issue(retry), "RetryIssue", what, InvalidArgument, ["issue_id"] }
        let retry = v1::RetryIssueRequest {
            issue_id: "waits".to_owned(),
            new_issue_id: Some(id()),
        };
        refused! { cases, client, intake.retry_issue(retry), "RetryIssue", what, InvalidArgument, ["new_issue_id"] }
        let preview = v1::PreviewIssueRequest {
            blueprint_id: id(),
            intent: "tag x".to_owned(),
        };
        refused! { cases, client, intake.preview_issue(preview), "PreviewIssue", what, InvalidArgument, ["blueprint_id"] }
        refused! { cases, client, log.get_log_entry(v1::GetLogEntryRequest { issue_id: issue_id() }), "GetLogEntry", what, InvalidArgument, ["issue_id"] }
        if id().is_empty() {
            continue; // In a filter, an empty id selects everything.
        }
        refused! { cases, client, intake.pause_queue(v1::PauseQueueRequest { blueprint_id: Some(id()) }), "PauseQueue", what, InvalidArgument, ["blueprint_id"] }
        refused! { cases, client, intake.resume_queue(v1::ResumeQueueRequest { blueprint_id: Some(id()) }), "ResumeQueue", what, InvalidArgument, ["blueprint_id"] }
        let list = v1::ListIssuesRequest {
            blueprint_id: Some(id()),
            ..Default::default()
        };
        refused! { cases, client, intake.list_issues(list), "ListIssues", what, InvalidArgument, ["blueprint_id"] }
        let list = v1::ListLogEntriesRequest {
            blueprint_id: Some(id()),
            ..Default::default()
        };
        refused! { cases, client, log.list_log_entries(list), "ListLogEntries", what, InvalidArgument, ["blueprint_id"] }
        let activity = v1::GetActivityRequest {
            blueprint_id: Some(id()),
            ..Default::default()
        };
        refused! { cases, client, log.get_activity(activity), "GetActivity", what, InvalidArgument, ["blueprint_id"] }
    }
    for (what, window_secs, bucket_secs) in [
        ("too long a window", 9 * 86_400, 3_600),
        ("too many parts", 8 * 86_400, 60),
    ] {
        let activity = v1::GetActivityRequest {
            window_secs,
            bucket_secs,
            blueprint_id: None,
        };
        refused! { cases, client, log.get_activity(activity), "GetActivity", what, InvalidArgument, ["window_secs"] }
    }
    for (what, intent) in [
        ("no intent", String::new()),
        ("a long intent", "x".repeat(64 * 1024 + 1)),
    ] {
        let submit = v1::SubmitIssueRequest {
            blueprint_id: "sample".to_owned(),
            intent: intent.clone(),
            issue_id: None,
            ..Default::default()
        };
        refused! { cases, client, intake.submit_issue(submit), "SubmitIssue", what, InvalidArgument, ["intent"] }
        let preview = v1::PreviewIssueRequest {
            blueprint_id: "sample".to_owned(),
            intent,
        };
        refused! { cases, client, intake.preview_issue(preview), "PreviewIssue", what, InvalidArgument, ["intent"] }
    }
    refused! { cases, client, intake.submit_issue(v1::SubmitIssueRequest { issue_id: Some(String::new()), ..Default::default() }), "SubmitIssue", "all wrong", InvalidArgument, ["blueprint_id", "intent", "issue_id"] }
    let unknown = || "nobody".to_owned();
    let submit = v1::SubmitIssueRequest {
        blueprint_id: unknown(),
        intent: "x".to_owned(),
        issue_id: None,
        ..Default::default()
    };
    refused! { cases, client, intake.submit_issue(submit), "SubmitIssue", "an unknown target", NotFound, [] }
    refused! { cases, client, intake.get_issue(v1::GetIssueRequest { issue_id: unknown() }), "GetIssue", "unknown", NotFound, [] }
    refused! { cases, client, intake.watch_issue(v1::WatchIssueRequest { issue_id: unknown(), ..Default::default() }), "WatchIssue", "unknown", NotFound, [] }
    refused! { cases, client, intake.cancel_issue(v1::CancelIssueRequest { issue_id: unknown() }), "CancelIssue", "unknown", NotFound, [] }
    refused! { cases, client, intake.cancel_issue(v1::CancelIssueRequest { issue_id: "done".to_owned() }), "CancelIssue", "decided", FailedPrecondition, [] }
    let retry = |id: &str| v1::RetryIssueRequest {
        issue_id: id.to_owned(),
        new_issue_id: None,
    };
    refused! { cases, client, intake.retry_issue(retry("nobody")), "RetryIssue", "unknown", NotFound, [] }
    refused! { cases, client, intake.retry_issue(retry("waits")), "RetryIssue", "not decided", FailedPrecondition, [] }
    refused! { cases, client, intake.retry_issue(retry("done")), "RetryIssue", "applied", FailedPrecondition, [] }
    refused! { cases, client, log.get_log_entry(v1::GetLogEntryRequest { issue_id: "waits".to_owned() }), "GetLogEntry", "not decided", NotFound, [] }
    let list = v1::ListIssuesRequest {
        state: Some(99),
        ..Default::default()
    };
    refused! { cases, client, intake.list_issues(list), "ListIssues", "no state", InvalidArgument, ["state"] }
    let list = v1::ListIssuesRequest {
        cause: Some(-1),
        ..Default::default()
    };
    refused! { cases, client, intake.list_issues(list), "ListIssues", "no cause", InvalidArgument, ["cause"] }
}

fn list_cases(client: &Client, cases: &mut Vec<Case>) {
    for token in ["x", "00", "ffffffff", "6162633a64"] {
        let page_token = || token.to_owned();
        let list = v1::ListIssuesRequest {
            page_size: -1,
            page_token: page_token(),
            ..Default::default()
        };
        refused! { cases, client, intake.list_issues(list), "ListIssues", token, InvalidArgument, ["page_size", "page_token"] }
        let list = v1::ListBlueprintsRequest {
            page_size: i32::MIN,
            page_token: page_token(),
            ..Default::default()
        };
        refused! { cases, client, blueprints.list_blueprints(list), "ListBlueprints", token, InvalidArgument, ["page_size", "page_token"] }
        let list = v1::ListCommitsRequest {
            blueprint_id: "sample".to_owned(),
            page_size: -1,
            page_token: page_token(),
            ..Default::default()
        };
        refused! { cases, client, blueprints.list_commits(list), "ListCommits", token, InvalidArgument, ["page_size", "page_token"] }
        let list = v1::ListSettingsRequest {
            page_size: -1,
            page_token: page_token(),
        };
        refused! { cases, client, settings.list_settings(list), "ListSettings", token, InvalidArgument, ["page_size", "page_token"] }
        let list = v1::ListLogEntriesRequest {
            page_size: -1,
            page_token: page_token(),
            ..Default::default()
        };
        refused! { cases, client, log.list_log_entries(list), "ListLogEntries", token, InvalidArgument, ["page_size", "page_token"] }
    }
}

fn blueprint_cases(client: &Client, cases: &mut Vec<Case>) {
    for (what, id) in BAD_IDS {
        let blueprint_id = || id.to_owned();
        refused! { cases, client, blueprints.get_blueprint(v1::GetBlueprintRequest { blueprint_id: blueprint_id(), selector: None }), "GetBlueprint", what, InvalidArgument, ["blueprint_id"] }
        let list = v1::ListCommitsRequest {
            blueprint_id: blueprint_id(),
            ..Default::default()
        };
        refused! { cases, client, blueprints.list_commits(list), "ListCommits", what, InvalidArgument, ["blueprint_id"] }
        refused! { cases, client, blueprints.archive_blueprint(v1::ArchiveBlueprintRequest { blueprint_id: blueprint_id() }), "ArchiveBlueprint", what, InvalidArgument, ["blueprint_id"] }
        refused! { cases, client, blueprints.export_blueprint(v1::ExportBlueprintRequest { blueprint_id: blueprint_id() }), "ExportBlueprint", what, InvalidArgument, ["blueprint_id"] }
        let no_commit = v1::ImportBlueprintRequest {
            commit: Some(v1::Commit {
                blueprint_id: blueprint_id(),
                ..Default::default()
            }),
            ..Default::default()
        };
        refused! { cases, client, blueprints.import_blueprint(tokio_stream::once(no_commit)), "ImportBlueprint", what, InvalidArgument, ["commit.blueprint_id"] }
        refused! { cases, client, blueprints.unarchive_blueprint(v1::UnarchiveBlueprintRequest { blueprint_id: blueprint_id() }), "UnarchiveBlueprint", what, InvalidArgument, ["blueprint_id"] }
    }
    let huge = format!(
        "id: sample\nflow: {{}}\nagents: []\nnote: {}\n",
        "x".repeat(1 << 20)
    );
    let deep = format!(
        "id: sample\nflow: {{}}\nagents: []\nnote: {}1{}\n",
        "[".repeat(65),
        "]".repeat(65)
    );
    let documents = [
        ("nothing", String::new()),
        ("no mapping", "- a\n".to_owned()),
        ("a missing id", "flow: {}\nagents: []\n".to_owned()),
        ("an id that is none", factory::small("a/b")),
        (
            "a key twice",
            "id: sample\nid: sample\nflow: {}\nagents: []\n".to_owned(),
        ),
        (
            "two documents",
            "id: sample\nflow: {}\nagents: []\n---\na: 1\n".to_owned(),
        ),
        (
            "a number too large",
            "id: sample\nflow: {}\nagents: []\nn: 9223372036854775808\n".to_owned(),
        ),
        (
            "no number",
            "id: sample\nflow: {}\nagents: []\nn: .nan\n".to_owned(),
        ),
        (
            "a tag",
            "id: sample\nflow: {}\nagents: []\nn: !!binary aGk=\n".to_owned(),
        ),
        (
            "no semver",
            "id: sample\nflow: {}\nagents: []\nmetadata: {version_label: banana}\n".to_owned(),
        ),
        ("too long", huge),
        ("too deep", deep),
    ];
    for (what, document) in documents {
        let put = v1::PutBlueprintRequest {
            document: document.clone(),
            ..Default::default()
        };
        refused! { cases, client, blueprints.put_blueprint(put), "PutBlueprint", what, InvalidArgument, ["document"] }
        let put = v1::PutSettingRequest {
            orbit_document: Some(document),
            ..setting("s", |_| {})
        };
        refused! { cases, client, settings.put_setting(put), "PutSetting", what, InvalidArgument, ["orbit_document"] }
    }
    let put = v1::PutBlueprintRequest {
        document: factory::small("new"),
        expected_head: Some(BAD_VERSION.to_owned()),
        rationale: Some("x".repeat(64 * 1024 + 1)),
        ..Default::default()
    };
    refused! { cases, client, blueprints.put_blueprint(put), "PutBlueprint", "wrong beside it", InvalidArgument, ["expected_head", "rationale"] }
    let put = v1::PutBlueprintRequest {
        document: factory::two_kb("sample"),
        expected_head: Some("0".repeat(64)),
        ..Default::default()
    };
    refused! { cases, client, blueprints.put_blueprint(put), "PutBlueprint", "another head", Aborted, [] }
    let sample = || "sample".to_owned();
    let get = |choice| v1::GetBlueprintRequest {
        blueprint_id: sample(),
        selector: selector(choice),
    };
    use v1::version_selector::Selector;
    refused! { cases, client, blueprints.get_blueprint(get(Selector::Fixed(BAD_VERSION.to_owned()))), "GetBlueprint", "no version", InvalidArgument, ["selector.fixed"] }
    refused! { cases, client, blueprints.get_blueprint(get(Selector::SemverReq("banana".to_owned()))), "GetBlueprint", "no requirement", InvalidArgument, ["selector.semver_req"] }
    refused! { cases, client, blueprints.get_blueprint(get(Selector::Latest(false))), "GetBlueprint", "no choice", InvalidArgument, ["selector.latest"] }
    refused! { cases, client, blueprints.get_blueprint(get(Selector::Fixed("0".repeat(64)))), "GetBlueprint", "an unknown version", NotFound, [] }
    let list = v1::ListCommitsRequest {
        blueprint_id: "nobody".to_owned(),
        ..Default::default()
    };
    refused! { cases, client, blueprints.list_commits(list), "ListCommits", "unknown", NotFound, [] }
    let diff = |from: &str, to: &str| v1::DiffBlueprintRequest {
        blueprint_id: sample(),
        from_version: from.to_owned(),
        to_version: to.to_owned(),
    };
    let zero = "0".repeat(64);
    refused! { cases, client, blueprints.diff_blueprint(diff(BAD_VERSION, &zero)), "DiffBlueprint", "no version", InvalidArgument, ["from_version"] }
    refused! { cases, client, blueprints.diff_blueprint(diff(&zero, "")), "DiffBlueprint", "no version", InvalidArgument, ["to_version"] }
    refused! { cases, client, blueprints.diff_blueprint(diff(&zero, &zero)), "DiffBlueprint", "unknown versions", NotFound, ["from_version"] }
    let revert = |version: &str, rationale: usize| v1::RevertBlueprintRequest {
        blueprint_id: sample(),
        version: version.to_owned(),
        rationale: Some("x".repeat(rationale)),
    };
    refused! { cases, client, blueprints.revert_blueprint(revert(BAD_VERSION, 0)), "RevertBlueprint", "no version", InvalidArgument, ["version"] }
    refused! { cases, client, blueprints.revert_blueprint(revert(&zero, 64 * 1024 + 1)), "RevertBlueprint", "a long rationale", InvalidArgument, ["rationale"] }
    refused! { cases, client, blueprints.revert_blueprint(revert(&zero, 0)), "RevertBlueprint", "an unknown version", NotFound, ["version"] }
    refused! { cases, client, blueprints.archive_blueprint(v1::ArchiveBlueprintRequest { blueprint_id: "nobody".to_owned() }), "ArchiveBlueprint", "unknown", NotFound, [] }
    refused! { cases, client, blueprints.archive_blueprint(v1::ArchiveBlueprintRequest { blueprint_id: "enhance-default".to_owned() }), "ArchiveBlueprint", "an orbit in use", FailedPrecondition, [] }
    refused! { cases, client, blueprints.unarchive_blueprint(v1::UnarchiveBlueprintRequest { blueprint_id: "nobody".to_owned() }), "UnarchiveBlueprint", "unknown", NotFound, [] }
}

/// The cases of settings. `setting_checks.rs` has those that depend on the stored orbit.
fn setting_cases(client: &Client, cases: &mut Vec<Case>) {
    for (what, id) in BAD_IDS {
        let setting_id = || id.to_owned();
        refused! { cases, client, settings.get_setting(v1::GetSettingRequest { setting_id: setting_id() }), "GetSetting", what, InvalidArgument, ["setting_id"] }
        refused! { cases, client, settings.delete_setting(v1::DeleteSettingRequest { setting_id: setting_id() }), "DeleteSetting", what, InvalidArgument, ["setting_id"] }
        refused! { cases, client, settings.put_setting(setting(id, |_| {})), "PutSetting", what, InvalidArgument, ["setting.id"] }
        refused! { cases, client, settings.put_setting(setting("s", |s| s.blueprint_id = setting_id())), "PutSetting", what, InvalidArgument, ["setting.blueprint_id"] }
    }
    let unknown = || "nobody".to_owned();
    refused! { cases, client, settings.get_setting(v1::GetSettingRequest { setting_id: unknown() }), "GetSetting", "unknown", NotFound, [] }
    refused! { cases, client, settings.delete_setting(v1::DeleteSettingRequest { setting_id: unknown() }), "DeleteSetting", "unknown", NotFound, [] }
    refused! { cases, client, settings.delete_setting(v1::DeleteSettingRequest { setting_id: "default".to_owned() }), "DeleteSetting", "default", FailedPrecondition, ["setting_id"] }
    refused! { cases, client, settings.put_setting(v1::PutSettingRequest::default()), "PutSetting", "nothing", InvalidArgument, ["setting"] }
    let empty = v1::PutSettingRequest {
        setting: Some(v1::EnhanceSetting::default()),
        orbit_document: Some(String::new()),
        ..Default::default()
    };
    refused! { cases, client, settings.put_setting(empty), "PutSetting", "all wrong", InvalidArgument, ["setting.id", "setting.blueprint_id", "setting.verifier_axes", "setting.ttl_secs", "orbit_document" ] }
    refused! { cases, client, settings.put_setting(setting("s", |s| s.ttl_secs = u64::MAX)), "PutSetting", "for ever", InvalidArgument, ["setting.ttl_secs"] }
    refused! { cases, client, settings.put_setting(setting("s", |s| s.verifier_axes = vec![String::new()])), "PutSetting", "an axis without a name", InvalidArgument, ["setting.verifier_axes"] }
    refused! { cases, client, settings.put_setting(setting("s", |s| s.applies_to = vec!["a b".to_owned()])), "PutSetting", "no pattern", InvalidArgument, ["setting.applies_to"] }
    let mut stale = setting("default", |_| {});
    stale.expected_revision = Some(99);
    refused! { cases, client, settings.put_setting(stale), "PutSetting", "another revision", Aborted, [] }
}

/// The names of all RPCs.
fn rpcs() -> BTreeSet<String> {
    let files = prost_types::FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET)
        .expect("the build wrote it");
    let services = files.file.into_iter().flat_map(|file| file.service);
    let methods = services.flat_map(|service| service.method);
    methods.map(|method| method.name().to_owned()).collect()
}

#[tokio::test]
async fn bad_input_is_refused_by_every_rpc_and_changes_nothing() {
    let mut rig = Rig::start().await;
    rig.client.put(factory::small("sample")).await;
    let submit = |issue_id: &str| v1::SubmitIssueRequest {
        blueprint_id: "sample".to_owned(),
        intent: "tag x".to_owned(),
        issue_id: Some(issue_id.to_owned()),
        ..Default::default()
    };
    let mut intake = rig.client.intake.clone();
    intake
        .submit_issue(submit("done"))
        .await
        .expect("SubmitIssue");
    rig.client.decided("done").await;
    // Heartbeats would change keys.
    rig.workers[0].terminate().await;
    intake
        .submit_issue(submit("waits"))
        .await
        .expect("SubmitIssue");

    let mut cases = Vec::new();
    issue_cases(&rig.client, &mut cases);
    list_cases(&rig.client, &mut cases);
    blueprint_cases(&rig.client, &mut cases);
    channel_cases(&rig.client, &mut cases);
    consumer_cases(&rig.client, &mut cases);
    setting_cases(&rig.client, &mut cases);
    review_cases(&rig.client, &mut cases);
    let covered = cases.iter().map(|case| case.rpc).chain(WITHOUT_INPUT);
    let covered: BTreeSet<String> = covered.map(str::to_owned).collect();
    assert_eq!(covered, rpcs(), "each RPC has a case, and each case an RPC");

    let before = rig.key_dump().await;
    for case in cases {
        let what = format!("{}: {}", case.rpc, case.what);
        let status = case.answer.await.expect_err(&what);
        assert_eq!(status.code(), case.code, "{what}: {status}");
        let details = status.get_error_details();
        assert!(details.error_info().is_some(), "{what}: {status:?}");
        let violations = details.bad_request().map(|b| b.field_violations.iter());
        let fields: Vec<&str> = violations
            .into_iter()
            .flatten()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(fields, case.fields, "{what}: {status}");
        let after = rig.key_dump().await;
        let changed: Vec<&String> = after
            .keys()
            .filter(|k| before.get(*k) != after.get(*k))
            .collect();
        assert!(before == after, "{what}: changed {changed:?}");
    }
}
