//! The scripts that move an issue through its queue: each outcome, what it leaves behind, and
//! that a refused call leaves everything as it was.

use shared::enhance_log::{LogEntry, SpawnerUsage};
use shared::ids::{IssueId, Version};
use shared::issue::{Issue, IssueState, NewIssue, RejectionCause};
use shared::store::{
    CancelOutcome, ClaimOutcome, Claimed, IssueRef, Page, PageRequest, PromoteOutcome, Release,
    ReleaseOutcome, ReturnOutcome, SettleOutcome, Store, SubmitOutcome,
};
use shared::version_selector::VersionSelector;
use tests::events::{ALL_CHANNEL, Events, issue_channel};
use tests::eventually::eventually;
use tests::store_stand::{
    How, LONG, PATCH_HASH, Stand, blueprint_id, claimed, epoch_of, issue_ref, log_of, marked,
    new_issue, with_token, worker_id,
};

const ARCHIVED: &str = "dispatch failed: blueprint is archived; unarchive it and retry";

fn fault(delay_ms: u64) -> Release {
    Release::Fault {
        delay_ms,
        reason: "redis is away".to_owned(),
    }
}

/// The entry of an issue that no flow has decided.
fn bare_entry(issue: &Issue, prev_hash: &str, cause: RejectionCause, reason: &str) -> LogEntry {
    LogEntry {
        issue_id: issue.issue_id.clone(),
        blueprint_id: issue.blueprint_id.clone(),
        prev_hash: prev_hash.to_owned(),
        new_hash: String::new(),
        intent: issue.intent.clone(),
        rationale: String::new(),
        verdicts: Vec::new(),
        cause: Some(cause),
        reasons: vec![reason.to_owned()],
        attempt: issue.attempt,
        patch_json: String::new(),
        ts_ms: issue.updated_at_ms,
        usage: SpawnerUsage::default(),
    }
}

/// The issue is rejected, and a bare log entry says so.
async fn assert_rejected(
    stand: &Stand,
    issue: &IssueRef,
    prev_hash: &str,
    why: (RejectionCause, &str),
) {
    let found = stand.issue(issue).await;
    assert_eq!(found.state, IssueState::Rejected);
    assert_eq!((found.cause, found.reason.as_str()), (Some(why.0), why.1));
    assert_eq!(found.new_version, None);
    assert_eq!(
        stand.log_entry(issue).await,
        bare_entry(&found, prev_hash, why.0, why.1)
    );
}

// ---- submit -------------------------------------------------------------------------------

#[tokio::test]
async fn submit_stores_queues_and_answers_again() {
    let stand = Stand::with(&["a", "b"]).await;
    let store = &stand.store;
    let new = new_issue("a", "i");
    let SubmitOutcome::Accepted(issue) = stand.step(store.submit(&new)).await else {
        panic!("not accepted");
    };
    assert_eq!(store.issue(new.issue_id()).await.unwrap().unwrap(), issue);
    assert_eq!(
        (issue.state, issue.attempt, issue.revision),
        (IssueState::Pending, 0, 1)
    );
    assert_eq!(issue.intent, new.intent());
    assert_eq!(issue.submitted_at_ms, issue.updated_at_ms);
    assert_eq!(stand.pending().await, ["a/i"]);

    // The same again, in every state that it goes through.
    let again = async || match stand.refused(store.submit(&new)).await {
        SubmitOutcome::Existed(issue) => issue,
        other => panic!("{other:?}"),
    };
    assert_eq!(again().await, issue);
    let worker = worker_id("w");
    let claimed = stand.take(&worker, LONG).await;
    assert_eq!(again().await.state, IssueState::InFlight);
    stand.step(stand.settle(&claimed, How::Applied)).await;
    assert_eq!(again().await, stand.issue(&claimed.lease.issue).await);
}

#[tokio::test]
async fn submit_refuses() {
    let stand = Stand::with(&["a", "b", "c"]).await;
    let store = &stand.store;
    let there = stand.submit("a", "there").await;
    let decided = stand.submit("b", "decided").await;
    stand.step(store.cancel_issue(&decided.issue_id)).await;
    // What pruning leaves of an issue: the log.
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
        let _: i64 = stand.raw(&words).await;
    }
    stand.set_archived("c", true).await;

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
        assert_eq!(stand.refused(store.submit(&new)).await, expected, "{what}");
    }
}

