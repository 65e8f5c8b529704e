//! The actors of issues, decisions, commits and settings in the store, and the lists of one actor.

use std::collections::BTreeSet;

use shared::domain::actor::Actor;
use shared::domain::commit::Commit;
use shared::domain::history::HistoryEntry;
use shared::domain::issue::{Authority, Caller, NewIssue, RejectionCause};
use shared::ids::Version;
use shared::store::{
    CancelOutcome, ClaimMode, ClaimOutcome, ExpectedHead, ImportOutcome, IssueFilter, IssueRef,
    LogFilter, NextClaim, Page, PageRequest, ReapOutcome, SettleOutcome, StageOutcome, Store,
    SubmitOutcome,
};
use tests::redis_server::{Aof, RedisServer};
use tests::store_fixture::{
    Fixture, How, LONG, OVER, blueprint_id, issue_ref, marked, new_issue, worker_id,
};

/// An actor with every character that JSON escapes and an actor can have.
const ODD: &str = "größer \"/\\\"";

fn actor(name: &str) -> Actor {
    Actor::parse(name).expect("an actor")
}

fn caller(name: &str) -> Caller {
    Caller {
        actor: actor(name),
        authority: Authority::Admin,
    }
}

fn issue_of(blueprint: &str, issue: &str, by: &str) -> NewIssue {
    new_issue(blueprint, issue).submitted_by(actor(by))
}

async fn submit(fixture: &Fixture, blueprint: &str, issue: &str, by: &str) -> IssueRef {
    let new = issue_of(blueprint, issue, by);
    let outcome = fixture.step(fixture.store.submit(&new)).await;
    assert!(matches!(outcome, SubmitOutcome::Accepted(_)), "{outcome:?}");
    issue_ref(blueprint, issue)
}

#[tokio::test]
async fn the_first_submitter_stays() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = submit(&fixture, "a", "i", ODD).await;
    let stored = fixture.issue(&issue).await;
    assert_eq!(
        (&stored.submitted_by, &stored.decided_by),
        (&Some(actor(ODD)), &None)
    );
    let other = issue_of("a", "i", "other");
    let again = fixture.refused(fixture.store.submit(&other)).await;
    assert_eq!(again, SubmitOutcome::Existed(stored));
}

#[tokio::test]
async fn every_decision_names_the_submitter_and_a_commit_its_author() {
    let fixture = Fixture::with(&["a"]).await;
    let worker = worker_id("w");
    for (n, how) in [How::Applied, How::Denied, How::Failed, How::Dead]
        .into_iter()
        .enumerate()
    {
        let issue = submit(&fixture, "a", &format!("i-{n}"), ODD).await;
        let taken = fixture.take(&worker, LONG).await;
        assert_eq!(taken.submitted_by, Some(actor(ODD)), "{how:?}");
        let settled = fixture.step(fixture.settle(&taken, how)).await;
        assert!(matches!(settled, SettleOutcome::Settled(_)), "{settled:?}");
        let entry = fixture.log_entry(&issue).await;
        assert_eq!(
            (entry.submitted_by, entry.decided_by),
            (Some(actor(ODD)), None),
            "{how:?}"
        );
        assert_eq!(fixture.issue(&issue).await.decided_by, None, "{how:?}");
    }
    let page = PageRequest {
        size: 10,
        after: None,
    };
    let id = blueprint_id("a");
    let commits = fixture.store.list_commits(&id, None, &page).await;
    let commits = commits.expect("an answer").expect("a history");
    let authors: Vec<_> = commits.items.iter().map(|c| c.author.clone()).collect();
    assert_eq!(authors, [Some(actor(ODD)), None]);
}

#[tokio::test]
async fn the_first_canceller_stays() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    submit(&fixture, "a", "in-flight", "alice").await;
    fixture.take(&worker, LONG).await;
    submit(&fixture, "a", "pending", "alice").await;
    for name in ["in-flight", "pending"] {
        let issue = issue_ref("a", name);
        let cancelled = store.cancel_issue(&issue.issue_id, caller(ODD));
        let CancelOutcome::Cancelled(cancelled) = fixture.step(cancelled).await else {
            panic!("{name} is not cancelled")
        };
        let expected = (Some(actor("alice")), Some(actor(ODD)));
        assert_eq!((cancelled.submitted_by, cancelled.decided_by), expected);
        let again = store.cancel_issue(&issue.issue_id, caller("other"));
        let again = fixture.refused(again).await;
        assert!(
            matches!(&again, CancelOutcome::Cancelled(issue) if issue.decided_by == expected.1),
            "{again:?}"
        );
        let entry = fixture.log_entry(&issue).await;
        assert_eq!((entry.submitted_by, entry.decided_by), expected);
        assert_eq!(entry.cause, Some(RejectionCause::Cancelled));
    }
}

