use shared::domain::issue::IssueState;
use shared::ids::{BlueprintId, IssueId, SettingId};

use super::*;
use crate::error::request_error::{Executed, RequestError};
use crate::error::violations::Violations;

fn id() -> IssueId {
    IssueId::parse("i-1").unwrap()
}

#[test]
fn fields_are_named() {
    let mut violations = Violations::default();
    violations.check::<(), _>("intent", Err("is empty"));
    violations.check::<(), _>("issue_id", Err("is not a valid id"));
    let status = Status::from(RequestError::from(violations));
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        status.message(),
        "intent: is empty; issue_id: is not a valid id"
    );
    let bad = status.get_details_bad_request().unwrap();
    let fields: Vec<_> = bad
        .field_violations
        .iter()
        .map(|v| v.field.as_str())
        .collect();
    assert_eq!(fields, ["intent", "issue_id"]);
    assert_eq!(status.get_details_error_info().unwrap().domain, "draftsman");
}

#[test]
fn an_unconfirmed_submission_says_what_is_known() {
    for (executed, text) in [(Executed::No, "no"), (Executed::Unknown, "unknown")] {
        let status = Status::from(RequestError::SubmitUndecided {
            issue_id: id(),
            executed,
            source: None,
        });
        assert_eq!(status.code(), Code::Unavailable);
        assert!(
            status
                .get_details_retry_info()
                .unwrap()
                .retry_delay
                .is_some()
        );
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "STORE_UNAVAILABLE");
        assert_eq!(info.metadata["issue_id"], "i-1");
        assert_eq!(info.metadata["executed"], text);
    }
}

#[test]
fn every_write_says_whether_it_happened() {
    let executed = |status: &Status| {
        let info = status.get_details_error_info().unwrap();
        info.metadata.get("executed").cloned()
    };
    let broken = || {
        let source = redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        StoreError::Redis { call: "x", source }
    };
    for rpc in [
        Rpc::CancelIssue,
        Rpc::PutBlueprint,
        Rpc::ImportBlueprint,
        Rpc::PutSetting,
    ] {
        let not_ready = refuse(rpc, RequestError::NotReady);
        assert_eq!(executed(&not_ready).as_deref(), Some("no"), "{rpc:?}");
        for error in [
            RequestError::Store(broken()),
            RequestError::StoreHalfway(broken()),
        ] {
            let status = refuse(rpc, error);
            assert_eq!(status.code(), Code::Unavailable);
            assert_eq!(executed(&status).as_deref(), Some("unknown"), "{rpc:?}");
        }
        let refused = refuse(rpc, RequestError::IssueNotFound(id()));
        assert_eq!(executed(&refused), None, "{rpc:?}");
    }
    assert_eq!(
        executed(&refuse(Rpc::GetIssue, RequestError::NotReady)),
        None
    );
}

#[test]
fn codes_are_those_of_the_specification() {
    let blueprint = BlueprintId::parse("b").unwrap();
    let setting = SettingId::parse("s").unwrap();
    let cases = [
        (RequestError::IssueNotFound(id()), Code::NotFound),
        (
            RequestError::BlueprintNotFound(blueprint.clone()),
            Code::NotFound,
        ),
        (RequestError::IssueTaken(id()), Code::AlreadyExists),
        (RequestError::IssuePruned(id()), Code::AlreadyExists),
        (
            RequestError::BlueprintArchived(blueprint.clone()),
            Code::FailedPrecondition,
        ),
        (
            RequestError::IssueDecided {
                issue_id: id(),
                state: IssueState::Applied,
            },
            Code::FailedPrecondition,
        ),
        (
            RequestError::HeadMoved {
                blueprint_id: blueprint.clone(),
                actual: None,
            },
            Code::Aborted,
        ),
        (
            RequestError::RevisionMoved {
                setting_id: setting,
                actual: 3,
            },
            Code::Aborted,
        ),
        (
            RequestError::OrbitNotFound(blueprint),
            Code::FailedPrecondition,
        ),
        (
            RequestError::MemoryFull { used: 9, max: 10 },
            Code::ResourceExhausted,
        ),
        (RequestError::IssueGone(id()), Code::NotFound),
        (
            RequestError::IssueNotRejected {
                issue_id: id(),
                state: IssueState::InFlight,
            },
            Code::FailedPrecondition,
        ),
        (RequestError::NoWorker, Code::Unavailable),
        (
            RequestError::PreviewFailed {
                reason: String::new(),
            },
            Code::FailedPrecondition,
        ),
        (
            RequestError::PreviewFault {
                problem: String::new(),
                retry_after: None,
            },
            Code::Unavailable,
        ),
        (
            RequestError::PreviewTooLarge { bytes: 4 << 20 },
            Code::FailedPrecondition,
        ),
        (RequestError::TooManyPreviews, Code::ResourceExhausted),
        (RequestError::NotReady, Code::Unavailable),
        (RequestError::ShuttingDown, Code::Unavailable),
    ];
    for (error, code) in cases {
        let status = Status::from(error);
        assert_eq!(status.code(), code, "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert!(
            info.reason
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b == b'_'),
            "{}",
            info.reason
        );
        assert_eq!(
            status.get_details_retry_info().is_some(),
            matches!(code, Code::Unavailable | Code::ResourceExhausted)
        );
    }
}

#[test]
fn long_texts_are_cut_between_characters() {
    let status = Status::from(RequestError::field("document", "é".repeat(4000)));
    assert!(status.message().len() <= MAX_TEXT_BYTES + 3);
}
