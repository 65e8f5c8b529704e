//! The scripts that accept an issue and lease it. The tests cover each outcome, its effects, and
//! that a rejected call changes nothing. They also cover the published events, and the numbers of
//! the queue.

use shared::domain::issue::{Authority, IssueState, NewIssue, RejectionCause};
use shared::ids::Version;
use shared::store::{ClaimOutcome, IssueRef, Page, PageRequest, Release, Shard, SubmitOutcome};
use tests::events::{ALL_CHANNEL, Events, issue_channel};
use tests::eventually::eventually;
use tests::store_fixture::{
    ARCHIVED, BESIDE, Fixture, How, LONG, blueprint_id, claimed, fault, issue_ref, marked,
    new_issue, worker_id,
};

// ---- submit -------------------------------------------------------------------------------

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
    let entries = store.list_log_entries(Some(&id), None, false, &page);
    let Page { items, .. } = entries.await.expect("Redis answers");
    items
        .into_iter()
        .map(|entry| entry.issue_id.to_string())
        .collect()
}

// ---- claim --------------------------------------------------------------------------------

#[tokio::test]
async fn a_claim_hands_over_all_that_the_worker_needs() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let head = marked("a", "first", "1.0.0");
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    let before = fixture.issue(&issue).await;
    assert_eq!(fixture.pop(&worker).await, Some(issue.clone()));
    let first = claimed(
        fixture
            .step(store.claim(&issue, &worker, "n-1", LONG, None, BESIDE))
            .await,
    );
    assert_eq!(first.lease.issue, issue);
    assert_eq!(first.lease.token, "1-n-1");
    assert_eq!(
        (first.attempt, first.retries, first.settings_counter),
        (1, 0, 0)
    );
    assert_eq!(
        (&first.intent, first.submitted_at_ms),
        (&before.intent, before.submitted_at_ms)
    );
    assert_eq!((first.head.seq, &first.head.version), (1, head.version()));
    assert_eq!(
        first.head.document.as_deref(),
        Some(&**head.canonical_yaml())
    );
    let stored = fixture.issue(&issue).await;
    assert_eq!(
        (stored.state, stored.attempt, stored.revision),
        (IssueState::InFlight, 1, 2)
    );
    assert_eq!(stored.worker_id, "w");
    assert_eq!(first.claimed_at_ms, stored.updated_at_ms);
    assert_eq!(fixture.place("a").await, "leased");

    // The reply was lost: the same lease again, without the document that the caller has.
    let known = Some(head.version());
    let again = fixture
        .refused(store.claim(&issue, &worker, "n-1", LONG, known, BESIDE))
        .await;
    let again = claimed(again);
    assert_eq!((again.lease, again.attempt), (first.lease, 1));
    assert_eq!((again.head.seq, again.head.document), (1, None));
    // Heartbeat and consumer may race for it.
    let held = fixture
        .refused(store.claim(&issue, &worker, "n-2", LONG, None, BESIDE))
        .await;
    assert!(matches!(held, ClaimOutcome::Held), "{held:?}");
    // The caller has another version, which does not replace the document.
    let other = Version::of("other");
    let again = fixture
        .refused(store.claim(&issue, &worker, "n-1", LONG, Some(&other), BESIDE))
        .await;
    assert!(claimed(again).head.document.is_some());
}

#[tokio::test]
async fn a_claim_needs_the_element_in_the_own_list() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let (mine, other) = (worker_id("mine"), worker_id("other"));
    let not_mine = async |issue: &IssueRef, what: &str| {
        let outcome = fixture
            .refused(store.claim(issue, &mine, "n", LONG, None, BESIDE))
            .await;
        assert!(
            matches!(outcome, ClaimOutcome::NotMine),
            "{what}: {outcome:?}"
        );
    };
    not_mine(&issue_ref("a", "unknown"), "no such issue").await;
    let issue = fixture.submit("a", "i").await;
    not_mine(&issue, "not popped").await;
    let held = fixture.take(&other, LONG).await;
    not_mine(&issue, "leased to another").await;
    fixture.step(fixture.settle(&held, How::Applied)).await;
    not_mine(&issue, "decided").await;
}

