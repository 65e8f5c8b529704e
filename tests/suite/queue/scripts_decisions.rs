//! The scripts that end a lease or an issue: settle, cancel, release, and those that move an
//! element without a holder. Tests each outcome, and that a rejected call changes nothing.

use shared::domain::issue::{Authority, IssueState, RejectionCause};
use shared::domain::version_selector::VersionSelector;
use shared::ids::IssueId;
use shared::store::{
    CancelOutcome, Claimed, PromoteOutcome, Release, ReleaseOutcome, ReturnOutcome, SettleOutcome,
};
use tests::eventually::within_wait_limit;
use tests::store_fixture::{
    ARCHIVED, FAULT, Fixture, How, LONG, PATCH_HASH, blueprint_id, epoch_of, fault, issue_ref,
    log_of, marked, with_token, worker_id,
};

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
        let fixture = Fixture::with(&["a"]).await;
        let store = &fixture.store;
        let issue = fixture.submit("a", "i").await;
        let next = fixture.submit("a", "next").await;
        let claimed = fixture.take(&worker_id("w"), LONG).await;
        let outcome = fixture.step(fixture.settle(&claimed, how)).await;
        assert_eq!(outcome, SettleOutcome::Settled(state), "{how:?}");

        let new = marked("a", "i", "1.0.1");
        let found = fixture.issue(&issue).await;
        assert_eq!(
            (found.state, found.cause, found.revision),
            (state, how.cause(), 3)
        );
        assert_eq!(found.reason, how.reason());
        let version = (how == How::Applied).then(|| new.version().clone());
        assert_eq!(found.new_version, version, "{how:?}");
        let mut expected = log_of(&claimed, how, &new);
        (expected.attempt, expected.ts_ms) = (1, found.updated_at_ms);
        assert_eq!(fixture.log_entry(&issue).await, expected, "{how:?}");
        assert_eq!(fixture.pending().await, ["a/next"]);
        assert_eq!(store.processing("w").await.unwrap(), [], "{how:?}");
        let stats = store.queue_stats().await.unwrap();
        assert_eq!((stats.pending, stats.ready, stats.in_flight), (1, 1, 0));
        assert_eq!(stats.dead, u64::from(how == How::Dead), "{how:?}");
        assert_eq!(
            stats.oldest_pending_at_ms,
            Some(fixture.issue(&next).await.submitted_at_ms)
        );

        let head = store
            .blueprint(&issue.blueprint_id, &VersionSelector::Latest)
            .await;
        let head = head.unwrap().expect("a head");
        if how == How::Applied {
            let commit = &head.commit;
            assert_eq!(head.blueprint.version(), new.version());
            assert_eq!((commit.seq, commit.version_label.as_str()), (2, "1.0.1"));
            assert_eq!(commit.parents, std::slice::from_ref(&claimed.head.version));
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

        // The reply was lost; later calls under this token change nothing.
        for how in [how, How::Applied, How::Failed] {
            let again = fixture.refused(fixture.settle(&claimed, how)).await;
            assert_eq!(again, outcome);
        }
        let released = fixture
            .refused(store.release(&claimed.lease, &fault(0)))
            .await;
        assert_eq!(released, ReleaseOutcome::Stale);
        let cancelled = fixture
            .refused(store.cancel_issue(&issue.issue_id, Authority::Admin))
            .await;
        assert_eq!(cancelled, CancelOutcome::Decided(found));
    }
}

#[tokio::test]
async fn settle_wants_the_present_token() {
    let fixture = Fixture::with(&["a"]).await;
    fixture.submit("a", "i").await;
    let mut claimed = fixture.take(&worker_id("w"), LONG).await;
    let token = claimed.lease.token.clone();
    for other in ["", "1-other", "2", &token[..token.len() - 1]] {
        claimed.lease = with_token(&claimed.lease, other);
        for how in [How::Applied, How::Denied, How::Failed, How::Dead] {
            let outcome = fixture.refused(fixture.settle(&claimed, how)).await;
            assert_eq!(outcome, SettleOutcome::Stale, "{other:?}");
        }
        let outcome = fixture
            .refused(fixture.store.release(&claimed.lease, &Release::Shutdown))
            .await;
        assert_eq!(outcome, ReleaseOutcome::Stale, "{other:?}");
    }
    claimed.lease = with_token(&claimed.lease, &token);
    let outcome = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
}

