//! Blueprints and the log in the store: heads, indexes, selectors, pages, and damaged records.

use std::time::Duration;

use futures::future::join_all;
use shared::blueprint::Blueprint;
use shared::domain::issue::IssueState;
use shared::domain::version_selector::VersionSelector;
use shared::ids::Version;
use shared::store::{
    ExpectedHead, IssueFilter, Page, PageRequest, PutOutcome, SettleOutcome, Shard, StoreError,
};
use tests::store_fixture::{Fixture, How, LONG, blueprint_id, marked, worker_id};

fn page(size: usize, after: Option<String>) -> PageRequest {
    PageRequest { size, after }
}

/// The items of all pages of this size.
async fn all<T>(size: usize, list: impl AsyncFn(PageRequest) -> Page<T>) -> Vec<T> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let part = list(page(size, after)).await;
        assert!(part.items.len() <= size);
        items.extend(part.items);
        after = part.next;
        if after.is_none() {
            return items;
        }
    }
}

// ---- put_blueprint ------------------------------------------------------------------------

#[tokio::test]
async fn a_put_makes_a_commit_that_is_read_back() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let id = blueprint_id("a");
    assert!(
        store
            .blueprint(&id, &VersionSelector::Latest)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .list_commits(&id, None, &page(10, None))
            .await
            .unwrap()
            .is_none()
    );
    assert!(store.summary(&id).await.unwrap().is_none());
    let mut parents = Vec::new();
    for (seq, label) in (1..).zip(["1.0.0", "", "1.1.0-rc.1"]) {
        let document = marked("a", &format!("größer \"{seq}\""), label);
        let put = store
            .put_blueprint(&document, ExpectedHead::Any, "why \"not\"?\n☃")
            .await;
        let PutOutcome::Created(commit) = put.unwrap() else {
            panic!("no commit");
        };
        assert_eq!(
            (commit.seq, &commit.version, &commit.parents),
            (seq, document.version(), &parents)
        );
        assert_eq!(
            (commit.version_label.as_str(), commit.rationale.as_str()),
            (label, "why \"not\"?\n☃")
        );
        assert_eq!(
            (&commit.issue_id, &commit.epoch, commit.patch_hash.as_str()),
            (&None, &None, "")
        );
        let found = store
            .blueprint(&id, &VersionSelector::Latest)
            .await
            .unwrap()
            .expect("a head");
        assert_eq!((&*found.blueprint, &found.commit), (&document, &commit));
        let summary = store.summary(&id).await.unwrap().expect("a summary");
        assert_eq!(
            (&summary.head, summary.version_label.as_str()),
            (&commit.version, label)
        );
        assert_eq!(
            (summary.archived, summary.updated_at_ms),
            (false, commit.committed_at_ms)
        );
        parents = vec![commit.version];
    }
}

#[tokio::test]
async fn a_put_that_is_refused_changes_nothing() {
    let fixture = Fixture::with(&["a", "archived"]).await;
    let store = &fixture.store;
    fixture.set_archived("archived", true).await;
    let head = marked("a", "first", "1.0.0");
    let (other, nowhere) = (marked("a", "other", ""), marked("nowhere", "x", ""));
    let archived = marked("archived", "other", "");
    let unknown = Version::of("unknown");
    let moved = |actual: Option<&Blueprint>| PutOutcome::HeadMoved {
        actual: actual.map(|b| b.version().clone()),
    };
    let cases = [
        (&other, ExpectedHead::Absent, moved(Some(&head))),
        (
            &other,
            ExpectedHead::At(unknown.clone()),
            moved(Some(&head)),
        ),
        (
            &other,
            ExpectedHead::At(other.version().clone()),
            moved(Some(&head)),
        ),
        (&nowhere, ExpectedHead::At(unknown.clone()), moved(None)),
        (&archived, ExpectedHead::Any, PutOutcome::Archived),
        (
            &archived,
            ExpectedHead::At(unknown.clone()),
            PutOutcome::Archived,
        ),
    ];
    for (document, expected, outcome) in cases {
        let put = fixture
            .refused(store.put_blueprint(document, expected.clone(), "x"))
            .await;
        assert_eq!(put, outcome, "{expected:?}");
    }
    // An unchanged document is accepted with any expected head.
    for expected in [
        ExpectedHead::Any,
        ExpectedHead::Absent,
        ExpectedHead::At(unknown),
    ] {
        match fixture
            .refused(store.put_blueprint(&head, expected.clone(), "x"))
            .await
        {
            PutOutcome::Unchanged(commit) => {
                assert_eq!((commit.seq, commit.rationale.as_str()), (1, "by hand"));
            }
            put => panic!("{expected:?}: {put:?}"),
        }
    }
    for (document, expected) in [
        (&nowhere, ExpectedHead::Absent),
        (&other, ExpectedHead::At(head.version().clone())),
    ] {
        let put = store.put_blueprint(document, expected, "x").await.unwrap();
        assert!(matches!(put, PutOutcome::Created(_)), "{put:?}");
    }
}