#[tokio::test]
async fn a_retry_names_what_it_tries_again() {
    let stand = Stand::with(&["a"]).await;
    let first = stand.submit("a", "first").await;
    stand.step(stand.store.cancel_issue(&first.issue_id)).await;
    let second = issue_ref("a", "second");
    let new = NewIssue::new(
        second.issue_id.clone(),
        second.blueprint_id.clone(),
        "again".to_owned(),
        Some(first.issue_id.clone()),
    )
    .unwrap();
    let outcome = stand.step(stand.store.submit(&new)).await;
    let stored = stand.issue(&second).await;
    assert_eq!(outcome, SubmitOutcome::Accepted(stored.clone()));
    assert_eq!(stored.retry_of, Some(first.issue_id));
}

#[tokio::test]
async fn each_blueprint_is_decided_in_order_and_none_starves_another() {
    let stand = Stand::with(&["hot", "cold"]).await;
    let worker = worker_id("w");
    for issue in ["h1", "h2", "h3"] {
        stand.submit("hot", issue).await;
    }
    for issue in ["c1", "c2"] {
        stand.submit("cold", issue).await;
    }
    let mut order = Vec::new();
    assert_eq!(stand.pending().await, ["hot/h1", "cold/c1"]);
    while !stand.pending().await.is_empty() {
        let claimed = stand.take(&worker, LONG).await;
        order.push(claimed.lease.issue.issue_id.to_string());
        stand.step(stand.settle(&claimed, How::Denied)).await;
    }
    assert_eq!(order, ["h1", "c1", "h2", "c2", "h3"]);
    for (blueprint, expected) in [("hot", vec!["h1", "h2", "h3"]), ("cold", vec!["c1", "c2"])] {
        assert_eq!(decided(&stand.store, blueprint).await, expected);
        assert_eq!(stand.place(blueprint).await, "none");
    }
}

async fn decided(store: &Store, blueprint: &str) -> Vec<String> {
    let (id, page) = (
        blueprint_id(blueprint),
        PageRequest {
            size: 1000,
            after: None,
        },
    );
    let entries = store.list_log_entries(Some(&id), false, &page);
    let Page { items, .. } = entries.await.unwrap();
    items
        .into_iter()
        .map(|entry| entry.issue_id.to_string())
        .collect()
}

// ---- claim --------------------------------------------------------------------------------

#[tokio::test]
async fn a_claim_hands_over_all_that_the_worker_needs() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let head = marked("a", "first", "1.0.0");
    let worker = worker_id("w");
    let issue = stand.submit("a", "i").await;
    let before = stand.issue(&issue).await;
    assert_eq!(stand.pop(&worker).await, Some(issue.clone()));
    let first = claimed(
        stand
            .step(store.claim(&issue, &worker, "n-1", LONG, None))
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
    let stored = stand.issue(&issue).await;
    assert_eq!(
        (stored.state, stored.attempt, stored.revision),
        (IssueState::InFlight, 1, 2)
    );
    assert_eq!(stored.worker_id, "w");
    assert_eq!(first.claimed_at_ms, stored.updated_at_ms);
    assert_eq!(stand.place("a").await, "leased");

    // The reply got lost: the same lease once more, without the document that the caller has.
    let known = Some(head.version());
    let again = stand
        .refused(store.claim(&issue, &worker, "n-1", LONG, known))
        .await;
    let again = claimed(again);
    assert_eq!((again.lease, again.attempt), (first.lease, 1));
    assert_eq!((again.head.seq, again.head.document), (1, None));
    // Heartbeat and consumer may race for it.
    let held = stand
        .refused(store.claim(&issue, &worker, "n-2", LONG, None))
        .await;
    assert!(matches!(held, ClaimOutcome::Held), "{held:?}");
    // Another version is known: it does not help.
    let other = Version::of("other");
    let again = stand
        .refused(store.claim(&issue, &worker, "n-1", LONG, Some(&other)))
        .await;
    assert!(claimed(again).head.document.is_some());
}