#[tokio::test]
async fn a_stale_element_is_gone() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let list = store.keys().processing("w");
    let gone = async |issue: &IssueRef, what: &str| {
        let outcome = store
            .claim(issue, &worker, "n", LONG, None, BESIDE)
            .await
            .unwrap();
        assert!(matches!(outcome, ClaimOutcome::Gone), "{what}: {outcome:?}");
        fixture.step(async { Ok(()) }).await;
        assert_eq!(store.processing("w").await.unwrap(), [], "{what}");
    };
    // Popped, then cancelled.
    let first = fixture.submit("a", "first").await;
    fixture.pop(&worker).await.expect("an element");
    let second = fixture.submit("a", "second").await;
    fixture
        .step(store.cancel_issue(&first.issue_id, Authority::Admin))
        .await;
    assert_eq!(fixture.pending().await, ["a/second"]);
    gone(&first, "cancelled").await;
    // Elements that no script leaves: they are removed without another effect.
    let third = fixture.submit("a", "third").await;
    for (issue, what) in [
        (&third, "not the head"),
        (&issue_ref("a", "unknown"), "no such issue"),
        (&issue_ref("nowhere", "second"), "another queue's"),
    ] {
        let before = fixture.issue(&second).await;
        let _: i64 = fixture.raw(&["LPUSH", &list, &issue.element()]).await;
        gone(issue, what).await;
        assert_eq!(fixture.issue(&second).await, before);
    }
    assert_eq!(fixture.take(&worker, LONG).await.lease.issue, second);
}

#[tokio::test]
async fn a_claim_of_a_paused_queue_parks_it() {
    for paused in ["a", "*"] {
        let fixture = Fixture::with(&["a"]).await;
        let store = &fixture.store;
        let worker = worker_id("w");
        let issue = fixture.submit("a", "i").await;
        let before = fixture.issue(&issue).await;
        fixture.pop(&worker).await.expect("an element");
        fixture.pause(paused).await;
        let outcome = fixture
            .step(store.claim(&issue, &worker, "n", LONG, None, BESIDE))
            .await;
        assert!(
            matches!(outcome, ClaimOutcome::Parked),
            "{paused}: {outcome:?}"
        );
        assert_eq!(fixture.place("a").await, "parked");
        assert_eq!(fixture.issue(&issue).await, before);
    }
}

#[tokio::test]
async fn a_pause_lets_new_issues_wait_and_what_is_in_flight_go_on() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let worker = worker_id("w");
    fixture.submit("a", "a1").await;
    let claimed = fixture.take(&worker, LONG).await;
    fixture.submit("a", "a2").await;
    fixture.pause("a").await;
    fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(fixture.place("a").await, "parked");
    fixture.submit("a", "a3").await;
    fixture.submit("b", "b1").await;
    assert_eq!(fixture.pending().await, ["b/b1"]);
    fixture.pause("*").await;
    fixture
        .step(
            fixture
                .store
                .cancel_issue(&issue_ref("b", "b1").issue_id, Authority::Admin),
        )
        .await;
    fixture.submit("b", "b2").await;
    assert_eq!(fixture.place("b").await, "parked");
    assert!(fixture.pending().await.is_empty());
    // A parked head that is cancelled leaves the next one parked.
    fixture
        .step(
            fixture
                .store
                .cancel_issue(&issue_ref("a", "a2").issue_id, Authority::Admin),
        )
        .await;
    assert_eq!(fixture.place("a").await, "parked");
}

#[tokio::test]
async fn a_claim_for_an_archived_blueprint_decides() {
    let fixture = Fixture::with(&["a"]).await;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    fixture.submit("a", "next").await;
    fixture.pop(&worker).await.expect("an element");
    fixture.set_archived("a", true).await;
    let claim = fixture
        .store
        .claim(&issue, &worker, "n", LONG, None, BESIDE);
    let outcome = fixture.step(claim).await;
    assert!(matches!(outcome, ClaimOutcome::Archived), "{outcome:?}");
    fixture
        .assert_rejected(&issue, None, RejectionCause::Failed, ARCHIVED)
        .await;
    assert_eq!(fixture.pending().await, ["a/next"]);
    fixture.set_archived("a", false).await;
    assert_eq!(fixture.take(&worker, LONG).await.attempt, 1);
}

// ---- events and numbers -------------------------------------------------------------------

const EVENT_FIELDS: [&str; 12] = [
    "attempt",
    "blueprint_id",
    "cause",
    "issue_id",
    "new_version",
    "reason",
    "retry_of",
    "revision",
    "state",
    "submitted_at_ms",
    "updated_at_ms",
    "worker_id",
];

