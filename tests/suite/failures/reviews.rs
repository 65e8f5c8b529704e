//! Programs die, and connections to Redis break, before and after each script of a review. Each
//! issue has one decision, and what is committed is what was approved.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::resp_proxy::{Fault, RespProxy};
use tests::rig::Rig;
use tonic::Code;

const FAULTS: [Fault; 3] = [Fault::CutBefore, Fault::CutAfter, Fault::Double];
const SHORT_LEASE: (&str, &str) = ("DRAFTSMAN_LEASE_SECS", "1");

/// A rig without a worker, whose issues need a review within this time.
async fn rig(ttl_secs: u64) -> Rig {
    let mut rig = Rig::without_worker().await;
    prepare(&mut rig, ttl_secs).await;
    rig
}

async fn prepare(rig: &mut Rig, ttl_secs: u64) {
    rig.client.put(factory::small("target")).await;
    rig.write_setting(|setting| {
        setting.verifier_axes.push("human-review".to_owned());
        setting.review.ttl_secs = ttl_secs;
    })
    .await;
}

async fn proposal(rig: &Rig, issue_id: &str) -> v1::Proposal {
    eventually(&format!("{issue_id} is proposed"), async || {
        let request = v1::GetProposalRequest {
            issue_id: issue_id.to_owned(),
        };
        let answer = rig.client.intake.clone().get_proposal(request).await;
        let answer = answer.map_err(|status| status.to_string())?;
        Ok(answer.into_inner().proposal.expect("a proposal"))
    })
    .await
}

fn approval(proposal: &v1::Proposal) -> v1::ApproveIssueRequest {
    v1::ApproveIssueRequest {
        issue_id: proposal.issue_id.clone(),
        new_version: proposal.new_version.clone(),
        base_version: proposal.base_version.clone(),
        comment: Some("seen".to_owned()),
    }
}

fn decline(issue_id: &str) -> v1::DeclineIssueRequest {
    v1::DeclineIssueRequest {
        issue_id: issue_id.to_owned(),
        reason: "not like this".to_owned(),
    }
}

/// The first answer other than UNAVAILABLE.
async fn until_answered<T>(
    mut call: impl AsyncFnMut() -> Result<T, tonic::Status>,
) -> Result<T, tonic::Status> {
    eventually("an answer", async || match call().await {
        Err(status) if status.code() == Code::Unavailable => Err(status.to_string()),
        other => Ok(other),
    })
    .await
}

async fn dies(worker: &mut Process) {
    let status = worker.wait().await;
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(9), "{status:?}\n{}", worker.stderr());
}

#[tokio::test]
async fn a_worker_dies_after_it_has_proposed() {
    let mut rig = rig(0).await;
    let issue_id = rig.client.submit("target", "tag calm").await.issue_id;
    dies(rig.add_worker(&[SHORT_LEASE, ("FAILPOINTS", "settle.after=return(kill)")])).await;
    let proposal = proposal(&rig, &issue_id).await;
    rig.add_worker(&[SHORT_LEASE]);
    let answer = rig.client.intake.approve_issue(approval(&proposal)).await;
    assert!(answer.is_ok(), "{answer:?}");
    let head = rig.client.head("target").await;
    assert_eq!(head.document_yaml, proposal.document_yaml);
    assert_sound(&rig, &[issue_id], Attempts::One).await;
}

#[tokio::test]
async fn a_worker_dies_before_and_after_it_has_ended_a_review() {
    for place in ["expire_review.before", "expire_review.after"] {
        let mut rig = rig(1).await;
        let issue_id = rig.client.submit("target", "tag calm").await.issue_id;
        let fail_points = format!("{place}=return(kill)");
        dies(rig.add_worker(&[SHORT_LEASE, ("FAILPOINTS", &fail_points)])).await;
        rig.add_worker(&[SHORT_LEASE]);
        let issue = rig.client.decided(&issue_id).await;
        assert_eq!(
            issue.cause(),
            RejectionCause::Declined,
            "{place}: {issue:?}"
        );
        assert_sound(&rig, &[issue_id], Attempts::One).await;
    }
}

#[tokio::test]
async fn a_worker_dies_while_it_verifies_a_change_again() {
    let mut rig = rig(0).await;
    let issue_id = rig.client.submit("target", "tag calm").await.issue_id;
    rig.add_worker(&[SHORT_LEASE]);
    let first = proposal(&rig, &issue_id).await;
    rig.workers.clear();
    let other = factory::small("target").replace("sample target", "another description");
    rig.client.put(other).await;
    let stale = rig.client.intake.approve_issue(approval(&first)).await;
    assert_eq!(stale.expect_err("stale").code(), Code::Aborted);
    dies(rig.add_worker(&[SHORT_LEASE, ("FAILPOINTS", "flow.after=return(kill)")])).await;
    rig.add_worker(&[SHORT_LEASE]);
    let second = proposal(&rig, &issue_id).await;
    assert_eq!((second.round, &second.json_patch), (2, &first.json_patch));
    let answer = rig.client.intake.approve_issue(approval(&second)).await;
    assert!(answer.is_ok(), "{answer:?}");
    assert_sound(&rig, &[issue_id], Attempts::UpTo(3)).await;
}

