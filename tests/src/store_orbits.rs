//! Settings that name a Blueprint as their orbit, for tests of the scripts.

use shared::domain::axis_options::AxisOptions;
use shared::domain::issue::Authority;
use shared::domain::setting::EnhanceSetting;
use shared::domain::version_selector::VersionSelector;
use shared::ids::SettingId;
use shared::store::{
    CheckedOrbit, DeleteSettingOutcome, IssueRef, PutSettingOutcome, SubmitOutcome,
};

use crate::store_fixture::{Fixture, blueprint_id, issue_ref, new_issue};

/// A setting of that name with this Blueprint as its orbit, by this selector.
///
/// # Panics
/// If an id is invalid.
pub fn orbit_setting(name: &str, orbit: &str, selector: VersionSelector) -> EnhanceSetting {
    EnhanceSetting {
        id: SettingId::parse(name).expect("an id"),
        blueprint_id: blueprint_id(orbit),
        selector,
        verifier_axes: vec!["noop".to_owned()],
        no_verification: false,
        ttl_secs: 30,
        spawner: None,
        applies_to: Vec::new(),
        axis_options: AxisOptions::new(),
        review: Default::default(),
        revision: 0,
        updated_by: None,
        updated_at_ms: None,
    }
}

/// A selector that is not `latest`.
///
/// # Panics
/// Never.
pub fn pinned() -> VersionSelector {
    VersionSelector::SemverReq(">=0.0.0".parse().expect("a requirement"))
}

/// The state of an orbit whose newest commit has this number.
pub fn checked_at(seq: Option<u64>) -> CheckedOrbit {
    CheckedOrbit {
        seq,
        channel_revision: None,
    }
}

impl Fixture {
    /// Submits an issue as an admin.
    ///
    /// # Panics
    /// If it is not accepted.
    pub async fn submit_by_admin(&self, blueprint: &str, issue: &str) -> IssueRef {
        let new = new_issue(blueprint, issue).on_authority(Authority::Admin);
        let outcome = self.step(self.store.submit(&new)).await;
        assert!(
            matches!(outcome, SubmitOutcome::Accepted(_)),
            "{issue}: {outcome:?}"
        );
        issue_ref(blueprint, issue)
    }

    /// Writes or deletes the setting `names-<name>`, which has this Blueprint as its orbit;
    /// `follows` selects `latest`.
    ///
    /// # Panics
    /// If the call fails.
    pub async fn set_orbit(&self, name: &str, is_orbit: bool, follows: bool) {
        let selector = if follows {
            VersionSelector::Latest
        } else {
            pinned()
        };
        let setting = orbit_setting(&format!("names-{name}"), name, selector);
        if is_orbit {
            let put = self.whole.put_setting(&setting, None).await;
            assert!(matches!(put, Ok(PutSettingOutcome::Stored(_))), "{put:?}");
        } else {
            let deleted = self.whole.delete_setting(&setting.id).await;
            let deleted = deleted.expect("the store answers");
            assert_eq!(deleted, DeleteSettingOutcome::Deleted);
        }
    }
}