#[tokio::test]
async fn a_moved_head_keeps_the_lease() {
    let fixture = Fixture::with(&["a"]).await;
    fixture.submit("a", "i").await;
    let mut claimed = fixture.take(&worker_id("w"), LONG).await;
    let by_hand = marked("a", "by hand", "3.0.0");
    let put = fixture.put(&by_hand).await;
    for how in [How::Applied, How::Denied] {
        match fixture.refused(fixture.settle(&claimed, how)).await {
            SettleOutcome::MovedHead { head, .. } => {
                assert_eq!((head.seq, &head.version), (put.seq, &put.version));
                assert_eq!(head.document.as_deref(), Some(&**by_hand.canonical_yaml()));
                if how == How::Denied {
                    claimed.head = head;
                }
            }
            other => panic!("{how:?}: {other:?}"),
        }
    }
    let outcome = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
    let commit = fixture
        .store
        .blueprint(&blueprint_id("a"), &VersionSelector::Latest)
        .await;
    let commit = commit.unwrap().expect("a head").commit;
    assert_eq!((commit.seq, commit.parents), (3, vec![put.version]));
}

#[tokio::test]
async fn a_failure_needs_no_particular_head() {
    let fixture = Fixture::with(&["a"]).await;
    fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.put(&marked("a", "by hand", "3.0.0")).await;
    fixture.set_archived("a", true).await;
    let outcome = fixture.step(fixture.settle(&claimed, How::Failed)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Rejected));
    assert_eq!(
        fixture.issue(&claimed.lease.issue).await.reason,
        How::Failed.reason()
    );
}

#[tokio::test]
async fn settle_for_an_archived_blueprint_fails_the_issue() {
    for how in [How::Applied, How::Denied] {
        let fixture = Fixture::with(&["a"]).await;
        let issue = fixture.submit("a", "i").await;
        let claimed = fixture.take(&worker_id("w"), LONG).await;
        fixture.set_archived("a", true).await;
        let outcome = fixture.step(fixture.settle(&claimed, how)).await;
        assert_eq!(outcome, SettleOutcome::Archived);
        let prev_hash = Some(&claimed.head.version);
        fixture
            .assert_rejected(&issue, prev_hash, RejectionCause::Failed, ARCHIVED)
            .await;
        let again = fixture.refused(fixture.settle(&claimed, how)).await;
        assert_eq!(again, SettleOutcome::Archived);
    }
}

// ---- cancel -------------------------------------------------------------------------------

/// Brings the issue `i` of the Blueprint `a` into a state. Returns the claim, if there is one.
async fn bring_to(fixture: &Fixture, state: &str) -> Option<Claimed> {
    let worker = worker_id("w");
    if state == "parked" {
        fixture.pause("a").await;
    }
    if state.starts_with("behind") {
        fixture.submit("a", "before").await;
    }
    fixture.submit("a", "i").await;
    match state {
        "popped" => {
            fixture.pop(&worker).await.expect("an element");
        }
        "in flight" => return Some(fixture.take(&worker, LONG).await),
        "delayed" => {
            let claimed = fixture.take(&worker, LONG).await;
            fixture
                .step(fixture.store.release(&claimed.lease, &fault(LONG)))
                .await;
            return Some(claimed);
        }
        "behind one in flight" => {
            fixture.take(&worker, LONG).await;
        }
        _ => {}
    }
    None
}

