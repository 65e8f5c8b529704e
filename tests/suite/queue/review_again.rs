//! A change whose approval found another head is verified again, in a real worker: with its stored
//! patch, and without a second request to the model.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use serde_json::json;
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory;
use tests::model_double::{Act, TOKENS};
use tests::model_stage::{ModelStage, REPLY_WORD, patch};
use tests::rig::Rig;
use tonic::Code;

async fn needs_reviews(rig: &Rig) {
    rig.client
        .edit_setting(|setting| setting.verifier_axes.push("human-review".to_owned()))
        .await;
}

/// Waits until the issue is in review for this time.
async fn proposal(rig: &Rig, issue_id: &str, round: u32) -> v1::Proposal {
    eventually(&format!("{issue_id} is proposed"), async || {
        let request = v1::GetProposalRequest {
            issue_id: issue_id.to_owned(),
        };
        let answer = rig.client.intake.clone().get_proposal(request).await;
        let proposal = answer.map(|answer| answer.into_inner().proposal.expect("a proposal"));
        match proposal {
            Ok(proposal) if proposal.round == round => Ok(proposal),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn approve(rig: &Rig, proposal: &v1::Proposal) -> Result<v1::Issue, tonic::Status> {
    let request = v1::ApproveIssueRequest {
        issue_id: proposal.issue_id.clone(),
        new_version: proposal.new_version.clone(),
        base_version: proposal.base_version.clone(),
        comment: None,
    };
    let answer = rig.client.intake.clone().approve_issue(request).await?;
    Ok(answer.into_inner().issue.expect("an issue"))
}

/// Moves the head and approves, which is too late.
async fn approve_late(rig: &Rig, proposal: &v1::Proposal, document: String) {
    rig.client.put(document).await;
    let refused = approve(rig, proposal).await.expect_err("the head moved");
    assert_eq!(refused.code(), Code::Aborted, "{refused:?}");
}

#[tokio::test]
async fn no_model_is_asked_again() {
    let stage = ModelStage::start(vec![Act::Say(patch())]).await;
    needs_reviews(&stage.rig).await;
    let issue = stage.rig.client.submit("target", "one more tag").await;
    let first = proposal(&stage.rig, &issue.issue_id, 1).await;
    assert_eq!(stage.double.calls().len(), 1);
    let other = factory::small("target").replace("sample target", "another description");
    approve_late(&stage.rig, &first, other).await;

    let second = proposal(&stage.rig, &issue.issue_id, 2).await;
    assert_eq!(second.json_patch, first.json_patch);
    assert_eq!(second.usage, first.usage, "it has cost nothing more");
    let usage = second.usage.clone().expect("what it cost");
    assert_eq!((usage.input_tokens, usage.output_tokens), TOKENS);
    assert_eq!(second.rationale, first.rationale);
    assert!(second.document_yaml.contains("another description"));
    assert!(second.document_yaml.contains(REPLY_WORD));
    let applied = approve(&stage.rig, &second).await.expect("approved");
    assert_eq!(applied.state(), IssueState::Applied);
    assert_eq!(applied.new_version, second.new_version);
    assert_eq!(stage.double.calls().len(), 1, "one request in all");
    let head = stage.rig.client.head("target").await;
    assert_eq!(head.document_yaml, second.document_yaml);
    stage.assert_sound(&[&applied], Attempts::UpTo(2)).await;
}

/// A person was asked, so a person decides.
#[tokio::test]
async fn it_returns_to_review_although_the_setting_no_longer_asks_for_one() {
    let mut rig = Rig::start().await;
    rig.client.put(factory::small("target")).await;
    needs_reviews(&rig).await;
    let issue = rig.client.submit("target", "tag calm").await;
    let first = proposal(&rig, &issue.issue_id, 1).await;
    rig.client
        .edit_setting(|setting| {
            setting.verifier_axes.pop();
        })
        .await;
    let other = factory::small("target").replace("sample target", "another description");
    approve_late(&rig, &first, other).await;
    let second = proposal(&rig, &issue.issue_id, 2).await;
    assert!(second.reasons[0].starts_with("review: "), "{second:?}");
    approve(&rig, &second).await.expect("approved");
    let ids = [issue.issue_id];
    assert_sound(&rig, &ids, Attempts::UpTo(2)).await;
    rig.workers.clear();
}

/// The stored patch no longer applies, so the issue is denied as any other.
#[tokio::test]
async fn a_patch_that_no_longer_applies_is_denied() {
    for orbit in ["enhance-default", "enhance-repair"] {
        let reply = json!({
            "ops": [{"op": "replace", "path": "/metadata/description", "value": "better"}],
            "bump": "patch",
            "rationale": "why",
        });
        let stage = ModelStage::start(vec![Act::Say(reply.to_string())]).await;
        stage
            .edit(|setting| orbit.clone_into(&mut setting.blueprint_id))
            .await;
        needs_reviews(&stage.rig).await;
        let issue = stage.rig.client.submit("target", "one more tag").await;
        let first = proposal(&stage.rig, &issue.issue_id, 1).await;
        let mut document = stage.rig.client.head_json("target").await;
        let metadata = document["metadata"].as_object_mut().expect("metadata");
        metadata.remove("description");
        approve_late(&stage.rig, &first, document.to_string()).await;
        let denied = stage.rig.client.decided(&issue.issue_id).await;
        assert_eq!(denied.cause(), RejectionCause::Denied, "{denied:?}");
        assert!(denied.reason.contains("apply: "), "{denied:?}");
        assert_eq!(
            stage.double.calls().len(),
            1,
            "{orbit}: no model is asked again"
        );
        let entry = stage.rig.client.entry(&issue.issue_id).await;
        assert_eq!(entry.patch_json, first.json_patch);
        assert_eq!(entry.usage, first.usage);
    }
}

#[tokio::test]
async fn a_proposal_that_nobody_reviews_is_declined_by_a_worker() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("target")).await;
    needs_reviews(&rig).await;
    rig.client
        .edit_setting(|setting| setting.review_ttl_secs = Some(1))
        .await;
    let issue = rig.client.run("target", "tag calm").await;
    assert_eq!(issue.cause(), RejectionCause::Declined, "{issue:?}");
    assert_eq!(issue.reason, "no review within 1 second");
    assert_eq!(issue.decided_by, "");
    assert_sound(&rig, &[issue.issue_id], Attempts::One).await;
}
