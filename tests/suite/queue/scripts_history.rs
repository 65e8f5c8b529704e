//! The history that decided issues write, and its lookups.

use shared::domain::issue::IssueState;
use shared::domain::version_selector::VersionSelector;
use shared::store::SettleOutcome;
use tests::store_audit::dump;
use tests::store_fixture::{Fixture, How, LONG, blueprint_id, marked, worker_id};

/// A version that becomes the head again belongs to its newest commit, also if an issue restores
/// it.
#[tokio::test]
async fn an_issue_that_brings_a_content_back_is_its_newest_commit() {
    let fixture = Fixture::with(&["a"]).await;
    let settled = marked("a", "i", "1.0.1");
    fixture.put(&settled).await;
    let between = fixture.put(&marked("a", "between", "")).await;
    fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let outcome = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
    let fixed = VersionSelector::Fixed(settled.version().clone());
    for selector in [fixed, VersionSelector::Latest] {
        let found = fixture.store.blueprint(&blueprint_id("a"), &selector).await;
        let commit = found.expect("an answer").expect("a version").commit;
        assert_eq!((commit.seq, &commit.version), (4, settled.version()));
        assert_eq!(commit.parents, std::slice::from_ref(&between.version));
    }
}

/// Stores of earlier releases have labels as fields of the hash.
#[tokio::test]
async fn labels_of_an_earlier_form_are_ranked_and_the_newest_commit_counts() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    for (mark, label) in [("second", "1.1.0"), ("third", "1.2.0"), ("fourth", "1.1.0")] {
        fixture.put(&marked("a", mark, label)).await;
    }
    let keys = store.keys();
    let (labels, ranks) = (
        keys.labels(&blueprint_id("a")),
        keys.ranks(&blueprint_id("a")),
    );
    let present = dump(store).await;
    // 1.2.0 in the old form; 1.1.0 in the old form and, since then, in the present form.
    for (label, seq) in [("1.2.0", "3"), ("1.1.0", "2")] {
        let _: i64 = fixture.raw(&["HSET", &labels, label, seq]).await;
    }
    let third = label_ranks(&fixture, &ranks).await.remove(2);
    let _: i64 = fixture.raw(&["HDEL", &labels, &third]).await;
    let _: i64 = fixture.raw(&["ZREM", &ranks, &third]).await;
    fixture.whole.rank_labels().await.expect("ranked");
    assert_eq!(dump(store).await, present);
}

async fn label_ranks(fixture: &Fixture, ranks: &str) -> Vec<String> {
    fixture.raw(&["ZRANGE", ranks, "0", "-1"]).await
}
