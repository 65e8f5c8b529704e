//! Where reviews are seen: the inbox, previews, statistics, metrics and settings.

use proto::v1;
use tests::eventually::eventually;
use tests::probes::{metrics_address, scrape};

use super::stage::{ALICE, BOB, OPS, Stage, TARGET, with};

/// All pages of the inbox.
async fn inbox(stage: &Stage, page_size: i32) -> Vec<String> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListIssuesRequest {
            state: Some(v1::IssueState::InReview.into()),
            page_size,
            page_token,
            ..Default::default()
        };
        let page = stage.list(request).await;
        ids.extend(page.issues.into_iter().map(|issue| issue.issue_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

#[tokio::test]
async fn the_inbox_has_the_longest_waiting_first() {
    let stage = Stage::start().await;
    let mut expected = Vec::new();
    for n in 0..5 {
        expected.push(stage.propose(ALICE, &format!("tag tag-{n}")).await.issue_id);
    }
    for page_size in [1, 2, 0] {
        assert_eq!(inbox(&stage, page_size).await, expected);
    }
    stage
        .decline(BOB, &expected[1], "no")
        .await
        .expect("DeclineIssue");
    expected.remove(1);
    assert_eq!(inbox(&stage, 3).await, expected);
    let declined = v1::ListIssuesRequest {
        cause: Some(v1::RejectionCause::Declined.into()),
        ..Default::default()
    };
    assert_eq!(stage.list(declined).await.issues.len(), 1);
    let other = v1::ListIssuesRequest {
        state: Some(v1::IssueState::InReview.into()),
        blueprint_id: Some("other".to_owned()),
        ..Default::default()
    };
    assert_eq!(stage.list(other).await.issues, []);
}

#[tokio::test]
async fn a_preview_says_that_a_review_is_needed() {
    let stage = Stage::start().await;
    let preview = async |intent: &str| {
        let request = v1::PreviewIssueRequest {
            blueprint_id: TARGET.to_owned(),
            intent: intent.to_owned(),
        };
        let mut intake = stage.rig.client.intake.clone();
        let answer = intake.preview_issue(with(ALICE, request)).await;
        answer.expect("PreviewIssue").into_inner()
    };
    let needs = preview("tag calm").await;
    assert!(needs.would_apply && needs.needs_review, "{needs:?}");
    assert!(needs.reasons[0].starts_with("human-review: "), "{needs:?}");
    assert!(needs.unified_diff.contains("calm"), "{needs:?}");
    // A denial needs no person.
    let denied = preview("nobody understands this").await;
    assert!(!denied.would_apply && !denied.needs_review, "{denied:?}");
    assert_eq!(inbox(&stage, 0).await, [""; 0]);
}

#[tokio::test]
async fn statistics_and_metrics_know_reviews() {
    let stage = Stage::start_with(&[("DRAFTSMAN_METRICS_LISTEN", "127.0.0.1:0")]).await;
    let address = metrics_address(&stage.rig.intake).await;
    let until = async |lines: &[&str]| {
        eventually("the metrics", async || {
            let text = scrape(&address).await;
            let missing = lines
                .iter()
                .find(|line| !text.lines().any(|found| found == **line));
            match missing {
                None => Ok(()),
                Some(line) => Err(format!("{line} in\n{text}")),
            }
        })
        .await;
    };
    until(&[
        "draftsman_queue_issues{place=\"in_review\"} 0",
        "draftsman_queue_oldest_review_seconds 0",
    ])
    .await;
    let first = stage.propose(ALICE, "tag first").await;
    let second = stage.propose(ALICE, "tag second").await;
    let stats = stage.stats().await;
    assert_eq!(
        (stats.in_review, stats.pending, stats.in_flight),
        (2, 0, 0),
        "{stats:?}"
    );
    assert_eq!(stats.oldest_in_review_at, first.proposed_at);
    until(&[
        "draftsman_queue_issues{place=\"in_review\"} 2",
        "draftsman_queue_proposed_total 2",
    ])
    .await;
    stage
        .decline(BOB, &first.issue_id, "no")
        .await
        .expect("DeclineIssue");
    stage.approve(BOB, &second).await.expect("ApproveIssue");
    let stats = stage.stats().await;
    assert_eq!(
        (stats.in_review, stats.oldest_in_review_at),
        (0, None),
        "{stats:?}"
    );
    until(&[
        "draftsman_queue_issues{place=\"in_review\"} 0",
        "draftsman_queue_decided_total{outcome=\"rejected\",cause=\"declined\"} 1",
        "draftsman_queue_decided_total{outcome=\"applied\",cause=\"\"} 1",
    ])
    .await;
}

#[tokio::test]
async fn a_setting_has_its_rules_of_reviews() {
    let stage = Stage::start().await;
    let get = async || {
        let request = v1::GetSettingRequest {
            setting_id: "reviewed".to_owned(),
        };
        let mut settings = stage.rig.client.settings.clone();
        let answer = settings.get_setting(with(OPS, request)).await;
        let setting = answer.expect("GetSetting").into_inner().setting;
        let setting = setting.expect("a setting");
        (setting.review_ttl_secs, setting.allow_self_review)
    };
    assert_eq!(get().await, (Some(604_800), false));
    for (secs, allowed) in [(0, true), (31_536_000, false)] {
        stage
            .put_setting(|setting| {
                setting.review_ttl_secs = Some(secs);
                setting.allow_self_review = allowed;
            })
            .await;
        assert_eq!(get().await, (Some(secs), allowed));
    }
    stage
        .put_setting(|setting| setting.review_ttl_secs = Some(0))
        .await;
    let proposal = stage.propose(ALICE, "tag calm").await;
    assert_eq!(proposal.expires_at, None, "no limit");
}