#[tokio::test]
async fn two_writers_race_for_one_head() {
    let fixture = Fixture::with(&["a"]).await;
    let clients = [
        fixture.store.with_own_connection(Duration::MAX),
        fixture.store.with_own_connection(Duration::MAX),
    ];
    let mut head = marked("a", "first", "1.0.0").version().clone();
    for round in 0..10 {
        let documents = [0, 1].map(|n| marked("a", &format!("{round} by {n}"), ""));
        let puts = clients.iter().zip(&documents).map(|(store, document)| {
            store.put_blueprint(document, ExpectedHead::At(head.clone()), "raced")
        });
        let outcomes: Vec<PutOutcome> = join_all(puts)
            .await
            .into_iter()
            .map(|outcome| outcome.unwrap())
            .collect();
        let winner = outcomes
            .iter()
            .position(|o| matches!(o, PutOutcome::Created(_)));
        let winner = winner.unwrap_or_else(|| panic!("{outcomes:?}"));
        head = documents[winner].version().clone();
        let told = PutOutcome::HeadMoved {
            actual: Some(head.clone()),
        };
        assert_eq!(outcomes[1 - winner], told);
    }
}

#[tokio::test]
async fn archiving_is_kept_over_writes_of_others() {
    let fixture = Fixture::with(&["a", "b", "c"]).await;
    let store = &fixture.store;
    fixture.set_archived("b", true).await;
    let names = async |archived: bool| -> Vec<String> {
        let list = all(1, async |page| {
            store.list_blueprints(archived, &page).await.unwrap()
        });
        let found = list.await;
        found.iter().map(|b| b.blueprint_id.to_string()).collect()
    };
    assert_eq!(names(false).await, ["a", "c"]);
    assert_eq!(names(true).await, ["a", "b", "c"]);
}

// ---- selectors ----------------------------------------------------------------------------

/// The number of the commit that the selector chooses.
async fn chosen(store: &Shard, selector: VersionSelector) -> Result<Option<u64>, StoreError> {
    let found = store.blueprint(&blueprint_id("a"), &selector).await?;
    Ok(found.map(|found| found.commit.seq))
}

fn semver(req: &str) -> VersionSelector {
    VersionSelector::SemverReq(req.parse().expect("a requirement"))
}

#[tokio::test]
async fn a_content_that_was_head_twice_is_its_newest_commit() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let (one, two) = (marked("a", "one", "1.0.0"), marked("a", "two", "1.0.0"));
    for document in [&one, &two, &one] {
        fixture.put(document).await;
    }
    let fixed = |b: &Blueprint| VersionSelector::Fixed(b.version().clone());
    assert_eq!(chosen(store, fixed(&one)).await.unwrap(), Some(3));
    assert_eq!(chosen(store, fixed(&two)).await.unwrap(), Some(2));
    assert_eq!(chosen(store, semver("1")).await.unwrap(), Some(3));
    assert_eq!(
        chosen(store, VersionSelector::Fixed(Version::of("x")))
            .await
            .unwrap(),
        None
    );
    let documents = store.keys().documents(&blueprint_id("a"));
    assert_eq!(fixture.raw::<u64>(&["HLEN", &documents]).await, 2);
    let commits = store
        .list_commits(&blueprint_id("a"), None, &page(10, None))
        .await
        .unwrap();
    let versions: Vec<Version> = commits
        .expect("commits")
        .items
        .into_iter()
        .map(|c| c.version)
        .collect();
    assert_eq!(
        versions,
        [one.version(), two.version(), one.version()].map(Version::clone)
    );
}