#[tokio::test]
async fn a_failure_without_a_flow_names_the_submitter() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let worker = worker_id("w");
    let dead = submit(&fixture, "a", "dead", ODD).await;
    let taken = fixture.take_in(&worker, OVER, ClaimMode::Exclusive).await;
    let reaped = fixture.store.reap(&taken.lease.issue, 1, 0.0);
    assert_eq!(fixture.step(reaped).await, ReapOutcome::Dead);
    let archived = submit(&fixture, "b", "archived", ODD).await;
    fixture.set_archived("b", true).await;
    let popped = fixture.pop(&worker).await.expect("an element");
    let mode = ClaimMode::Exclusive;
    let claim = fixture.store.claim(&popped, &worker, "n", LONG, None, mode);
    let outcome = fixture.step(claim).await;
    assert!(matches!(outcome, ClaimOutcome::Archived), "{outcome:?}");
    for issue in [dead, archived] {
        let entry = fixture.log_entry(&issue).await;
        assert_eq!(
            (entry.submitted_by, entry.decided_by),
            (Some(actor(ODD)), None)
        );
    }
}

#[tokio::test]
async fn a_handed_over_issue_has_its_own_submitter() {
    let fixture = Fixture::with(&["a"]).await;
    submit(&fixture, "a", "first", "alice").await;
    submit(&fixture, "a", "second", "bob").await;
    let taken = fixture.take(&worker_id("w"), LONG).await;
    let next = NextClaim {
        nonce: "n",
        lease_ms: LONG,
        known: None,
        yields: false,
    };
    let settling = fixture.settle_with(&taken, How::Applied, Some(&next));
    let (settled, next) = fixture.step(settling).await;
    assert!(matches!(settled, SettleOutcome::Settled(_)), "{settled:?}");
    let next = next.expect("the next issue");
    assert_eq!(next.submitted_by, Some(actor("bob")));
    let first = fixture.log_entry(&issue_ref("a", "first")).await;
    assert_eq!(first.submitted_by, Some(actor("alice")));
}

#[tokio::test]
async fn an_issue_of_a_release_without_actors_has_none() {
    let fixture = Fixture::with(&["a"]).await;
    let worker = worker_id("w");
    for (name, how) in [("applied", How::Applied), ("denied", How::Denied)] {
        let issue = fixture.submit("a", name).await;
        let key = fixture.store.keys().issue(&issue.issue_id);
        let _: i64 = fixture.raw(&["HDEL", &key, "submitted_by"]).await;
        let taken = fixture.take(&worker, LONG).await;
        assert_eq!(taken.submitted_by, None);
        fixture.step(fixture.settle(&taken, how)).await;
        let entry = fixture.log_entry(&issue).await;
        assert_eq!((entry.submitted_by, entry.decided_by), (None, None));
        let stored: String = fixture
            .raw(&["HGET", &fixture.store.keys().log(), name])
            .await;
        assert!(!stored.contains("_by"), "{stored}");
    }
}

/// Reads a list in pages of two. Returns the items, and the number of pages.
async fn pages<T>(read: impl AsyncFn(PageRequest) -> Page<T>) -> (Vec<T>, usize) {
    let (mut items, mut after, mut n_pages) = (Vec::new(), None, 0);
    loop {
        let page = read(PageRequest { size: 2, after }).await;
        items.extend(page.items);
        n_pages += 1;
        after = page.next;
        if after.is_none() {
            return (items, n_pages);
        }
    }
}

/// 130 issues against eight Blueprints, in one shard and in four. Every thirteenth is of `rare`.
#[tokio::test]
async fn the_lists_of_an_actor_are_whole_in_any_number_of_shards() {
    for n_shards in [1, 4] {
        let redis = RedisServer::start(Aof::None);
        let store = Store::open(&redis.socket_url(), n_shards).expect("a URL");
        for n in 0..8 {
            let blueprint = marked(&format!("bp-{n}"), "first", "1.0.0");
            let put = store.put_blueprint(&blueprint, ExpectedHead::Any, "");
            put.await.expect("an answer");
        }
        let mut rare = Vec::new();
        for n in 0..130 {
            let (blueprint, id) = (format!("bp-{}", n % 8), format!("i-{n:03}"));
            let by = if n % 13 == 0 { "rare" } else { "many" };
            let new = issue_of(&blueprint, &id, by);
            let submitted = store.submit(&new).await.expect("an answer");
            assert!(matches!(submitted, SubmitOutcome::Accepted(_)));
            let cancelled = store.cancel_issue(new.issue_id(), caller("admin")).await;
            assert!(matches!(cancelled, Ok(CancelOutcome::Cancelled(_))));
            if by == "rare" {
                rare.push(id);
            }
        }
        let by = actor("rare");
        let logged = LogFilter {
            submitted_by: Some(by.clone()),
            ..LogFilter::default()
        };
        for newest_first in [false, true] {
            let (entries, _) = pages(async |page| {
                let listed = store.list_log_entries(&logged, newest_first, &page);
                listed.await.expect("an answer")
            })
            .await;
            let mut ids: Vec<String> = entries.iter().map(|e| e.issue_id.to_string()).collect();
            if newest_first {
                ids.reverse();
            }
            // Decisions of one millisecond in different shards have no order.
            let (listed, expected): (BTreeSet<_>, BTreeSet<_>) =
                (ids.iter().collect(), rare.iter().collect());
            assert_eq!(listed, expected, "{n_shards} shards");
            assert_eq!(ids.len(), rare.len(), "{n_shards} shards");
            if n_shards == 1 {
                assert_eq!(ids, rare);
            }
        }
        let filter = IssueFilter {
            submitted_by: Some(by),
            ..IssueFilter::default()
        };
        let (issues, _) =
            pages(async |page| store.list_issues(&filter, &page).await.expect("an answer")).await;
        let listed: BTreeSet<_> = issues.iter().map(|i| i.issue_id.to_string()).collect();
        assert_eq!(listed, rare.iter().cloned().collect(), "{n_shards} shards");
        let one = LogFilter {
            blueprint_id: Some(blueprint_id("bp-5")),
            ..logged
        };
        let (entries, _) = pages(async |page| {
            let listed = store.list_log_entries(&one, true, &page);
            listed.await.expect("an answer")
        })
        .await;
        let ids: Vec<_> = entries.iter().map(|e| e.issue_id.as_str()).collect();
        assert_eq!(ids, ["i-117", "i-013"], "{n_shards} shards");
    }
}

