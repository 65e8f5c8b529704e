//! Only issues that were decided long ago are removed; their results are kept.

use std::time::Duration;

use proto::v1;
use shared::domain::issue::Authority;
use shared::ids::IssueId;
use shared::store::redis::keys::Keys;
use shared::store::{IssueRef, SubmitOutcome};
use tests::eventually::eventually;
use tests::factory;
use tests::rig::Rig;
use tests::store_audit::dump;
use tests::store_fixture::{Fixture, How, LONG, fault, issue_ref, new_issue, worker_id};
use tonic::Code;
use tonic_types::StatusExt;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Moves an issue two days into the past: its submission and, if `is_decided`, its decision.
async fn age(fixture: &Fixture, issue: &IssueRef, is_decided: bool) {
    let keys = fixture.store.keys();
    let found = fixture.issue(issue).await;
    let earlier = |ms: u64| (ms - 2 * DAY.as_millis() as u64).to_string();
    let (submitted, updated) = (earlier(found.submitted_at_ms), earlier(found.updated_at_ms));
    let id = issue.issue_id.as_str();
    let key = keys.issue(&issue.issue_id);
    for index in [keys.issues(), keys.issues_of(&issue.blueprint_id)] {
        let _: i64 = fixture.raw(&["ZADD", &index, &submitted, id]).await;
    }
    if is_decided {
        let _: i64 = fixture.raw(&["HSET", &key, "updated_at", &updated]).await;
    }
}

#[tokio::test]
async fn only_what_was_decided_long_ago_is_pruned() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let (store, keys, worker) = (&fixture.store, fixture.store.keys(), worker_id("w"));
    let mut decided = Vec::new();
    for (n, how) in [
        How::Applied,
        How::Denied,
        How::Failed,
        How::Dead,
        How::Applied,
    ]
    .into_iter()
    .enumerate()
    {
        decided.push(fixture.submit("a", &format!("a.{n}")).await);
        let taken = fixture.take(&worker, LONG).await;
        fixture.step(fixture.settle(&taken, how)).await;
    }
    let cancelled = fixture.submit("a", "cancelled").await;
    fixture
        .step(store.cancel_issue(&cancelled.issue_id, Authority::Admin))
        .await;
    decided.push(cancelled);
    let young = fixture.submit("a", "young").await;
    let taken = fixture.take(&worker, LONG).await;
    fixture.step(fixture.settle(&taken, How::Dead)).await;
    // Open for two days: delayed, and waiting behind it; in flight; and decided only just now.
    let delayed = fixture.submit("b", "b.1").await;
    let taken = fixture.take(&worker, LONG).await;
    fixture
        .step(store.release(&taken.lease, &fault(LONG)))
        .await;
    let waiting = fixture.submit("b", "b.2").await;
    let in_flight = fixture.submit("a", "in-flight").await;
    fixture.take(&worker, LONG).await;

    assert_eq!(store.prune_issues(DAY).await.unwrap(), 0);
    for issue in &decided {
        age(&fixture, issue, true).await;
    }
    for issue in [&young, &delayed, &waiting, &in_flight] {
        age(&fixture, issue, false).await;
    }
    let before = dump(store).await;
    assert_eq!(fixture.step(store.prune_issues(DAY)).await, 6);
    let after = dump(store).await;
    for issue in &decided {
        let id = &issue.issue_id;
        assert_eq!(store.issue(id).await.unwrap(), None);
        assert!(store.is_pruned(id).await.unwrap());
        assert!(store.log_entry(id).await.unwrap().is_some());
        for key in [keys.issue(id), keys.intent(id)] {
            assert!(!after.contains_key(&key), "{key}");
        }
        let new = new_issue("a", id.as_str());
        assert_eq!(store.submit(&new).await.unwrap(), SubmitOutcome::Pruned);
    }
    for issue in [&young, &delayed, &waiting, &in_flight] {
        assert!(store.issue(&issue.issue_id).await.unwrap().is_some());
        assert!(!store.is_pruned(&issue.issue_id).await.unwrap());
    }
    assert!(!store.is_pruned(&IssueId::generate()).await.unwrap());
    let dead: Vec<String> = fixture.raw(&["ZRANGE", &keys.dead(), "0", "-1"]).await;
    assert_eq!(dead, ["young"]);
    let listed: Vec<String> = fixture.raw(&["ZRANGE", &keys.issues(), "0", "-1"]).await;
    assert_eq!(listed.len(), 4, "{listed:?}");
    let listed: Vec<String> = fixture
        .raw(&["ZRANGE", &keys.issues_of(&young.blueprint_id), "0", "-1"])
        .await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    // Everything else is unchanged: log, commits, documents, queues, counters.
    let touched = [
        keys.dead(),
        keys.issues(),
        keys.issues_of(&young.blueprint_id),
    ];
    for (key, content) in &after {
        if !touched.contains(key) {
            assert_eq!(before.get(key), Some(content), "{key}");
        }
    }
    assert_eq!(fixture.refused(store.prune_issues(DAY)).await, 0);
}