#[tokio::test]
async fn a_requirement_chooses_the_highest_label() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let labels = [
        "1.0.0",
        "1.2.0",
        "",
        "2.0.0-rc.1",
        "1.10.0",
        "1.2.0",
        "1.1.0",
        "",
        "3.0.0+b",
        "3.0.0+a",
    ];
    for (n, label) in labels.into_iter().enumerate() {
        fixture
            .put(&marked("a", &format!("number {n}"), label))
            .await;
    }
    let cases = [
        ("*", 10),
        ("=1.0.0", 1),
        ("=1.2.0", 6),
        ("<1.10", 6),
        ("^1", 5),
        ("~1.1", 7),
        ("^2.0.0-rc.0", 4),
        // With equal precedence, the newest commit is chosen.
        ("^3", 10),
    ];
    for (req, seq) in cases {
        assert_eq!(
            chosen(store, semver(req)).await.unwrap(),
            Some(seq),
            "{req}"
        );
    }
    for req in [">=4", "=2.0.0", "<1"] {
        match chosen(store, semver(req)).await {
            Err(StoreError::NoMatchingVersion { blueprint_id, .. }) => {
                assert_eq!(blueprint_id, "a")
            }
            other => panic!("{req}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn no_label_at_all_matches_nothing() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    assert_eq!(
        chosen(store, semver("*")).await.unwrap(),
        None,
        "no such Blueprint"
    );
    fixture.put(&marked("a", "bare", "")).await;
    let found = chosen(store, semver("*")).await;
    assert!(
        matches!(found, Err(StoreError::NoMatchingVersion { .. })),
        "{found:?}"
    );
}

/// Hundreds of labels: the selected one is found at any position.
#[tokio::test]
async fn of_many_labels_the_right_one_is_chosen() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let mut seqs = std::collections::BTreeMap::new();
    for n in 0..300_u64 {
        // Sorted neither by number nor by text.
        let (minor, patch) = (n * 7 % 30, n * 11 % 10);
        let label = match n % 10 {
            9 => format!("1.{minor}.{patch}-rc.{n}"),
            _ => format!("1.{minor}.{patch}"),
        };
        let commit = fixture.put(&marked("a", &format!("n {n}"), &label)).await;
        let version = semver::Version::parse(&label).expect("a label");
        seqs.insert(version, commit.seq);
    }
    for text in [
        "*",
        "^1",
        "<1.10",
        "=1.3.1",
        ">1.28",
        "~1.9",
        "<=1.2.4",
        "<1.0.0",
        ">=1.3.0-rc.0, <1.3.9",
        "^1.13.9-rc.1",
    ] {
        let req: semver::VersionReq = text.parse().expect("a requirement");
        let simply = seqs.iter().rfind(|(version, _)| req.matches(version));
        match (chosen(store, semver(text)).await, simply) {
            (Ok(found), Some((_, seq))) => assert_eq!(found, Some(*seq), "{text}"),
            (Err(StoreError::NoMatchingVersion { .. }), None) => {}
            (found, simply) => panic!("{text}: {found:?}, but {simply:?}"),
        }
    }
}