#[tokio::test]
async fn a_claim_needs_the_element_in_the_own_list() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let (mine, other) = (worker_id("mine"), worker_id("other"));
    let not_mine = async |issue: &IssueRef, what: &str| {
        let outcome = stand
            .refused(store.claim(issue, &mine, "n", LONG, None))
            .await;
        assert!(
            matches!(outcome, ClaimOutcome::NotMine),
            "{what}: {outcome:?}"
        );
    };
    not_mine(&issue_ref("a", "unknown"), "no such issue").await;
    let issue = stand.submit("a", "i").await;
    not_mine(&issue, "not popped").await;
    let held = stand.take(&other, LONG).await;
    not_mine(&issue, "leased to another").await;
    stand.step(stand.settle(&held, How::Applied)).await;
    not_mine(&issue, "decided").await;
}

#[tokio::test]
async fn a_stale_element_is_gone() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let list = store.keys().processing("w");
    let gone = async |issue: &IssueRef, what: &str| {
        let outcome = store.claim(issue, &worker, "n", LONG, None).await.unwrap();
        assert!(matches!(outcome, ClaimOutcome::Gone), "{what}: {outcome:?}");
        stand.step(async { Ok(()) }).await;
        assert_eq!(store.processing("w").await.unwrap(), [], "{what}");
    };
    // Popped, then called off.
    let first = stand.submit("a", "first").await;
    stand.pop(&worker).await.expect("an element");
    let second = stand.submit("a", "second").await;
    stand.step(store.cancel_issue(&first.issue_id)).await;
    assert_eq!(stand.pending().await, ["a/second"]);
    gone(&first, "cancelled").await;
    // Elements that no script would leave: they are taken out and nothing else happens.
    let third = stand.submit("a", "third").await;
    for (issue, what) in [
        (&third, "not the head"),
        (&issue_ref("a", "unknown"), "no such issue"),
        (&issue_ref("nowhere", "second"), "another queue's"),
    ] {
        let before = stand.issue(&second).await;
        let _: i64 = stand.raw(&["LPUSH", &list, &issue.element()]).await;
        gone(issue, what).await;
        assert_eq!(stand.issue(&second).await, before);
    }
    assert_eq!(stand.take(&worker, LONG).await.lease.issue, second);
}

#[tokio::test]
async fn a_claim_of_a_paused_queue_parks_it() {
    for paused in ["a", "*"] {
        let stand = Stand::with(&["a"]).await;
        let store = &stand.store;
        let worker = worker_id("w");
        let issue = stand.submit("a", "i").await;
        let before = stand.issue(&issue).await;
        stand.pop(&worker).await.expect("an element");
        stand.pause(paused).await;
        let outcome = stand
            .step(store.claim(&issue, &worker, "n", LONG, None))
            .await;
        assert!(
            matches!(outcome, ClaimOutcome::Parked),
            "{paused}: {outcome:?}"
        );
        assert_eq!(stand.place("a").await, "parked");
        assert_eq!(stand.issue(&issue).await, before);
    }
}

#[tokio::test]
async fn a_pause_lets_new_issues_wait_and_what_is_in_flight_go_on() {
    let stand = Stand::with(&["a", "b"]).await;
    let worker = worker_id("w");
    stand.submit("a", "a1").await;
    let claimed = stand.take(&worker, LONG).await;
    stand.submit("a", "a2").await;
    stand.pause("a").await;
    stand.step(stand.settle(&claimed, How::Applied)).await;
    assert_eq!(stand.place("a").await, "parked");
    stand.submit("a", "a3").await;
    stand.submit("b", "b1").await;
    assert_eq!(stand.pending().await, ["b/b1"]);
    stand.pause("*").await;
    stand
        .step(stand.store.cancel_issue(&issue_ref("b", "b1").issue_id))
        .await;
    stand.submit("b", "b2").await;
    assert_eq!(stand.place("b").await, "parked");
    assert!(stand.pending().await.is_empty());
    // A parked head that is called off leaves the next one parked.
    stand
        .step(stand.store.cancel_issue(&issue_ref("a", "a2").issue_id))
        .await;
    assert_eq!(stand.place("a").await, "parked");
}