#[tokio::test]
async fn intake_dies_after_a_decision() {
    for place in ["approve.after", "decline.after"] {
        let mut rig = rig(0).await;
        rig.add_worker(&[]);
        let issue_id = rig.client.submit("target", "tag calm").await.issue_id;
        let proposal = proposal(&rig, &issue_id).await;
        let fail_points = format!("{place}=return(kill)");
        rig.restart_intake_with(&[("FAILPOINTS", &fail_points)])
            .await;
        let (approval, decline) = (approval(&proposal), decline(&issue_id));
        let (died, expected) = match place {
            "approve.after" => {
                let answer = rig.client.intake.approve_issue(approval.clone()).await;
                (answer.map(drop), IssueState::Applied)
            }
            _ => {
                let answer = rig.client.intake.decline_issue(decline.clone()).await;
                (answer.map(drop), IssueState::Rejected)
            }
        };
        died.expect_err("intake died");
        rig.restart_intake().await;
        let decided = rig.client.issue(&issue_id).await;
        assert_eq!(decided.state(), expected, "{place}");
        let again = match place {
            "approve.after" => {
                let answer = rig.client.intake.approve_issue(approval).await;
                answer.expect("the same").into_inner().issue
            }
            _ => {
                let answer = rig.client.intake.decline_issue(decline).await;
                answer.expect("the same").into_inner().issue
            }
        };
        assert_eq!(again, Some(decided), "{place}");
        assert_sound(&rig, &[issue_id], Attempts::One).await;
    }
}

/// A rig with a proxy between intake and its Redis, and one worker.
async fn intake_behind_proxy() -> (Rig, RespProxy) {
    let redis = RedisServer::start(Aof::None);
    let proxy = RespProxy::start(redis.port()).await;
    let mut rig = Rig::with_redis_at(redis, &proxy.url()).await;
    prepare(&mut rig, 0).await;
    rig.add_worker(&[]);
    (rig, proxy)
}

#[tokio::test]
async fn an_approval_over_a_cut_is_committed_once() {
    for fault in FAULTS {
        let (rig, proxy) = intake_behind_proxy().await;
        let issue_id = rig.client.submit("target", "tag calm").await.issue_id;
        let proposal = proposal(&rig, &issue_id).await;
        let mut ordered = proxy.order(fault, "approve_issue", 1);
        let request = approval(&proposal);
        let call = async || {
            rig.client
                .intake
                .clone()
                .approve_issue(request.clone())
                .await
        };
        let answer = until_answered(call).await;
        ordered.fired().await;
        let issue = answer.expect("approved").into_inner().issue;
        assert_eq!(issue, Some(rig.client.issue(&issue_id).await), "{fault:?}");
        let head = rig.client.head("target").await;
        assert_eq!(head.document_yaml, proposal.document_yaml, "{fault:?}");
        assert_eq!(rig.client.history("target").await.len(), 2, "{fault:?}");
        assert_sound(&rig, &[issue_id], Attempts::One).await;
    }
}

#[tokio::test]
async fn a_stale_approval_over_a_cut_is_refused_the_same_again() {
    for fault in FAULTS {
        let (rig, proxy) = intake_behind_proxy().await;
        let issue_id = rig.client.submit("target", "tag calm").await.issue_id;
        let proposal = proposal(&rig, &issue_id).await;
        let other = factory::small("target").replace("sample target", "another description");
        rig.client.put(other).await;
        let mut ordered = proxy.order(fault, "approve_issue", 1);
        let request = approval(&proposal);
        let call = async || {
            rig.client
                .intake
                .clone()
                .approve_issue(request.clone())
                .await
        };
        let answer = until_answered(call).await;
        ordered.fired().await;
        let refused = answer.expect_err("stale");
        assert_eq!(refused.code(), Code::Aborted, "{fault:?}: {refused:?}");
        assert_eq!(rig.client.history("target").await.len(), 2, "{fault:?}");
        let request = v1::CancelIssueRequest {
            issue_id: issue_id.clone(),
        };
        let cancelled = rig.client.intake.clone().cancel_issue(request).await;
        assert!(cancelled.is_ok(), "{fault:?}: {cancelled:?}");
        assert_sound(&rig, &[issue_id], Attempts::UpTo(2)).await;
    }
}

#[tokio::test]
async fn a_decline_over_a_cut_is_answered_the_same_again() {
    for fault in FAULTS {
        let (rig, proxy) = intake_behind_proxy().await;
        let issue_id = rig.client.submit("target", "tag calm").await.issue_id;
        proposal(&rig, &issue_id).await;
        let mut ordered = proxy.order(fault, "decline_issue", 1);
        let request = decline(&issue_id);
        let call = async || {
            rig.client
                .intake
                .clone()
                .decline_issue(request.clone())
                .await
        };
        let answer = until_answered(call).await;
        ordered.fired().await;
        let issue = answer.expect("declined").into_inner().issue;
        assert_eq!(issue, Some(rig.client.issue(&issue_id).await), "{fault:?}");
        assert_sound(&rig, &[issue_id], Attempts::One).await;
    }
}

#[tokio::test]
async fn a_proposal_and_its_expiry_over_a_cut_happen_once() {
    for fault in FAULTS {
        for name in ["settle_issue", "expire_review"] {
            let mut rig = rig(1).await;
            let proxy = RespProxy::start(rig.redis.port()).await;
            let mut ordered = proxy.order(fault, name, 1);
            let issue_id = rig.client.submit("target", "tag calm").await.issue_id;
            rig.workers.push(Process::worker(&proxy.url(), &[]));
            ordered.fired().await;
            let issue = rig.client.decided(&issue_id).await;
            assert_eq!(issue.cause(), RejectionCause::Declined, "{fault:?} {name}");
            assert_eq!(issue.attempt, 1, "{fault:?} {name}");
            assert_eq!(rig.counted("proposed").await, 1, "{fault:?} {name}");
            assert_sound(&rig, &[issue_id], Attempts::One).await;
        }
    }
}
