//! The cases of `bad_input.rs` about reviews.

use futures::FutureExt;
use proto::v1;
use tests::client::Client;
use tests::factory::setting;
use tonic::Code;

use super::bad_input::{BAD_IDS, Case, refused};

/// The cases of reviews. `done` is applied, and `waits` is pending.
pub(super) fn review_cases(client: &Client, cases: &mut Vec<Case>) {
    let zero = || "0".repeat(64);
    let get = |id: &str| v1::GetProposalRequest {
        issue_id: id.to_owned(),
    };
    let approve = |id: &str| v1::ApproveIssueRequest {
        issue_id: id.to_owned(),
        new_version: zero(),
        base_version: zero(),
        comment: None,
    };
    let decline = |id: &str| v1::DeclineIssueRequest {
        issue_id: id.to_owned(),
        reason: "no".to_owned(),
    };
    for (what, id) in BAD_IDS {
        refused! { cases, client, intake.get_proposal(get(id)), "GetProposal", what, InvalidArgument, ["issue_id"] }
        refused! { cases, client, intake.approve_issue(approve(id)), "ApproveIssue", what, InvalidArgument, ["issue_id"] }
        refused! { cases, client, intake.decline_issue(decline(id)), "DeclineIssue", what, InvalidArgument, ["issue_id"] }
    }
    for (id, code) in [
        ("nobody", Code::NotFound),
        ("waits", Code::FailedPrecondition),
        ("done", Code::FailedPrecondition),
    ] {
        let from = cases.len();
        refused! { cases, client, intake.get_proposal(get(id)), "GetProposal", id, Ok, [] }
        refused! { cases, client, intake.approve_issue(approve(id)), "ApproveIssue", id, Ok, [] }
        refused! { cases, client, intake.decline_issue(decline(id)), "DeclineIssue", id, Ok, [] }
        for case in &mut cases[from..] {
            case.code = code;
        }
    }
    for bad in ["", "ABC", "main", &"g".repeat(64)] {
        let version = v1::ApproveIssueRequest {
            new_version: bad.to_owned(),
            ..approve("waits")
        };
        refused! { cases, client, intake.approve_issue(version), "ApproveIssue", "no version", InvalidArgument, ["new_version"] }
        let base = v1::ApproveIssueRequest {
            base_version: bad.to_owned(),
            ..approve("waits")
        };
        refused! { cases, client, intake.approve_issue(base), "ApproveIssue", "no base", InvalidArgument, ["base_version"] }
    }
    let long = || "x".repeat(4 * 1024 + 1);
    let wrong = v1::ApproveIssueRequest {
        comment: Some(long()),
        ..Default::default()
    };
    refused! { cases, client, intake.approve_issue(wrong), "ApproveIssue", "all wrong", InvalidArgument, ["issue_id", "new_version", "base_version", "comment"] }
    refused! { cases, client, intake.decline_issue(v1::DeclineIssueRequest::default()), "DeclineIssue", "all wrong", InvalidArgument, ["issue_id", "reason"] }
    for (what, reason) in [("blank", " \n".to_owned()), ("long", long())] {
        let declined = v1::DeclineIssueRequest {
            reason,
            ..decline("waits")
        };
        refused! { cases, client, intake.decline_issue(declined), "DeclineIssue", what, InvalidArgument, ["reason"] }
    }
    let for_ever = setting("s", |s| s.review_ttl_secs = Some(31_536_001));
    refused! { cases, client, settings.put_setting(for_ever), "PutSetting", "a review for ever", InvalidArgument, ["setting.review_ttl_secs"] }
}