#[tokio::test]
async fn cancel_decides_in_every_state() {
    let states = [
        // The state; the place and the elements that can be popped, once `i` is cancelled and
        // `next` follows.
        ("ready", "ready", vec!["a/next"]),
        ("popped", "ready", vec!["a/next"]),
        ("in flight", "ready", vec!["a/next"]),
        ("delayed", "ready", vec!["a/next"]),
        ("parked", "parked", vec![]),
        ("behind one ready", "ready", vec!["a/before"]),
        ("behind one in flight", "leased", vec![]),
    ];
    for (state, place, pending) in states {
        let fixture = Fixture::with(&["a"]).await;
        let store = &fixture.store;
        let mut called_off = store.subscribe_cancelled().await.unwrap();
        let claimed = bring_to(&fixture, state).await;
        let issue = issue_ref("a", "i");
        let next = fixture.submit("a", "next").await;
        let outcome = fixture
            .step(store.cancel_issue(&issue.issue_id, Authority::Admin))
            .await;
        let found = fixture.issue(&issue).await;
        assert_eq!(outcome, CancelOutcome::Cancelled(found), "{state}");
        fixture
            .assert_rejected(&issue, None, RejectionCause::Cancelled, "cancelled")
            .await;
        let heard = within_wait_limit("the call-off", called_off.next()).await;
        assert_eq!(heard.unwrap(), issue.issue_id, "{state}");
        assert_eq!(fixture.place("a").await, place, "{state}");
        assert_eq!(fixture.pending().await, pending, "{state}");
        let expected = if state.starts_with("behind") {
            ["before", "next"]
        } else {
            ["next", ""]
        };
        let backlog: Vec<String> = fixture
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

        let again = fixture
            .refused(store.cancel_issue(&issue.issue_id, Authority::Admin))
            .await;
        assert_eq!(again, outcome, "{state}");
        if let Some(claimed) = claimed {
            for how in [How::Applied, How::Failed] {
                let late = fixture.refused(fixture.settle(&claimed, how)).await;
                assert_eq!(late, SettleOutcome::Stale, "{state}");
            }
            let late = fixture
                .refused(store.release(&claimed.lease, &Release::Shutdown))
                .await;
            assert_eq!(late, ReleaseOutcome::Stale, "{state}");
        }
        fixture
            .step(store.cancel_issue(&next.issue_id, Authority::Admin))
            .await;
    }
}

#[tokio::test]
async fn cancel_of_nothing_is_not_found() {
    let fixture = Fixture::with(&["a"]).await;
    let outcome = fixture
        .refused(
            fixture
                .store
                .cancel_issue(&IssueId::generate(), Authority::Admin),
        )
        .await;
    assert_eq!(outcome, CancelOutcome::NotFound);
}

// ---- release, return, promote -------------------------------------------------------------

#[tokio::test]
async fn a_shutdown_gives_back_at_once_and_the_attempt_with_it() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let store = &fixture.store;
    let (first, second) = (worker_id("w1"), worker_id("w2"));
    let issue = fixture.submit("a", "i").await;
    let claimed = fixture.take(&first, LONG).await;
    fixture.submit("b", "waits-already").await;
    let release = || store.release(&claimed.lease, &Release::Shutdown);
    assert_eq!(fixture.step(release()).await, ReleaseOutcome::Released);
    assert_eq!(fixture.pending().await, ["a/i", "b/waits-already"]);
    let found = fixture.issue(&issue).await;
    assert_eq!(
        (found.state, found.attempt, found.revision),
        (IssueState::Pending, 0, 3)
    );
    assert_eq!(fixture.refused(release()).await, ReleaseOutcome::Stale);
    let taken = fixture.take(&second, LONG).await;
    assert_eq!((taken.attempt, taken.retries), (1, 0));
    assert_eq!(fixture.refused(release()).await, ReleaseOutcome::Stale);
    let late = fixture
        .refused(fixture.settle(&claimed, How::Applied))
        .await;
    assert_eq!(late, SettleOutcome::Stale);

    fixture.pause("a").await;
    let release = store.release(&taken.lease, &Release::Shutdown);
    assert_eq!(fixture.step(release).await, ReleaseOutcome::Released);
    assert_eq!(fixture.place("a").await, "parked");
}

#[tokio::test]
async fn a_fault_delays_the_issue_and_its_queue_with_it() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    fixture.submit("a", "next").await;
    let claimed = fixture.take(&worker, LONG).await;
    let put_off = fault(LONG);
    let release = || store.release(&claimed.lease, &put_off);
    assert_eq!(fixture.step(release()).await, ReleaseOutcome::Released);
    assert_eq!(fixture.refused(release()).await, ReleaseOutcome::Stale);
    let found = fixture.issue(&issue).await;
    assert_eq!((found.state, found.attempt), (IssueState::Pending, 1));
    assert_eq!(found.reason, FAULT);
    assert_eq!(fixture.place("a").await, "delayed");
    assert!(fixture.pending().await.is_empty());
    assert!(store.due_issues(10).await.unwrap().is_empty());
    assert_eq!(
        fixture.refused(store.promote(&issue)).await,
        PromoteOutcome::NotDue
    );
    let stats = store.queue_stats().await.unwrap();
    assert_eq!((stats.pending, stats.ready, stats.delayed), (2, 0, 1));

    let _: i64 = fixture
        .raw(&["ZADD", &store.keys().delayed(), "1", &issue.element()])
        .await;
    let due = store.due_issues(10).await.unwrap();
    assert_eq!(due, std::slice::from_ref(&issue));
    assert_eq!(
        fixture.step(store.promote(&issue)).await,
        PromoteOutcome::Promoted
    );
    assert_eq!(
        fixture.refused(store.promote(&issue)).await,
        PromoteOutcome::Gone
    );
    let claimed = fixture.take(&worker, LONG).await;
    assert_eq!((claimed.attempt, claimed.retries), (2, 1));
    // The last error is hidden once the issue is claimed.
    assert_eq!(fixture.issue(&issue).await.reason, "");
}