/// An issue without a log entry would be forgotten completely: another one with its id would be
/// accepted.
#[tokio::test]
async fn without_a_log_entry_nothing_is_pruned() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "a.1").await;
    fixture
        .step(
            fixture
                .store
                .cancel_issue(&issue.issue_id, Authority::Admin),
        )
        .await;
    age(&fixture, &issue, true).await;
    let log = fixture.store.keys().log();
    let _: i64 = fixture.raw(&["HDEL", &log, "a.1"]).await;
    assert_eq!(fixture.refused(fixture.store.prune_issues(DAY)).await, 0);
}

/// No script writes a log entry before the decision.
#[tokio::test]
async fn an_undecided_issue_is_kept_even_if_it_has_a_log_entry() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "a.1").await;
    age(&fixture, &issue, true).await;
    let log = fixture.store.keys().log();
    let _: i64 = fixture.raw(&["HSET", &log, "a.1", "{}"]).await;
    assert_eq!(fixture.refused(fixture.store.prune_issues(DAY)).await, 0);
}

#[tokio::test]
async fn many_are_pruned_past_what_has_to_stay() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    for n in 0..250 {
        let issue = issue_ref("a", &format!("a.{n}"));
        store
            .submit(&new_issue("a", issue.issue_id.as_str()))
            .await
            .unwrap();
        // Every fifth stays open.
        if n % 5 != 0 {
            store
                .cancel_issue(&issue.issue_id, Authority::Admin)
                .await
                .unwrap();
        }
        age(&fixture, &issue, n % 5 != 0).await;
    }
    assert_eq!(fixture.step(store.prune_issues(DAY)).await, 200);
    let left: u64 = fixture.raw(&["ZCARD", &store.keys().issues()]).await;
    assert_eq!(left, 50);
    assert_eq!(store.prune_issues(DAY).await.unwrap(), 0);
}

#[tokio::test]
async fn one_caller_in_a_while_has_the_turn_to_prune() {
    let fixture = Fixture::with(&[]).await;
    assert!(fixture.store.take_prune_turn(DAY).await.unwrap());
    assert!(!fixture.store.take_prune_turn(DAY).await.unwrap());
    assert!(
        fixture.store.take_audit_turn(DAY).await.unwrap(),
        "a turn of its own"
    );
}

#[tokio::test]
async fn a_pruned_issue_is_answered_by_its_log_entry() {
    let mut rig = Rig::without_worker().await;
    let (keys, mut connection) = (Keys::of_shard(0), rig.redis.connection().await);
    rig.add_worker(&[("DRAFTSMAN_RETENTION_DAYS", "0")]);
    rig.client.put(factory::small("kept")).await;
    let old = rig.client.run("kept", "nobody understands this").await;
    let young = rig.client.run("kept", "tag x").await;
    let turn: u64 = redis::cmd("EXISTS")
        .arg(keys.pruned())
        .query_async(&mut connection)
        .await
        .expect("EXISTS");
    assert_eq!(turn, 0, "0 days: nothing is ever pruned");

    let id = IssueId::parse(&old.issue_id).expect("an id");
    let _: i64 = redis::cmd("ZADD")
        .arg(keys.issues())
        .arg("1000")
        .arg(id.as_str())
        .query_async(&mut connection)
        .await
        .expect("ZADD");
    let _: i64 = redis::cmd("HSET")
        .arg(keys.issue(&id))
        .arg("updated_at")
        .arg("2000")
        .query_async(&mut connection)
        .await
        .expect("HSET");
    rig.add_worker(&[]);
    rig.workers[1].until_event("issues.pruned", &[]).await;

    let mut intake = rig.client.intake.clone();
    let issue_id = || old.issue_id.clone();
    let get = v1::GetIssueRequest {
        issue_id: issue_id(),
    };
    let cancel = v1::CancelIssueRequest {
        issue_id: issue_id(),
    };
    let watch = v1::WatchIssueRequest {
        issue_id: issue_id(),
        ..Default::default()
    };
    let retry = v1::RetryIssueRequest {
        issue_id: issue_id(),
        new_issue_id: None,
    };
    let refusals = [
        ("GetIssue", intake.get_issue(get).await.err()),
        ("CancelIssue", intake.cancel_issue(cancel).await.err()),
        ("WatchIssue", intake.watch_issue(watch).await.err()),
        ("RetryIssue", intake.retry_issue(retry).await.err()),
    ];
    for (what, status) in refusals {
        let status = status.unwrap_or_else(|| panic!("{what} of a pruned issue"));
        assert_eq!(status.code(), Code::NotFound, "{what}: {status}");
        assert!(status.message().contains("GetLogEntry"), "{what}: {status}");
        let info = status.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(info.reason, "ISSUE_PRUNED", "{what}");
    }
    let again = v1::SubmitIssueRequest {
        blueprint_id: old.blueprint_id.clone(),
        intent: old.intent.clone(),
        issue_id: Some(issue_id()),
        ..Default::default()
    };
    let refused = intake.submit_issue(again).await.expect_err("a duplicate");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    let entry = rig.client.entry(&old.issue_id).await;
    assert_eq!(entry.cause, "denied");
    assert_eq!(rig.client.issues().await, std::slice::from_ref(&young));
    assert_eq!(rig.client.history("kept").await.len(), 2);
    assert_eq!(rig.client.entries().await.len(), 2);
    eventually("both workers go on", async || {
        let issue = rig.client.run("kept", "tag y").await;
        (issue.revision > 0).then_some(()).ok_or_else(String::new)
    })
    .await;
}