#[tokio::test]
async fn a_claim_for_an_archived_blueprint_decides() {
    let stand = Stand::with(&["a"]).await;
    let worker = worker_id("w");
    let issue = stand.submit("a", "i").await;
    stand.submit("a", "next").await;
    stand.pop(&worker).await.expect("an element");
    stand.set_archived("a", true).await;
    let claim = stand.store.claim(&issue, &worker, "n", LONG, None);
    let outcome = stand.step(claim).await;
    assert!(matches!(outcome, ClaimOutcome::Archived), "{outcome:?}");
    assert_rejected(&stand, &issue, "", (RejectionCause::Failed, ARCHIVED)).await;
    assert_eq!(stand.pending().await, ["a/next"]);
    stand.set_archived("a", false).await;
    assert_eq!(stand.take(&worker, LONG).await.attempt, 1);
}

// ---- settle -------------------------------------------------------------------------------

#[tokio::test]
async fn settle_decides_once_and_answers_again() {
    let cases = [
        (How::Applied, IssueState::Applied),
        (How::Denied, IssueState::Rejected),
        (How::Failed, IssueState::Rejected),
        (How::Dead, IssueState::Rejected),
    ];
    for (how, state) in cases {
        let stand = Stand::with(&["a"]).await;
        let store = &stand.store;
        let issue = stand.submit("a", "i").await;
        let next = stand.submit("a", "next").await;
        let claimed = stand.take(&worker_id("w"), LONG).await;
        let outcome = stand.step(stand.settle(&claimed, how)).await;
        assert_eq!(outcome, SettleOutcome::Settled(state), "{how:?}");

        let new = marked("a", "i", "1.0.1");
        let found = stand.issue(&issue).await;
        assert_eq!(
            (found.state, found.cause, found.revision),
            (state, how.cause(), 3)
        );
        assert_eq!(found.reason, how.reason());
        let version = (how == How::Applied).then(|| new.version().clone());
        assert_eq!(found.new_version, version, "{how:?}");
        let mut expected = log_of(&claimed, how, &new);
        (expected.attempt, expected.ts_ms) = (1, found.updated_at_ms);
        assert_eq!(stand.log_entry(&issue).await, expected, "{how:?}");
        assert_eq!(stand.pending().await, ["a/next"]);
        let stats = store.queue_stats().await.unwrap();
        assert_eq!((stats.pending, stats.ready, stats.in_flight), (1, 1, 0));
        assert_eq!(stats.dead, u64::from(how == How::Dead), "{how:?}");
        assert_eq!(
            stats.oldest_pending_at_ms,
            Some(stand.issue(&next).await.submitted_at_ms)
        );

        let head = store
            .blueprint(&issue.blueprint_id, &VersionSelector::Latest)
            .await;
        let head = head.unwrap().expect("a head");
        if how == How::Applied {
            let commit = &head.commit;
            assert_eq!(head.blueprint.version(), new.version());
            assert_eq!((commit.seq, commit.version_label.as_str()), (2, "1.0.1"));
            assert_eq!(commit.parents, [claimed.head.version.clone()]);
            assert_eq!(
                (&commit.rationale, commit.patch_hash.as_str()),
                (&expected.rationale, PATCH_HASH)
            );
            assert_eq!(commit.issue_id.as_ref(), Some(&issue.issue_id));
            assert_eq!(commit.epoch, Some(epoch_of(&claimed)));
            assert_eq!(commit.committed_at_ms, found.updated_at_ms);
            let by_label = VersionSelector::SemverReq("=1.0.1".parse().unwrap());
            let found = store
                .blueprint(&issue.blueprint_id, &by_label)
                .await
                .unwrap();
            assert_eq!(found.expect("a version").commit, head.commit);
        } else {
            assert_eq!(head.commit.seq, 1, "{how:?}");
        }

        // The reply got lost; whatever is now said under this token changes nothing.
        for how in [how, How::Applied, How::Failed] {
            let again = stand.refused(stand.settle(&claimed, how)).await;
            assert_eq!(again, outcome);
        }
        let released = stand
            .refused(store.release(&claimed.lease, &fault(0)))
            .await;
        assert_eq!(released, ReleaseOutcome::Stale);
        let cancelled = stand.refused(store.cancel_issue(&issue.issue_id)).await;
        assert_eq!(cancelled, CancelOutcome::Decided(found));
    }
}

