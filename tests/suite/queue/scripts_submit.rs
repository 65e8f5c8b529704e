//! The script that accepts an issue: each outcome, its effects, and the order of the queues.

use shared::domain::issue::{Authority, IssueState, NewIssue};
use shared::store::{LogFilter, Page, PageRequest, Shard, SubmitOutcome};
use tests::events::{ALL_CHANNEL, Events};
use tests::store_fixture::{Fixture, How, LONG, blueprint_id, issue_ref, new_issue, worker_id};

#[tokio::test]
async fn submit_stores_queues_and_answers_again() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let store = &fixture.store;
    let new = new_issue("a", "i");
    let SubmitOutcome::Accepted(issue) = fixture.step(store.submit(&new)).await else {
        panic!("not accepted");
    };
    assert_eq!(store.issue(new.issue_id()).await.unwrap().unwrap(), issue);
    assert_eq!(
        (issue.state, issue.attempt, issue.revision),
        (IssueState::Pending, 0, 1)
    );
    assert_eq!(issue.intent, new.intent());
    assert_eq!(issue.submitted_at_ms, issue.updated_at_ms);
    assert_eq!(fixture.pending().await, ["a/i"]);

    // The same submission again, in every state of the issue.
    let again = async || match fixture.refused(store.submit(&new)).await {
        SubmitOutcome::Existed(issue) => issue,
        other => panic!("{other:?}"),
    };
    assert_eq!(again().await, issue);
    let worker = worker_id("w");
    let claimed = fixture.take(&worker, LONG).await;
    assert_eq!(again().await.state, IssueState::InFlight);
    fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(again().await, fixture.issue(&claimed.lease.issue).await);
}

#[tokio::test]
async fn submit_refuses() {
    let fixture = Fixture::with(&["a", "b", "c"]).await;
    let store = &fixture.store;
    let there = fixture.submit("a", "there").await;
    let decided = fixture.submit("b", "decided").await;
    fixture
        .step(store.cancel_issue(&decided.issue_id, Authority::Admin))
        .await;
    // Removes everything except the log entry, as pruning does.
    for (command, key, member) in [
        ("DEL", store.keys().issue(&decided.issue_id), None),
        ("DEL", store.keys().intent(&decided.issue_id), None),
        ("ZREM", store.keys().issues(), Some("decided")),
        (
            "ZREM",
            store.keys().issues_of(&decided.blueprint_id),
            Some("decided"),
        ),
    ] {
        let words: Vec<&str> = [command, &key].into_iter().chain(member).collect();
        let _: i64 = fixture.raw(&words).await;
    }
    fixture.set_archived("c", true).await;

    let same = new_issue("a", "there");
    let other_intent = NewIssue::new(
        there.issue_id.clone(),
        there.blueprint_id.clone(),
        "other".to_owned(),
        None,
    );
    let retry = NewIssue::new(
        there.issue_id.clone(),
        there.blueprint_id.clone(),
        same.intent().to_owned(),
        Some(decided.issue_id.clone()),
    );
    let cases = [
        (
            "another intent",
            other_intent.unwrap(),
            SubmitOutcome::Conflict,
        ),
        (
            "another Blueprint",
            new_issue("b", "there"),
            SubmitOutcome::Conflict,
        ),
        (
            "an unknown Blueprint",
            new_issue("nowhere", "there"),
            SubmitOutcome::Conflict,
        ),
        ("a retry", retry.unwrap(), SubmitOutcome::Conflict),
        (
            "decided and pruned",
            new_issue("b", "decided"),
            SubmitOutcome::Pruned,
        ),
        (
            "decided elsewhere",
            new_issue("a", "decided"),
            SubmitOutcome::Pruned,
        ),
        (
            "no target",
            new_issue("nowhere", "new"),
            SubmitOutcome::UnknownTarget,
        ),
        ("archived", new_issue("c", "new"), SubmitOutcome::Archived),
    ];
    for (what, new, expected) in cases {
        assert_eq!(
            fixture.refused(store.submit(&new)).await,
            expected,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_retry_names_what_it_tries_again() {
    let fixture = Fixture::with(&["a"]).await;
    let first = fixture.submit("a", "first").await;
    fixture
        .step(
            fixture
                .store
                .cancel_issue(&first.issue_id, Authority::Admin),
        )
        .await;
    let second = issue_ref("a", "second");
    let new = NewIssue::new(
        second.issue_id.clone(),
        second.blueprint_id.clone(),
        "again".to_owned(),
        Some(first.issue_id.clone()),
    )
    .unwrap();
    let mut events = Events::subscribe(&fixture.redis, ALL_CHANNEL).await;
    let outcome = fixture.step(fixture.store.submit(&new)).await;
    let stored = fixture.issue(&second).await;
    assert_eq!(outcome, SubmitOutcome::Accepted(stored.clone()));
    assert_eq!(stored.retry_of, Some(first.issue_id));
    assert_eq!(events.next().await["retry_of"], "first");
}

#[tokio::test]
async fn each_blueprint_is_decided_in_order_and_none_starves_another() {
    let fixture = Fixture::with(&["hot", "cold"]).await;
    let worker = worker_id("w");
    for issue in ["h1", "h2", "h3"] {
        fixture.submit("hot", issue).await;
    }
    for issue in ["c1", "c2"] {
        fixture.submit("cold", issue).await;
    }
    let mut order = Vec::new();
    assert_eq!(fixture.pending().await, ["hot/h1", "cold/c1"]);
    while !fixture.pending().await.is_empty() {
        let claimed = fixture.take(&worker, LONG).await;
        order.push(claimed.lease.issue.issue_id.to_string());
        fixture.step(fixture.settle(&claimed, How::Denied)).await;
    }
    assert_eq!(order, ["h1", "c1", "h2", "c2", "h3"]);
    for (blueprint, expected) in [("hot", vec!["h1", "h2", "h3"]), ("cold", vec!["c1", "c2"])] {
        assert_eq!(decided(&fixture.store, blueprint).await, expected);
        assert_eq!(fixture.place(blueprint).await, "none");
    }
}

async fn decided(store: &Shard, blueprint: &str) -> Vec<String> {
    let (id, page) = (
        blueprint_id(blueprint),
        PageRequest {
            size: 1000,
            after: None,
        },
    );
    let filter = LogFilter::of_blueprint(&id);
    let entries = store.list_log_entries(&filter, false, &page);
    let Page { items, .. } = entries.await.expect("Redis answers");
    items
        .into_iter()
        .map(|entry| entry.issue_id.to_string())
        .collect()
}
