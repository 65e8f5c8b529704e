//! The script that decides an edit of an orbit in use holds it against the settings that use it.

use shared::domain::issue::{Authority, IssueState};
use shared::domain::version_selector::VersionSelector;
use shared::store::SettleOutcome;
use tests::store_fixture::{Fixture, How, LONG, new_issue, worker_id};
use tests::store_orbits::orbit_setting;

/// The run has tried the new orbit with the settings that it knew.
#[tokio::test]
async fn a_setting_that_changes_while_an_orbit_is_edited_moves_the_head() {
    let fixture = Fixture::with(&["orbit", "target"]).await;
    let store = &fixture.store;
    let put = async |name: &str, orbit: &str| {
        let setting = orbit_setting(name, orbit, VersionSelector::Latest);
        fixture.whole.put_setting(&setting, None).await.unwrap();
    };
    put("a", "orbit").await;
    let worker = worker_id("w");
    let by_admin = async |target: &str, id: &str| {
        let new = new_issue(target, id).on_authority(Authority::Admin);
        fixture.step(store.submit(&new)).await;
        fixture.take(&worker, LONG).await
    };
    let mut claimed = by_admin("orbit", "i-1").await;
    put("b", "orbit").await;
    let outcome = fixture
        .refused(fixture.settle(&claimed, How::Applied))
        .await;
    let SettleOutcome::MovedHead {
        head,
        settings_counter,
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(head.seq, claimed.head.seq);
    assert_eq!(settings_counter, store.settings_counter().await.unwrap());
    assert_ne!(settings_counter, claimed.settings_counter);
    claimed.settings_counter = settings_counter;
    let outcome = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));

    // A denial changes no orbit.
    let claimed = by_admin("orbit", "i-2").await;
    put("c", "orbit").await;
    let outcome = fixture.step(fixture.settle(&claimed, How::Denied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Rejected));
    // No setting runs this Blueprint.
    let claimed = by_admin("target", "i-3").await;
    put("d", "orbit").await;
    let outcome = fixture.step(fixture.settle(&claimed, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
}
