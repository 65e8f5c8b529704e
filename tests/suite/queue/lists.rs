//! Lists: their order, pages and filters, and invalid page tokens.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use tests::factory;
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test]
async fn issues_are_listed_newest_first_in_pages() {
    let rig = Rig::without_worker().await;
    for id in ["left", "right"] {
        rig.client.put(factory::small(id)).await;
    }
    let mut ids = Vec::new();
    for n in 0..25 {
        let blueprint_id = if n % 5 == 0 { "left" } else { "right" };
        ids.push(
            rig.client
                .submit(blueprint_id, format!("tag n{n}"))
                .await
                .issue_id,
        );
    }
    ids.reverse();
    let mut intake = rig.client.intake.clone();
    let mut listed = Vec::new();
    let mut sizes = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListIssuesRequest {
            page_size: 10,
            page_token,
            ..Default::default()
        };
        let page = intake
            .list_issues(request)
            .await
            .expect("ListIssues")
            .into_inner();
        sizes.push(page.issues.len());
        listed.extend(page.issues.into_iter().map(|i| i.issue_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        // Issues that arrive in the meantime are newer than all following pages.
        rig.client.submit("left", "tag later").await;
    }
    assert_eq!(listed, ids);
    assert_eq!(sizes, [10, 10, 5]);

    let of_left = v1::ListIssuesRequest {
        blueprint_id: Some("left".to_owned()),
        ..Default::default()
    };
    let page = intake
        .list_issues(of_left)
        .await
        .expect("ListIssues")
        .into_inner();
    assert!(page.issues.iter().all(|i| i.blueprint_id == "left"));
    assert_eq!(page.issues.len(), 7);
    let applied = v1::ListIssuesRequest {
        state: Some(IssueState::Applied.into()),
        ..Default::default()
    };
    assert_eq!(
        intake
            .list_issues(applied)
            .await
            .expect("ListIssues")
            .into_inner()
            .issues,
        []
    );
    let nobody = v1::ListIssuesRequest {
        blueprint_id: Some("nobody".to_owned()),
        ..Default::default()
    };
    assert_eq!(
        intake
            .list_issues(nobody)
            .await
            .expect("ListIssues")
            .into_inner()
            .issues,
        []
    );
    let above = v1::ListIssuesRequest {
        page_size: 5_000,
        ..Default::default()
    };
    assert_eq!(
        intake
            .list_issues(above)
            .await
            .expect("above 1,000 counts as 1,000")
            .into_inner()
            .issues
            .len(),
        27
    );
}

#[tokio::test]
async fn issues_are_filtered_by_state_and_cause() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("mixed")).await;
    let applied = rig.client.run("mixed", "tag x").await.issue_id;
    let denied = rig
        .client
        .run("mixed", "who understands this?")
        .await
        .issue_id;
    let mut intake = rig.client.intake.clone();
    let mut list = async |state: Option<IssueState>, cause: Option<RejectionCause>, dead_only| {
        let request = v1::ListIssuesRequest {
            state: state.map(Into::into),
            cause: cause.map(Into::into),
            dead_only,
            ..Default::default()
        };
        let page = intake
            .list_issues(request)
            .await
            .expect("ListIssues")
            .into_inner();
        page.issues
            .into_iter()
            .map(|i| i.issue_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        list(None, None, false).await,
        [denied.clone(), applied.clone()]
    );
    assert_eq!(
        list(Some(IssueState::Applied), None, false).await,
        [applied]
    );
    assert_eq!(
        list(Some(IssueState::Rejected), None, false).await,
        std::slice::from_ref(&denied)
    );
    assert_eq!(
        list(None, Some(RejectionCause::Denied), false).await,
        [denied]
    );
    assert_eq!(
        list(None, Some(RejectionCause::Failed), false).await,
        [] as [&str; 0]
    );
    assert_eq!(list(None, None, true).await, [] as [&str; 0]);
}

#[tokio::test]
async fn a_page_ends_at_one_mebibyte_and_goes_on() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("long")).await;
    let intent = format!("tag x{}", " ".repeat(60_000));
    for _ in 0..24 {
        rig.client.submit("long", intent.clone()).await;
    }
    let first = rig
        .client
        .intake
        .clone()
        .list_issues(v1::ListIssuesRequest::default())
        .await;
    let first = first.expect("ListIssues").into_inner();
    assert!(
        !first.next_page_token.is_empty(),
        "24 issues of 60 KB are more than one page"
    );
    assert!(
        (1..24).contains(&first.issues.len()),
        "{}",
        first.issues.len()
    );
    assert_eq!(rig.client.issues().await.len(), 24);
}