#[tokio::test]
async fn every_change_is_published_whole() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let mut all = Events::subscribe(&fixture.redis, ALL_CHANNEL).await;
    let mut own = Events::subscribe(&fixture.redis, &issue_channel("i")).await;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    let mut check = async |state: &str| {
        let event = all.next().await;
        assert_eq!(own.next().await, event);
        let found = fixture.issue(&issue).await;
        let names: Vec<&String> = event.as_object().expect("an object").keys().collect();
        let mut expected = EVENT_FIELDS.to_vec();
        expected.sort_unstable();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
        let text = |name: &str| {
            event[name]
                .as_str()
                .unwrap_or_else(|| panic!("{name} in {event}"))
        };
        let number = |name: &str| {
            event[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name} in {event}"))
        };
        assert_eq!((text("issue_id"), text("blueprint_id")), ("i", "a"));
        assert_eq!((text("state"), found.state.as_str()), (state, state));
        assert_eq!(
            text("cause"),
            found.cause.map(RejectionCause::as_str).unwrap_or_default()
        );
        assert_eq!(text("reason"), found.reason);
        assert_eq!(
            text("new_version"),
            found
                .new_version
                .as_ref()
                .map(Version::as_str)
                .unwrap_or_default()
        );
        assert_eq!(
            (text("worker_id"), text("retry_of")),
            (found.worker_id.as_str(), "")
        );
        assert_eq!(number("attempt"), u64::from(found.attempt));
        assert_eq!(number("submitted_at_ms"), found.submitted_at_ms);
        assert_eq!(number("updated_at_ms"), found.updated_at_ms);
        assert_eq!(number("revision"), found.revision);
        found.revision
    };
    let mut revisions = vec![check("pending").await];
    let first = fixture.take(&worker, LONG).await;
    revisions.push(check("in_flight").await);
    fixture
        .step(store.release(&first.lease, &Release::Shutdown))
        .await;
    revisions.push(check("pending").await);
    let second = fixture.take(&worker, LONG).await;
    revisions.push(check("in_flight").await);
    // Characters that JSON escapes, and those with a meaning in Lua formats or in a script's own
    // text.
    let awkward = Release::Fault {
        delay_ms: 0,
        reason: "it said \"no\\\" \u{0}\u{1f}\n\t%s %d /\u{2028}ü'".to_owned(),
    };
    fixture.step(store.release(&second.lease, &awkward)).await;
    revisions.push(check("pending").await);
    fixture.step(store.promote(&issue)).await;
    let third = fixture.take(&worker, 0).await;
    revisions.push(check("in_flight").await);
    fixture.step(store.reap(&issue, 5, 0.0)).await;
    revisions.push(check("pending").await);
    fixture.step(store.promote(&issue)).await;
    let fourth = fixture.take(&worker, LONG).await;
    revisions.push(check("in_flight").await);
    // Rejected calls publish nothing: the next event is the decision.
    fixture.refused(fixture.settle(&third, How::Applied)).await;
    fixture.refused(store.submit(&new_issue("a", "i"))).await;
    fixture.step(fixture.settle(&fourth, How::Applied)).await;
    revisions.push(check("applied").await);
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn the_queue_in_numbers() {
    let fixture = Fixture::with(&["a", "b", "c"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let first = fixture.submit("a", "a1").await;
    let oldest = fixture.issue(&first).await.submitted_at_ms;
    // Another millisecond, so that there is one oldest issue and not two.
    eventually("Redis's clock moves", async || {
        let (secs, micros): (u64, u64) = fixture.raw(&["TIME"]).await;
        let now = secs * 1000 + micros / 1000;
        (now > oldest).then_some(()).ok_or_else(|| now.to_string())
    })
    .await;
    let second = fixture.submit("a", "a2").await;
    fixture.submit("b", "b1").await;
    fixture.submit("c", "c1").await;
    fixture.pause("c").await;
    let age = async || store.queue_stats().await.unwrap().oldest_pending_at_ms;
    assert_eq!(age().await, Some(oldest));
    let claimed = fixture.take(&worker, LONG).await;
    assert_eq!(
        age().await,
        Some(fixture.issue(&second).await.submitted_at_ms)
    );
    store
        .beat(&worker, LONG, std::slice::from_ref(&claimed.lease))
        .await
        .unwrap();
    let stats = store.queue_stats().await.unwrap();
    assert_eq!((stats.pending, stats.ready, stats.in_flight), (3, 2, 1));
    assert_eq!(
        (stats.paused, stats.paused_blueprint_ids),
        (false, vec![blueprint_id("c")])
    );
    let shown: Vec<(&str, u32)> = stats
        .workers
        .iter()
        .map(|w| (w.worker_id.as_str(), w.in_flight))
        .collect();
    assert_eq!(shown, [("w", 1)]);
    // Behind a leased head: a cancelled issue no longer waits.
    fixture
        .step(store.cancel_issue(&second.issue_id, Authority::Admin))
        .await;
    let third = fixture.submit("a", "a3").await;
    fixture
        .step(store.release(&claimed.lease, &fault(LONG)))
        .await;
    assert_eq!(age().await, Some(oldest));
    fixture
        .step(store.cancel_issue(&third.issue_id, Authority::Admin))
        .await;
    fixture.pause("*").await;
    let stats = store.queue_stats().await.unwrap();
    assert_eq!((stats.pending, stats.delayed, stats.paused), (3, 1, true));
}
