//! The initial content of a store: the bundled orbits and the setting `default`.

use redis::cmd;

use crate::blueprint::Blueprint;
use crate::domain::axis_options::AxisOptions;
use crate::domain::bundled::{DEFAULT_AXES, DEFAULT_ORBIT, DEFAULT_SETTING, DEFAULT_TTL_SECS};
use crate::domain::proposal::ReviewPolicy;
use crate::domain::setting::EnhanceSetting;
use crate::domain::version_selector::VersionSelector;
use crate::ids::{BlueprintId, SettingId};
use crate::store::blueprints::put::{ExpectedHead, PutOutcome};
use crate::store::codec::FORMAT;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;

/// The error text for a store with another format or number of shards.
const OTHER_SHARDS: &str = "the shard of a Blueprint follows from their number, so it cannot be changed: set \
    DRAFTSMAN_SHARDS to the number that the store was made with, or export its Blueprints and import them into a new store";

/// The bundled documents.
pub struct Seed {
    orbits: [Blueprint; 2],
    setting: EnhanceSetting,
}

impl Seed {
    /// Returns the documents that this release ships.
    pub fn bundled() -> Seed {
        let orbits = [
            include_str!("../../../lua/enhance-default.yaml"),
            include_str!("../../../lua/enhance-repair.yaml"),
        ]
        .map(|text| Blueprint::parse(text).expect("a test reads the bundled orbits"));
        let setting = EnhanceSetting {
            id: SettingId::parse(DEFAULT_SETTING).expect("a constant that is an id"),
            blueprint_id: BlueprintId::parse(DEFAULT_ORBIT).expect("a constant that is an id"),
            selector: VersionSelector::Latest,
            verifier_axes: DEFAULT_AXES.map(str::to_owned).to_vec(),
            no_verification: false,
            ttl_secs: DEFAULT_TTL_SECS,
            spawner: None,
            applies_to: Vec::new(),
            axis_options: AxisOptions::new(),
            review: ReviewPolicy::default(),
            revision: 0,
            updated_by: None,
            updated_at_ms: None,
        };
        Seed { orbits, setting }
    }

    /// Returns the setting `default` and its orbit.
    #[cfg(test)]
    pub(crate) fn default_orbit(self) -> (Blueprint, EnhanceSetting) {
        let [orbit, _] = self.orbits;
        (orbit, self.setting)
    }
}

impl Store {
    /// Prepares the store: checks that this release can read its format, and writes missing bundled
    /// orbits and settings. It never overwrites. Any number of programs can run it concurrently.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if this release cannot read the format of the store.
    pub async fn prepare(&self, seed: &Seed) -> Result<(), StoreError> {
        for shard in self.shards() {
            shard.check_form(self.shards().len()).await?;
        }
        for orbit in &seed.orbits {
            let put = self.put_blueprint(orbit, ExpectedHead::Absent, "bundled with this release");
            match put.await? {
                PutOutcome::Created(commit) => {
                    tracing::info!(orbit = %orbit.id(), version = %commit.version, "seeded a bundled orbit")
                }
                PutOutcome::Unchanged(_) | PutOutcome::HeadMoved { .. } | PutOutcome::Archived => {}
                PutOutcome::NotRunnable(why) => {
                    tracing::warn!(orbit = %orbit.id(), %why, "a bundled orbit is not runnable")
                }
            }
        }
        // Revision 0 means "absent": a second program finds revision 1 and does not overwrite it.
        self.put_setting(&seed.setting, Some(0)).await?;
        Ok(())
    }
}

impl Shard {
    /// Checks the format and the number of shards of the shard, and records them in an empty one.
    async fn check_form(&self, n_shards: usize) -> Result<(), StoreError> {
        let meta = self.keys.meta();
        for (field, value, remedy) in [
            ("format", FORMAT as usize, "use a release that reads it"),
            ("shards", n_shards, OTHER_SHARDS),
        ] {
            let _: bool = self
                .handle
                .command("prepare", cmd("HSETNX").arg(&meta).arg(field).arg(value))
                .await?;
            let found: String = self
                .handle
                .command("prepare", cmd("HGET").arg(&meta).arg(field))
                .await?;
            if found != value.to_string() {
                return Err(StoreError::Damaged {
                    what: "store",
                    id: meta,
                    problem: format!(
                        "its {field} is {found}, this program works with {value}; {remedy}"
                    ),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::orbit::{self, scripts};
    use crate::domain::bundled::REPAIR_ORBIT;

    #[test]
    fn the_bundled_orbits_are_blueprints_that_can_run() {
        let seed = Seed::bundled();
        let ids = seed.orbits.each_ref().map(|orbit| orbit.id().as_str());
        assert_eq!(ids, [DEFAULT_ORBIT, REPAIR_ORBIT]);
        for orbit in &seed.orbits {
            orbit::check(orbit, None, &scripts::is_bundled).unwrap();
        }
    }
}