#[tokio::test]
async fn an_invalid_label_counts_only_where_nothing_valid_matches() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    fixture.put(&marked("a", "labelled", "1.0.0")).await;
    fixture.put(&marked("a", "head", "")).await;
    // Stored before labels were validated.
    let labels = store.keys().labels(&blueprint_id("a"));
    let _: i64 = fixture.raw(&["HSET", &labels, "v1-final", "2"]).await;
    assert_eq!(chosen(store, semver("^1")).await.unwrap(), Some(1));
    match chosen(store, semver("^2")).await {
        Err(StoreError::InvalidSemver {
            blueprint_id,
            label,
            ..
        }) => {
            assert_eq!((blueprint_id.as_str(), label.as_str()), ("a", "v1-final"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_applied_issue_moves_all_indexes() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let issue = fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let settled = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(settled, SettleOutcome::Settled(IssueState::Applied));
    let new = marked("a", "i", "1.0.1");
    let fixed = VersionSelector::Fixed(new.version().clone());
    for selector in [VersionSelector::Latest, fixed, semver("^1")] {
        assert_eq!(
            chosen(store, selector.clone()).await.unwrap(),
            Some(2),
            "{selector:?}"
        );
    }
    assert_eq!(chosen(store, semver("=1.0.0")).await.unwrap(), Some(1));
    let summary = store
        .summary(&issue.blueprint_id)
        .await
        .unwrap()
        .expect("a summary");
    assert_eq!(
        (&summary.head, summary.version_label.as_str()),
        (new.version(), "1.0.1")
    );
    assert_eq!(
        summary.updated_at_ms,
        fixture.issue(&issue).await.updated_at_ms
    );
}

// ---- stored forms -------------------------------------------------------------------------

#[tokio::test]
async fn what_is_damaged_is_an_error_and_never_served() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let id = blueprint_id("a");
    let head = marked("a", "first", "1.0.0");
    let (documents, commits) = (store.keys().documents(&id), store.keys().commits(&id));
    let changed = head.canonical_yaml().replace("first", "worst");
    let damages: [(&[&str], &str); 5] = [
        (
            &["HSET", &documents, head.version().as_str(), &changed],
            "document",
        ),
        (&["HDEL", &documents, head.version().as_str()], "damaged"),
        (&["HSET", &commits, "1", "{}"], "damaged"),
        (&["HSET", &commits, "1", "not JSON"], "damaged"),
        (&["HDEL", &commits, "1"], "damaged"),
    ];
    for (damage, kind) in damages {
        let key = damage[1];
        let field = damage[2];
        let before: String = fixture.raw(&["HGET", key, field]).await;
        let _: i64 = fixture.raw(damage).await;
        let error = store
            .blueprint(&id, &VersionSelector::Latest)
            .await
            .expect_err("damaged");
        let is_told = match kind {
            "document" => matches!(error, StoreError::Document { .. }),
            _ => matches!(error, StoreError::Damaged { .. }),
        };
        assert!(is_told, "{damage:?}: {error:?}");
        let _: i64 = fixture.raw(&["HSET", key, field, &before]).await;
    }
    let issue = fixture.submit("a", "i").await;
    let key = store.keys().issue(&issue.issue_id);
    for (field, value) in [
        ("state", "lost"),
        ("attempt", "many"),
        // 2^32 + 1 must not be truncated to 1.
        ("attempt", "4294967297"),
        ("revision", ""),
        ("blueprint_id", "/"),
    ] {
        let before: String = fixture.raw(&["HGET", &key, field]).await;
        let _: i64 = fixture.raw(&["HSET", &key, field, value]).await;
        match store.issue(&issue.issue_id).await {
            Err(StoreError::Damaged { id, problem, .. }) => {
                assert_eq!(id, "i");
                assert!(problem.contains(field), "{field}: {problem}");
            }
            other => panic!("{field}: {other:?}"),
        }
        let _: i64 = fixture.raw(&["HSET", &key, field, &before]).await;
    }
}

// ---- pages --------------------------------------------------------------------------------

#[tokio::test]
async fn pages_put_together_are_the_whole_list() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let store = &fixture.store;
    let id = blueprint_id("a");
    let mut ids = Vec::new();
    for n in 0..7 {
        let name = if n % 3 == 2 { "b" } else { "a" };
        ids.push(fixture.submit(name, &format!("i{n}")).await.issue_id);
    }
    while !fixture.pending().await.is_empty() {
        let claimed = fixture.take(&worker_id("w"), LONG).await;
        fixture.step(fixture.settle(&claimed, How::Applied)).await;
    }
    let whole_log = store
        .list_log_entries(None, None, false, &page(100, None))
        .await
        .unwrap();
    let whole_log: Vec<_> = whole_log.items.into_iter().map(|e| e.issue_id).collect();
    assert_eq!(whole_log.len(), 7);
    let every_issue = IssueFilter::default();
    for size in 1..=8 {
        let commits = all(size, async |page| {
            let commits = store.list_commits(&id, None, &page).await;
            commits.unwrap().expect("commits")
        });
        let seqs: Vec<u64> = commits.await.into_iter().map(|c| c.seq).collect();
        assert_eq!(seqs, [6, 5, 4, 3, 2, 1], "pages of {size}");
        for newest_first in [false, true] {
            let entries = all(size, async |page| {
                let entries = store
                    .list_log_entries(None, None, newest_first, &page)
                    .await;
                entries.unwrap()
            });
            let mut entries: Vec<_> = entries.await.into_iter().map(|e| e.issue_id).collect();
            if newest_first {
                entries.reverse();
            }
            assert_eq!(entries, whole_log, "pages of {size}");
        }
        let issues = all(size, async |page| {
            store.list_issues(&every_issue, &page).await.unwrap()
        });
        let mut issues: Vec<_> = issues.await.into_iter().map(|i| i.issue_id).collect();
        issues.reverse();
        assert_eq!(issues, ids, "pages of {size}");
    }
    for cursor in ["nonsense", "-1", ""] {
        let cursor = || page(5, Some(cursor.to_owned()));
        let found = store.list_commits(&id, None, &cursor()).await.map(drop);
        assert!(matches!(found, Err(StoreError::Cursor(_))), "{found:?}");
        let found = store
            .list_log_entries(None, None, true, &cursor())
            .await
            .map(drop);
        assert!(matches!(found, Err(StoreError::Cursor(_))), "{found:?}");
        let found = store
            .list_issues(&IssueFilter::default(), &cursor())
            .await
            .map(drop);
        assert!(matches!(found, Err(StoreError::Cursor(_))), "{found:?}");
    }
}
