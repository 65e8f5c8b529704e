//! Submissions that intake rejects: the code, the name of the field, and unchanged data.

use proto::v1;
use tests::factory;
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

/// The fields that an error names in its `google.rpc.BadRequest`.
fn bad_fields(status: &tonic::Status) -> Vec<String> {
    let details = status.get_details_bad_request();
    details
        .map(|d| d.field_violations.into_iter().map(|v| v.field).collect())
        .unwrap_or_default()
}

fn request(blueprint_id: &str, intent: &str, issue_id: Option<&str>) -> v1::SubmitIssueRequest {
    v1::SubmitIssueRequest {
        blueprint_id: blueprint_id.to_owned(),
        intent: intent.to_owned(),
        issue_id: issue_id.map(str::to_owned),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_refused_submission_names_the_field_and_changes_nothing() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("door")).await;
    rig.client
        .intake
        .clone()
        .submit_issue(request("door", "tag x", Some("taken")))
        .await
        .expect("SubmitIssue");
    let long_id = "a".repeat(129);
    let long_intent = "x".repeat(64 * 1024 + 1);
    // Over 64 KiB in bytes, but not in characters.
    let long_in_bytes = "ü".repeat(32 * 1024 + 1);
    let cases: &[(&str, v1::SubmitIssueRequest, Code, &str)] = &[
        (
            "no target",
            request("", "tag x", None),
            Code::InvalidArgument,
            "blueprint_id",
        ),
        (
            "an invalid target",
            request("../x", "tag x", None),
            Code::InvalidArgument,
            "blueprint_id",
        ),
        (
            "a target that begins with a dot",
            request(".x", "tag x", None),
            Code::InvalidArgument,
            "blueprint_id",
        ),
        (
            "a target with a brace",
            request("a{b}", "tag x", None),
            Code::InvalidArgument,
            "blueprint_id",
        ),
        (
            "a target with a slash",
            request("a/b", "tag x", None),
            Code::InvalidArgument,
            "blueprint_id",
        ),
        (
            "a target with a newline",
            request("door\n", "tag x", None),
            Code::InvalidArgument,
            "blueprint_id",
        ),
        (
            "a target that is too long",
            request(&long_id, "tag x", None),
            Code::InvalidArgument,
            "blueprint_id",
        ),
        (
            "no intent",
            request("door", "", None),
            Code::InvalidArgument,
            "intent",
        ),
        (
            "a long intent",
            request("door", &long_intent, None),
            Code::InvalidArgument,
            "intent",
        ),
        (
            "an intent long in bytes",
            request("door", &long_in_bytes, None),
            Code::InvalidArgument,
            "intent",
        ),
        (
            "an issue id that is none",
            request("door", "tag x", Some("a b")),
            Code::InvalidArgument,
            "issue_id",
        ),
        (
            "a long issue id",
            request("door", "tag x", Some(&long_id)),
            Code::InvalidArgument,
            "issue_id",
        ),
        (
            "an unknown target",
            request("nobody", "tag x", None),
            Code::NotFound,
            "",
        ),
        (
            "an unknown target with an id",
            request("nobody", "tag x", Some("i")),
            Code::NotFound,
            "",
        ),
        (
            "a taken id, other intent",
            request("door", "tag y", Some("taken")),
            Code::AlreadyExists,
            "",
        ),
    ];
    let before = rig.key_dump().await;
    for (what, request, code, field) in cases {
        let answer = rig
            .client
            .intake
            .clone()
            .submit_issue(request.clone())
            .await;
        let status = answer.expect_err(what);
        assert_eq!(status.code(), *code, "{what}: {status}");
        if !field.is_empty() {
            assert_eq!(bad_fields(&status), [*field], "{what}: {status}");
            assert!(
                status.message().contains(field),
                "{what}: the message names the field: {status}"
            );
        }
        let info = status.get_details_error_info();
        let reason = info.map(|i| i.reason).unwrap_or_default();
        assert!(
            !reason.is_empty(),
            "{what}: an ErrorInfo with a reason: {status:?}"
        );
        assert!(
            reason
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'),
            "{what}: the reason is SCREAMING_SNAKE_CASE: {reason}"
        );
    }
    let after = rig.key_dump().await;
    let changed: Vec<&String> = before
        .keys()
        .chain(after.keys())
        .filter(|k| before.get(*k) != after.get(*k))
        .collect();
    assert!(changed.is_empty(), "a refusal changed keys: {changed:?}");
}

#[tokio::test]
async fn a_refusal_names_the_limit() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("limits")).await;
    let mut intake = rig.client.intake.clone();
    let long = intake
        .submit_issue(request("limits", &"x".repeat(70_000), None))
        .await
        .expect_err("too long");
    assert!(
        long.message().contains("64 KiB") || long.message().contains("65536"),
        "{long}"
    );
    let id = intake
        .submit_issue(request(&"a".repeat(129), "tag x", None))
        .await
        .expect_err("too long");
    assert!(id.message().contains("128"), "{id}");
}

#[tokio::test]
async fn what_is_just_within_the_limits_is_taken() {
    let rig = Rig::without_worker().await;
    let id = "a".repeat(128);
    rig.client.put(factory::small(&id)).await;
    let mut intake = rig.client.intake.clone();
    intake
        .submit_issue(request(&id, &"x".repeat(64 * 1024), Some(&id)))
        .await
        .expect("the limits are inclusive");
    intake
        .submit_issue(request(&id, "x", Some("A.b_c-9")))
        .await
        .expect("one byte is an intent");
}

#[tokio::test]
async fn calls_about_an_unknown_issue_say_so() {
    let rig = Rig::without_worker().await;
    let id = || "nobody".to_owned();
    let mut intake = rig.client.intake.clone();
    let get = intake
        .get_issue(v1::GetIssueRequest { issue_id: id() })
        .await
        .expect_err("GetIssue");
    assert_eq!(get.code(), Code::NotFound, "{get}");
    let cancel = intake
        .cancel_issue(v1::CancelIssueRequest { issue_id: id() })
        .await
        .expect_err("CancelIssue");
    assert_eq!(cancel.code(), Code::NotFound, "{cancel}");
    let watch = match intake
        .watch_issue(v1::WatchIssueRequest {
            issue_id: id(),
            ..Default::default()
        })
        .await
    {
        Err(status) => status,
        Ok(stream) => stream.into_inner().message().await.expect_err("WatchIssue"),
    };
    assert_eq!(watch.code(), Code::NotFound, "{watch}");
    let mut log = rig.client.log.clone();
    let entry = log
        .get_log_entry(v1::GetLogEntryRequest { issue_id: id() })
        .await
        .expect_err("GetLogEntry");
    assert_eq!(entry.code(), Code::NotFound, "{entry}");
    let blueprint = rig
        .client
        .select("nobody", None)
        .await
        .expect_err("GetBlueprint");
    assert_eq!(blueprint.code(), Code::NotFound, "{blueprint}");

    for bad in ["", "a/b", &"a".repeat(129)] {
        let status = intake
            .get_issue(v1::GetIssueRequest {
                issue_id: bad.to_owned(),
            })
            .await
            .expect_err("GetIssue");
        assert_eq!(
            (status.code(), bad_fields(&status)),
            (Code::InvalidArgument, vec!["issue_id".to_owned()])
        );
        let status = rig
            .client
            .select(bad, None)
            .await
            .expect_err("GetBlueprint");
        assert_eq!(
            (status.code(), bad_fields(&status)),
            (Code::InvalidArgument, vec!["blueprint_id".to_owned()])
        );
    }
}