#[tokio::test]
async fn what_becomes_due_goes_behind_what_waits() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let issue = fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture
        .step(fixture.store.release(&claimed.lease, &fault(0)))
        .await;
    fixture.submit("b", "waits-already").await;
    fixture.step(fixture.store.promote(&issue)).await;
    assert_eq!(fixture.pending().await, ["b/waits-already", "a/i"]);
}

#[tokio::test]
async fn what_becomes_due_while_paused_is_parked() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let issue = fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.step(store.release(&claimed.lease, &fault(0))).await;
    fixture.pause("*").await;
    assert_eq!(
        fixture.step(store.promote(&issue)).await,
        PromoteOutcome::Promoted
    );
    assert_eq!(fixture.place("a").await, "parked");
}

#[tokio::test]
async fn promote_takes_out_what_is_not_delayed_any_more() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    assert_eq!(
        fixture
            .refused(store.promote(&issue_ref("a", "unknown")))
            .await,
        PromoteOutcome::Gone
    );
    let issue = fixture.submit("a", "i").await;
    assert_eq!(
        fixture.refused(store.promote(&issue)).await,
        PromoteOutcome::Gone
    );
    // No script leaves such an entry.
    let _: i64 = fixture
        .raw(&["ZADD", &store.keys().delayed(), "1", &issue.element()])
        .await;
    assert_eq!(
        fixture.step(store.promote(&issue)).await,
        PromoteOutcome::Gone
    );
    assert_eq!(fixture.pending().await, ["a/i"]);
}

#[tokio::test]
async fn an_unclaimed_element_is_given_back() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let store = &fixture.store;
    let (worker, dead) = (worker_id("w"), worker_id("dead"));
    let issue = fixture.submit("a", "i").await;
    let give_back = |holder: &'static str| store.return_element(&issue, holder);
    assert_eq!(
        fixture.refused(give_back("dead")).await,
        ReturnOutcome::NotMine
    );
    fixture.pop(&dead).await.expect("an element");
    fixture.submit("b", "waits-already").await;
    let before = fixture.issue(&issue).await;
    assert_eq!(
        fixture.refused(give_back("w")).await,
        ReturnOutcome::NotMine
    );
    assert_eq!(
        fixture.step(give_back("dead")).await,
        ReturnOutcome::Returned
    );
    assert_eq!(fixture.pending().await, ["a/i", "b/waits-already"]);
    assert_eq!(fixture.issue(&issue).await, before);

    // A second reaper is too late and changes no lease.
    assert_eq!(
        fixture.refused(give_back("dead")).await,
        ReturnOutcome::NotMine
    );
    let claimed = fixture.take(&worker, LONG).await;
    assert_eq!(fixture.refused(give_back("w")).await, ReturnOutcome::Leased);
    assert_eq!(fixture.place("a").await, "leased");
    let outcome = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
}

#[tokio::test]
async fn a_stale_or_paused_element_is_only_taken_out() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let dead = worker_id("dead");
    let first = fixture.submit("a", "first").await;
    fixture.pop(&dead).await.expect("an element");
    fixture
        .step(store.cancel_issue(&first.issue_id, Authority::Admin))
        .await;
    let second = fixture.submit("a", "second").await;
    assert_eq!(
        fixture.step(store.return_element(&first, "dead")).await,
        ReturnOutcome::Gone
    );
    assert_eq!(fixture.pending().await, ["a/second"]);

    fixture.pop(&dead).await.expect("an element");
    fixture.pause("a").await;
    fixture.step(store.return_element(&second, "dead")).await;
    assert_eq!(fixture.place("a").await, "parked");
}
