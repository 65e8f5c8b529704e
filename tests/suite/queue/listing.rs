//! Lists of issues while issues are added and removed, and every combination of filters.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::domain::issue::{Authority, IssueState, RejectionCause};
use shared::ids::IssueId;
use shared::store::{IssueFilter, PageRequest};
use tests::store_fixture::{Fixture, How, LONG, blueprint_id, new_issue, worker_id};

/// Lists all pages. `between` is called before every page but the first, with the ids so far.
async fn walk(
    fixture: &Fixture,
    size: usize,
    mut between: impl AsyncFnMut(&[String]),
) -> Vec<String> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = IssueFilter::default();
        let page = PageRequest { size, after };
        let page = fixture
            .store
            .list_issues(&filter, &page)
            .await
            .expect("the store answers");
        seen.extend(
            page.items
                .into_iter()
                .map(|issue| issue.issue_id.to_string()),
        );
        after = page.next;
        if after.is_none() {
            return seen;
        }
        between(&seen).await;
    }
}

/// Stores `n` decided issues; `at` returns the time of submission of each, in milliseconds.
async fn decided(fixture: &Fixture, n: usize, at: impl Fn(usize) -> usize) -> Vec<String> {
    let (store, keys) = (&fixture.store, fixture.store.keys());
    let mut ids = Vec::new();
    for i in 0..n {
        let id = format!("i{i:04}");
        store
            .submit(&new_issue("a", &id))
            .await
            .expect("the store answers");
        let parsed = IssueId::parse(&id).expect("an id");
        store
            .cancel_issue(&parsed, Authority::Admin)
            .await
            .expect("the store answers");
        let at = at(i).to_string();
        let _: i64 = fixture.raw(&["ZADD", &keys.issues(), &at, &id]).await;
        ids.push(id);
    }
    ids.reverse();
    ids
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_while_issues_come_and_go() {
    for (what, at) in [
        (
            "each in its millisecond",
            (|i| 1_000 + i) as fn(usize) -> usize,
        ),
        ("some share one", |i| 1_000 + i / 10),
        // More than one round trip reads.
        ("all share one", |_| 1_000),
    ] {
        let fixture = Fixture::with(&["a"]).await;
        let (store, keys) = (&fixture.store, fixture.store.keys());
        let ids = decided(&fixture, 450, at).await;
        let (mut n_new, mut gone) = (0, BTreeSet::new());
        let seen = walk(&fixture, 7, async |seen| {
            // Newer issues arrive, more than a page.
            for _ in 0..9 {
                n_new += 1;
                let new = new_issue("a", &format!("new{n_new}"));
                store.submit(&new).await.unwrap();
            }
            // Prunes the last listed issue, at which the next page starts, and a much later one.
            let behind = ids.len() - 1 - gone.len();
            for id in seen.last().into_iter().chain([&ids[behind]]) {
                let key = keys.issue(&IssueId::parse(id).unwrap());
                let _: i64 = fixture.raw(&["HSET", &key, "updated_at", "1"]).await;
                if !seen.contains(id) {
                    gone.insert(id.clone());
                }
            }
            store
                .prune_issues(Duration::from_secs(24 * 3_600))
                .await
                .unwrap();
        })
        .await;
        assert!(n_new > 0 && !gone.is_empty(), "{what}: nothing happened");
        let expected: Vec<&String> = ids.iter().filter(|id| !gone.contains(*id)).collect();
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "{what}");
    }
}

#[tokio::test]
async fn a_page_of_the_dead_goes_on_when_one_of_them_is_retried() {
    let fixture = Fixture::with(&["a"]).await;
    let worker = worker_id("w");
    for n in 0..6 {
        fixture.submit("a", &format!("d{n}")).await;
        let taken = fixture.take(&worker, LONG).await;
        fixture.step(fixture.settle(&taken, How::Dead)).await;
    }
    let filter = IssueFilter {
        dead_only: true,
        ..IssueFilter::default()
    };
    let page = |after| PageRequest { size: 2, after };
    let first = fixture
        .store
        .list_issues(&filter, &page(None))
        .await
        .unwrap();
    let ids = |items: &[shared::domain::issue::Issue]| -> Vec<String> {
        items
            .iter()
            .map(|issue| issue.issue_id.to_string())
            .collect()
    };
    assert_eq!(ids(&first.items), ["d5", "d4"]);
    // Both are claimed again, and leave the list that is being read.
    for id in ["d5", "d4"] {
        let old = new_issue("a", id);
        let retry = shared::domain::issue::NewIssue::new(
            IssueId::generate(),
            old.blueprint_id().clone(),
            old.intent().to_owned(),
            Some(old.issue_id().clone()),
        );
        fixture.step(fixture.store.submit(&retry.unwrap())).await;
    }
    let second = fixture.store.list_issues(&filter, &page(first.next)).await;
    let second = second.unwrap();
    assert_eq!(ids(&second.items), ["d3", "d2"]);
    let third = fixture.store.list_issues(&filter, &page(second.next)).await;
    assert_eq!(ids(&third.unwrap().items), ["d1", "d0"]);
}