#[tokio::test]
async fn settle_wants_the_present_token() {
    let stand = Stand::with(&["a"]).await;
    stand.submit("a", "i").await;
    let mut claimed = stand.take(&worker_id("w"), LONG).await;
    let token = claimed.lease.token.clone();
    for other in ["", "1-other", "2", &token[..token.len() - 1]] {
        claimed.lease = with_token(&claimed.lease, other);
        for how in [How::Applied, How::Denied, How::Failed, How::Dead] {
            let outcome = stand.refused(stand.settle(&claimed, how)).await;
            assert_eq!(outcome, SettleOutcome::Stale, "{other:?}");
        }
        let outcome = stand
            .refused(stand.store.release(&claimed.lease, &Release::Shutdown))
            .await;
        assert_eq!(outcome, ReleaseOutcome::Stale, "{other:?}");
    }
    claimed.lease = with_token(&claimed.lease, &token);
    let outcome = stand.step(stand.settle(&claimed, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
}

#[tokio::test]
async fn a_moved_head_keeps_the_lease() {
    let stand = Stand::with(&["a"]).await;
    stand.submit("a", "i").await;
    let mut claimed = stand.take(&worker_id("w"), LONG).await;
    let by_hand = marked("a", "by hand", "3.0.0");
    let put = stand.put(&by_hand).await;
    for how in [How::Applied, How::Denied] {
        match stand.refused(stand.settle(&claimed, how)).await {
            SettleOutcome::MovedHead(head) => {
                assert_eq!((head.seq, &head.version), (put.seq, &put.version));
                assert_eq!(head.document.as_deref(), Some(&**by_hand.canonical_yaml()));
                if how == How::Denied {
                    claimed.head = head;
                }
            }
            other => panic!("{how:?}: {other:?}"),
        }
    }
    let outcome = stand.step(stand.settle(&claimed, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
    let commit = stand
        .store
        .blueprint(&blueprint_id("a"), &VersionSelector::Latest)
        .await;
    let commit = commit.unwrap().expect("a head").commit;
    assert_eq!((commit.seq, commit.parents), (3, vec![put.version]));
}

#[tokio::test]
async fn a_failure_needs_no_particular_head() {
    let stand = Stand::with(&["a"]).await;
    stand.submit("a", "i").await;
    let claimed = stand.take(&worker_id("w"), LONG).await;
    stand.put(&marked("a", "by hand", "3.0.0")).await;
    stand.set_archived("a", true).await;
    let outcome = stand.step(stand.settle(&claimed, How::Failed)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Rejected));
    assert_eq!(
        stand.issue(&claimed.lease.issue).await.reason,
        How::Failed.reason()
    );
}

#[tokio::test]
async fn settle_for_an_archived_blueprint_fails_the_issue() {
    for how in [How::Applied, How::Denied] {
        let stand = Stand::with(&["a"]).await;
        let issue = stand.submit("a", "i").await;
        let claimed = stand.take(&worker_id("w"), LONG).await;
        stand.set_archived("a", true).await;
        let outcome = stand.step(stand.settle(&claimed, how)).await;
        assert_eq!(outcome, SettleOutcome::Archived);
        let why = (RejectionCause::Failed, ARCHIVED);
        assert_rejected(&stand, &issue, claimed.head.version.as_str(), why).await;
        let again = stand.refused(stand.settle(&claimed, how)).await;
        assert_eq!(again, SettleOutcome::Archived);
    }
}

// ---- cancel -------------------------------------------------------------------------------

/// Brings the issue `i` of the Blueprint `a` into a state; the claim, if there is one.
async fn bring_to(stand: &Stand, state: &str) -> Option<Claimed> {
    let worker = worker_id("w");
    if state == "parked" {
        stand.pause("a").await;
    }
    if state.starts_with("behind") {
        stand.submit("a", "before").await;
    }
    stand.submit("a", "i").await;
    match state {
        "popped" => {
            stand.pop(&worker).await.expect("an element");
        }
        "in flight" => return Some(stand.take(&worker, LONG).await),
        "delayed" => {
            let claimed = stand.take(&worker, LONG).await;
            stand
                .step(stand.store.release(&claimed.lease, &fault(LONG)))
                .await;
            return Some(claimed);
        }
        "behind one in flight" => {
            stand.take(&worker, LONG).await;
        }
        _ => {}
    }
    None
}

#[tokio::test]
async fn cancel_decides_in_every_state() {
    let states = [
        // The state; the place and what can be popped, once `i` is called off and `next` follows.
        ("ready", "ready", vec!["a/next"]),
        ("popped", "ready", vec!["a/next"]),
        ("in flight", "ready", vec!["a/next"]),
        ("delayed", "ready", vec!["a/next"]),
        ("parked", "parked", vec![]),
        ("behind one ready", "ready", vec!["a/before"]),
        ("behind one in flight", "leased", vec![]),
    ];
    for (state, place, pending) in states {
        let stand = Stand::with(&["a"]).await;
        let store = &stand.store;
        let mut called_off = store.subscribe_cancelled().await.unwrap();
        let claimed = bring_to(&stand, state).await;
        let issue = issue_ref("a", "i");
        let next = stand.submit("a", "next").await;
        let outcome = stand.step(store.cancel_issue(&issue.issue_id)).await;
        let found = stand.issue(&issue).await;
        assert_eq!(outcome, CancelOutcome::Cancelled(found), "{state}");
        let why = (RejectionCause::Cancelled, "cancelled");
        assert_rejected(&stand, &issue, "", why).await;
        assert_eq!(called_off.next().await.unwrap(), issue.issue_id, "{state}");
        assert_eq!(stand.place("a").await, place, "{state}");
        assert_eq!(stand.pending().await, pending, "{state}");
        let expected = if state.starts_with("behind") {
            ["before", "next"]
        } else {
            ["next", ""]
        };
        let backlog: Vec<String> = stand
            .raw(&[
                "LRANGE",
                &store.keys().backlog(&issue.blueprint_id),
                "0",
                "-1",
            ])
            .await;
        let left: Vec<&str> = backlog
            .iter()
            .filter_map(|b| Some(b.split_once('|')?.0))
            .collect();
        assert_eq!(
            left,
            expected
                .into_iter()
                .filter(|e| !e.is_empty())
                .collect::<Vec<_>>()
        );

        let again = stand.refused(store.cancel_issue(&issue.issue_id)).await;
        assert_eq!(again, outcome, "{state}");
        if let Some(claimed) = claimed {
            for how in [How::Applied, How::Failed] {
                let late = stand.refused(stand.settle(&claimed, how)).await;
                assert_eq!(late, SettleOutcome::Stale, "{state}");
            }
            let late = stand
                .refused(store.release(&claimed.lease, &Release::Shutdown))
                .await;
            assert_eq!(late, ReleaseOutcome::Stale, "{state}");
        }
        stand.step(store.cancel_issue(&next.issue_id)).await;
    }
}

#[tokio::test]
async fn cancel_of_nothing_is_not_found() {
    let stand = Stand::with(&["a"]).await;
    let outcome = stand
        .refused(stand.store.cancel_issue(&IssueId::generate()))
        .await;
    assert_eq!(outcome, CancelOutcome::NotFound);
}

// ---- release, return, promote -------------------------------------------------------------

#[tokio::test]
async fn a_shutdown_gives_back_at_once_and_the_attempt_with_it() {
    let stand = Stand::with(&["a", "b"]).await;
    let store = &stand.store;
    let (first, second) = (worker_id("w1"), worker_id("w2"));
    let issue = stand.submit("a", "i").await;
    let claimed = stand.take(&first, LONG).await;
    stand.submit("b", "waits-already").await;
    let release = || store.release(&claimed.lease, &Release::Shutdown);
    assert_eq!(stand.step(release()).await, ReleaseOutcome::Released);
    assert_eq!(stand.pending().await, ["a/i", "b/waits-already"]);
    let found = stand.issue(&issue).await;
    assert_eq!(
        (found.state, found.attempt, found.revision),
        (IssueState::Pending, 0, 3)
    );
    assert_eq!(stand.refused(release()).await, ReleaseOutcome::Stale);
    let taken = stand.take(&second, LONG).await;
    assert_eq!((taken.attempt, taken.retries), (1, 0));
    assert_eq!(stand.refused(release()).await, ReleaseOutcome::Stale);
    let late = stand.refused(stand.settle(&claimed, How::Applied)).await;
    assert_eq!(late, SettleOutcome::Stale);

    stand.pause("a").await;
    let release = store.release(&taken.lease, &Release::Shutdown);
    assert_eq!(stand.step(release).await, ReleaseOutcome::Released);
    assert_eq!(stand.place("a").await, "parked");
}

#[tokio::test]
async fn a_fault_delays_the_issue_and_its_queue_with_it() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let issue = stand.submit("a", "i").await;
    stand.submit("a", "next").await;
    let claimed = stand.take(&worker, LONG).await;
    let put_off = fault(LONG);
    let release = || store.release(&claimed.lease, &put_off);
    assert_eq!(stand.step(release()).await, ReleaseOutcome::Released);
    assert_eq!(stand.refused(release()).await, ReleaseOutcome::Stale);
    let found = stand.issue(&issue).await;
    assert_eq!((found.state, found.attempt), (IssueState::Pending, 1));
    assert_eq!(found.reason, "redis is away");
    assert_eq!(stand.place("a").await, "delayed");
    assert!(stand.pending().await.is_empty());
    assert!(store.due_issues(10).await.unwrap().is_empty());
    assert_eq!(
        stand.refused(store.promote(&issue)).await,
        PromoteOutcome::NotDue
    );
    let stats = store.queue_stats().await.unwrap();
    assert_eq!((stats.pending, stats.ready, stats.delayed), (2, 0, 1));

    let _: i64 = stand
        .raw(&["ZADD", &store.keys().delayed(), "1", &issue.element()])
        .await;
    assert_eq!(store.due_issues(10).await.unwrap(), [issue.clone()]);
    assert_eq!(
        stand.step(store.promote(&issue)).await,
        PromoteOutcome::Promoted
    );
    assert_eq!(
        stand.refused(store.promote(&issue)).await,
        PromoteOutcome::Gone
    );
    let claimed = stand.take(&worker, LONG).await;
    assert_eq!((claimed.attempt, claimed.retries), (2, 1));
    // The last error is no longer shown once somebody works on it.
    assert_eq!(stand.issue(&issue).await.reason, "");
}

#[tokio::test]
async fn what_becomes_due_while_paused_is_parked() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let issue = stand.submit("a", "i").await;
    let claimed = stand.take(&worker_id("w"), LONG).await;
    stand.step(store.release(&claimed.lease, &fault(0))).await;
    stand.pause("*").await;
    assert_eq!(
        stand.step(store.promote(&issue)).await,
        PromoteOutcome::Promoted
    );
    assert_eq!(stand.place("a").await, "parked");
}

#[tokio::test]
async fn promote_takes_out_what_is_not_delayed_any_more() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    assert_eq!(
        stand
            .refused(store.promote(&issue_ref("a", "unknown")))
            .await,
        PromoteOutcome::Gone
    );
    let issue = stand.submit("a", "i").await;
    assert_eq!(
        stand.refused(store.promote(&issue)).await,
        PromoteOutcome::Gone
    );
    // No script leaves such an entry.
    let _: i64 = stand
        .raw(&["ZADD", &store.keys().delayed(), "1", &issue.element()])
        .await;
    assert_eq!(
        stand.step(store.promote(&issue)).await,
        PromoteOutcome::Gone
    );
    assert_eq!(stand.pending().await, ["a/i"]);
}