/// A rare author behind 20,500 commits of others: each page reads a bounded number of them.
#[tokio::test]
async fn a_page_of_an_author_reads_a_bounded_number_of_commits() {
    const LENGTH: u64 = 20_500;
    let fixture = Fixture::start().await;
    let (store, id) = (&fixture.store, blueprint_id("long"));
    let import = store.begin_import(&id).await.expect("an answer");
    let mut import = import.expect("a new Blueprint");
    let document = marked("long", "mark", "").canonical_yaml().to_string();
    let (version, mut batch) = (Version::of(&document), Vec::new());
    for seq in 1..=LENGTH {
        let commit = Commit {
            blueprint_id: id.clone(),
            seq,
            version: version.clone(),
            parents: Vec::new(),
            version_label: String::new(),
            rationale: String::new(),
            patch_hash: String::new(),
            issue_id: None,
            epoch: None,
            author: Some(actor(if seq == 7 { "rare" } else { "many" })),
            decided_by: None,
            comment: String::new(),
            committed_at_ms: seq,
        };
        batch.push(HistoryEntry {
            commit,
            document: document.clone(),
        });
        if batch.len() == 1_000 || seq == LENGTH {
            let staged = import.stage(&batch).await.expect("an answer");
            assert_eq!(staged, StageOutcome::Staged);
            batch.clear();
        }
    }
    let finished = import.finish().await.expect("an answer");
    assert_eq!(finished, ImportOutcome::Imported);
    let by = actor("rare");
    let (commits, n_pages) = pages(async |page| {
        let listed = store.list_commits(&id, Some(&by), &page).await;
        listed.expect("an answer").expect("a history")
    })
    .await;
    let seqs: Vec<u64> = commits.iter().map(|commit| commit.seq).collect();
    assert_eq!((seqs, n_pages), (vec![7], 2));
}

/// Entries with large patches: a page ends at their size, before it has read all of them.
#[tokio::test]
async fn a_page_of_a_submitter_reads_a_bounded_size_of_entries() {
    let fixture = Fixture::with(&["a"]).await;
    let worker = worker_id("w");
    let first = submit(&fixture, "a", "first", "rare").await;
    let taken = fixture.take(&worker, LONG).await;
    fixture.step(fixture.settle(&taken, How::Denied)).await;
    let keys = fixture.store.keys();
    let stored: String = fixture
        .raw(&["HGET", &keys.log(), first.issue_id.as_str()])
        .await;
    let patch = format!("\"rationale\":\"{}", "x".repeat(400 << 10));
    let large = stored
        .replace("\"rationale\":\"", &patch)
        .replace("\"submitted_by\":\"rare\"", "\"submitted_by\":\"many\"");
    for n in 0..120 {
        let id = format!("large-{n}");
        let _: i64 = fixture.raw(&["HSET", &keys.log(), &id, &large]).await;
        let _: i64 = fixture.raw(&["RPUSH", &keys.decided(), &id]).await;
    }
    let filter = LogFilter {
        submitted_by: Some(actor("rare")),
        ..LogFilter::default()
    };
    let (entries, n_pages) = pages(async |page| {
        let listed = fixture.store.list_log_entries(&filter, true, &page);
        listed.await.expect("an answer")
    })
    .await;
    let ids: Vec<_> = entries.iter().map(|e| e.issue_id.as_str()).collect();
    assert_eq!((ids, n_pages), (vec!["first"], 3));
}