/// The properties of an issue in the test below.
#[derive(Debug, Clone)]
struct Known {
    id: String,
    blueprint: &'static str,
    state: IssueState,
    cause: Option<RejectionCause>,
    is_dead: bool,
}

#[tokio::test]
async fn every_combination_of_filters_lists_what_matches_all() {
    use IssueState::{Applied, InFlight, Pending, Rejected};
    use RejectionCause::{Cancelled, Denied, Failed};
    let fixture = Fixture::with(&["a", "b", "empty"]).await;
    let (store, worker) = (&fixture.store, worker_id("w"));
    let mut all = Vec::new();
    for blueprint in ["a", "b"] {
        let mut know = |what: &str, state, cause, is_dead| {
            let id = format!("{blueprint}.{what}");
            all.push(Known {
                id: id.clone(),
                blueprint,
                state,
                cause,
                is_dead,
            });
            id
        };
        for (what, how) in [
            ("applied", How::Applied),
            ("denied", How::Denied),
            ("failed", How::Failed),
            ("dead", How::Dead),
        ] {
            let state = if how == How::Applied {
                Applied
            } else {
                Rejected
            };
            let id = know(what, state, how.cause(), how == How::Dead);
            fixture.submit(blueprint, &id).await;
            let taken = fixture.take(&worker, LONG).await;
            fixture.step(fixture.settle(&taken, how)).await;
        }
        let id = know("cancelled", Rejected, Some(Cancelled), false);
        let issue = fixture.submit(blueprint, &id).await;
        fixture
            .step(store.cancel_issue(&issue.issue_id, Authority::Admin))
            .await;
        let id = know("in-flight", InFlight, None, false);
        fixture.submit(blueprint, &id).await;
        fixture.take(&worker, LONG).await;
        let id = know("pending", Pending, None, false);
        fixture.submit(blueprint, &id).await;
    }
    let states = [
        None,
        Some(Pending),
        Some(InFlight),
        Some(Applied),
        Some(Rejected),
    ];
    let causes = [None, Some(Denied), Some(Failed), Some(Cancelled)];
    let mut n_matches = 0;
    for blueprint in [None, Some("a"), Some("b"), Some("empty"), Some("nobody")] {
        for state in states {
            for cause in causes {
                for dead_only in [false, true] {
                    let filter = IssueFilter {
                        blueprint_id: blueprint.map(blueprint_id),
                        state,
                        cause,
                        dead_only,
                        ..IssueFilter::default()
                    };
                    let matching = all.iter().filter(|known| {
                        blueprint.is_none_or(|name| name == known.blueprint)
                            && state.is_none_or(|state| state == known.state)
                            && cause.is_none_or(|cause| Some(cause) == known.cause)
                            && (known.is_dead || !dead_only)
                    });
                    let expected: BTreeSet<String> =
                        matching.map(|known| known.id.clone()).collect();
                    let (mut listed, mut after) = (Vec::new(), None);
                    loop {
                        let page = PageRequest { size: 2, after };
                        let page = store.list_issues(&filter, &page).await.unwrap();
                        assert!(page.items.len() <= 2);
                        listed.extend(page.items);
                        after = page.next;
                        if after.is_none() {
                            break;
                        }
                    }
                    n_matches += listed.len();
                    let is_sorted = listed.is_sorted_by_key(|issue| {
                        std::cmp::Reverse((issue.submitted_at_ms, issue.issue_id.to_string()))
                    });
                    assert!(is_sorted || dead_only, "{filter:?}");
                    let ids: Vec<String> = listed
                        .iter()
                        .map(|issue| issue.issue_id.to_string())
                        .collect();
                    assert_eq!(ids.len(), expected.len(), "{filter:?}: {ids:?}");
                    assert_eq!(BTreeSet::from_iter(ids), expected, "{filter:?}");
                }
            }
        }
    }
    assert!(n_matches > all.len());
}