#[tokio::test]
async fn an_unclaimed_element_is_given_back() {
    let stand = Stand::with(&["a", "b"]).await;
    let store = &stand.store;
    let (worker, dead) = (worker_id("w"), worker_id("dead"));
    let issue = stand.submit("a", "i").await;
    let give_back = |holder: &'static str| store.return_element(&issue, holder);
    assert_eq!(
        stand.refused(give_back("dead")).await,
        ReturnOutcome::NotMine
    );
    stand.pop(&dead).await.expect("an element");
    stand.submit("b", "waits-already").await;
    let before = stand.issue(&issue).await;
    assert_eq!(stand.refused(give_back("w")).await, ReturnOutcome::NotMine);
    assert_eq!(stand.step(give_back("dead")).await, ReturnOutcome::Returned);
    assert_eq!(stand.pending().await, ["a/i", "b/waits-already"]);
    assert_eq!(stand.issue(&issue).await, before);

    // A second reaper is too late, and a lease is not touched.
    assert_eq!(
        stand.refused(give_back("dead")).await,
        ReturnOutcome::NotMine
    );
    let claimed = stand.take(&worker, LONG).await;
    assert_eq!(stand.step(give_back("w")).await, ReturnOutcome::Gone);
    assert_eq!(stand.place("a").await, "leased");
    let outcome = stand.step(stand.settle(&claimed, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
}

#[tokio::test]
async fn a_stale_or_paused_element_is_only_taken_out() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let dead = worker_id("dead");
    let first = stand.submit("a", "first").await;
    stand.pop(&dead).await.expect("an element");
    stand.step(store.cancel_issue(&first.issue_id)).await;
    let second = stand.submit("a", "second").await;
    assert_eq!(
        stand.step(store.return_element(&first, "dead")).await,
        ReturnOutcome::Gone
    );
    assert_eq!(stand.pending().await, ["a/second"]);

    stand.pop(&dead).await.expect("an element");
    stand.pause("a").await;
    stand.step(store.return_element(&second, "dead")).await;
    assert_eq!(stand.place("a").await, "parked");
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
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let mut all = Events::subscribe(&stand.redis, ALL_CHANNEL).await;
    let mut own = Events::subscribe(&stand.redis, &issue_channel("i")).await;
    let worker = worker_id("w");
    let issue = stand.submit("a", "i").await;
    let mut check = async |state: &str| {
        let event = all.next().await;
        assert_eq!(own.next().await, event);
        let found = stand.issue(&issue).await;
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
    let first = stand.take(&worker, LONG).await;
    revisions.push(check("in_flight").await);
    stand
        .step(store.release(&first.lease, &Release::Shutdown))
        .await;
    revisions.push(check("pending").await);
    let second = stand.take(&worker, LONG).await;
    revisions.push(check("in_flight").await);
    stand.step(store.release(&second.lease, &fault(0))).await;
    revisions.push(check("pending").await);
    stand.step(store.promote(&issue)).await;
    let third = stand.take(&worker, 0).await;
    revisions.push(check("in_flight").await);
    stand.step(store.reap(&issue, 5, 0.0)).await;
    revisions.push(check("pending").await);
    stand.step(store.promote(&issue)).await;
    let fourth = stand.take(&worker, LONG).await;
    revisions.push(check("in_flight").await);
    // Refused calls say nothing: the next event is the decision.
    stand.refused(stand.settle(&third, How::Applied)).await;
    stand.refused(store.submit(&new_issue("a", "i"))).await;
    stand.step(stand.settle(&fourth, How::Applied)).await;
    revisions.push(check("applied").await);
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn the_queue_in_numbers() {
    let stand = Stand::with(&["a", "b", "c"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let first = stand.submit("a", "a1").await;
    let oldest = stand.issue(&first).await.submitted_at_ms;
    // Another millisecond, so that the oldest is one and not two.
    eventually("Redis's clock moves", async || {
        let (secs, micros): (u64, u64) = stand.raw(&["TIME"]).await;
        let now = secs * 1000 + micros / 1000;
        (now > oldest).then_some(()).ok_or_else(|| now.to_string())
    })
    .await;
    let second = stand.submit("a", "a2").await;
    stand.submit("b", "b1").await;
    stand.submit("c", "c1").await;
    stand.pause("c").await;
    let age = async || store.queue_stats().await.unwrap().oldest_pending_at_ms;
    assert_eq!(age().await, Some(oldest));
    let claimed = stand.take(&worker, LONG).await;
    assert_eq!(
        age().await,
        Some(stand.issue(&second).await.submitted_at_ms)
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
    // Behind a leased head: what is called off no longer waits.
    stand.step(store.cancel_issue(&second.issue_id)).await;
    let third = stand.submit("a", "a3").await;
    stand
        .step(store.release(&claimed.lease, &fault(LONG)))
        .await;
    assert_eq!(age().await, Some(oldest));
    stand.step(store.cancel_issue(&third.issue_id)).await;
    stand.pause("*").await;
    let stats = store.queue_stats().await.unwrap();
    assert_eq!((stats.pending, stats.delayed, stats.paused), (3, 1, true));
}
