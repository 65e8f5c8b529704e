//! The history that decided issues write, and its lookups.

use shared::domain::issue::IssueState;
use shared::domain::version_selector::VersionSelector;
use shared::store::SettleOutcome;
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