#[tokio::test]
async fn blueprints_commits_and_log_entries_come_in_pages() {
    let rig = Rig::start().await;
    for n in 0..12 {
        rig.client.put(factory::small(&format!("bp-{n:02}"))).await;
    }
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(rig.client.run("bp-00", format!("tag n{n}")).await.issue_id);
    }
    let other = rig.client.run("bp-01", "tag other").await.issue_id;

    let mut blueprints = rig.client.blueprints.clone();
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListBlueprintsRequest {
            include_archived: false,
            page_size: 5,
            page_token,
        };
        let page = blueprints
            .list_blueprints(request)
            .await
            .expect("ListBlueprints")
            .into_inner();
        assert!(page.blueprints.len() <= 5);
        listed.extend(page.blueprints);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut names: Vec<&str> = listed.iter().map(|b| b.blueprint_id.as_str()).collect();
    names.sort_unstable();
    let mut expected: Vec<String> = (0..12).map(|n| format!("bp-{n:02}")).collect();
    expected.extend(["enhance-default", "enhance-repair"].map(str::to_owned));
    assert_eq!(names, expected);
    let zero = listed
        .iter()
        .find(|b| b.blueprint_id == "bp-00")
        .expect("bp-00");
    let head = rig.client.head("bp-00").await.commit.expect("a commit");
    assert_eq!(
        (&zero.head, zero.version_label.as_str(), zero.archived),
        (&head.version, "1.0.7", false)
    );
    assert_eq!(zero.updated_at, head.committed_at);

    let mut seqs = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListCommitsRequest {
            blueprint_id: "bp-00".to_owned(),
            page_size: 3,
            page_token,
            ..Default::default()
        };
        let page = blueprints
            .list_commits(request)
            .await
            .expect("ListCommits")
            .into_inner();
        seqs.extend(page.commits.iter().map(|c| c.seq));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seqs, [8, 7, 6, 5, 4, 3, 2, 1]);
    let nobody = v1::ListCommitsRequest {
        blueprint_id: "nobody".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        blueprints
            .list_commits(nobody)
            .await
            .expect_err("no such Blueprint")
            .code(),
        Code::NotFound
    );

    let mut log = rig.client.log.clone();
    for newest_first in [false, true] {
        let mut expected = ids.clone();
        if newest_first {
            expected.reverse();
        }
        let mut entries = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListLogEntriesRequest {
                blueprint_id: Some("bp-00".to_owned()),
                newest_first,
                page_size: 3,
                page_token,
                ..Default::default()
            };
            let page = log
                .list_log_entries(request)
                .await
                .expect("ListLogEntries")
                .into_inner();
            entries.extend(page.entries.into_iter().map(|e| e.issue_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(entries, expected);
    }
    let all: Vec<String> = rig
        .client
        .entries()
        .await
        .into_iter()
        .map(|e| e.issue_id)
        .collect();
    assert_eq!(all.len(), 8);
    assert_eq!(all.last(), Some(&other));
}

#[tokio::test]
async fn what_is_no_page_is_refused() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("paged")).await;
    let (mut intake, mut blueprints, mut log) = (
        rig.client.intake.clone(),
        rig.client.blueprints.clone(),
        rig.client.log.clone(),
    );
    for (page_size, page_token, field) in [
        (-1, "", "page_size"),
        (0, "no token of ours ☃", "page_token"),
    ] {
        let page_token = page_token.to_owned();
        let issues = v1::ListIssuesRequest {
            page_size,
            page_token: page_token.clone(),
            ..Default::default()
        };
        let list = v1::ListBlueprintsRequest {
            page_size,
            page_token: page_token.clone(),
            ..Default::default()
        };
        let commits = v1::ListCommitsRequest {
            blueprint_id: "paged".to_owned(),
            page_size,
            page_token: page_token.clone(),
            ..Default::default()
        };
        let entries = v1::ListLogEntriesRequest {
            page_size,
            page_token: page_token.clone(),
            ..Default::default()
        };
        let refusals = [
            ("ListIssues", intake.list_issues(issues).await.err()),
            (
                "ListBlueprints",
                blueprints.list_blueprints(list).await.err(),
            ),
            ("ListCommits", blueprints.list_commits(commits).await.err()),
            ("ListLogEntries", log.list_log_entries(entries).await.err()),
        ];
        for (what, status) in refusals {
            let status =
                status.unwrap_or_else(|| panic!("{what} takes {field} {page_size} {page_token:?}"));
            assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
            let violations = status
                .get_details_bad_request()
                .map(|d| d.field_violations)
                .unwrap_or_default();
            assert_eq!(
                violations
                    .iter()
                    .map(|v| v.field.as_str())
                    .collect::<Vec<_>>(),
                [field],
                "{what}"
            );
        }
    }
}
