//! Pages of the lists of the store.

use shared::store::{IssueFilter, LogFilter, StoreError};
use tests::store_fixture::{Fixture, How, LONG, blueprint_id, worker_id};

use super::scripts_store::{all, page};

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
        .list_log_entries(&LogFilter::default(), false, &page(100, None))
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
                    .list_log_entries(&LogFilter::default(), newest_first, &page)
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
            .list_log_entries(&LogFilter::default(), true, &cursor())
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
