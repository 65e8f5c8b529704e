//! What is there from the first start: the bundled orbit and the setting `default`.

use redis::cmd;

use super::Store;
use super::blueprints::{ExpectedHead, PutOutcome};
use super::error::StoreError;
use super::stored::FORMAT;
use crate::blueprint::Blueprint;
use crate::ids::{BlueprintId, SettingId};
use crate::setting::{
    DEFAULT_AXES, DEFAULT_ORBIT, DEFAULT_SETTING, DEFAULT_TTL_SECS, EnhanceSetting,
};
use crate::version_selector::VersionSelector;

/// The bundled documents.
pub struct Seed {
    orbit: Blueprint,
    setting: EnhanceSetting,
}

impl Seed {
    /// What this release ships.
    pub fn bundled() -> Seed {
        let orbit = Blueprint::parse(include_str!("../../../../lua/enhance-default.yaml"))
            .expect("a test reads the bundled orbit");
        let setting = EnhanceSetting {
            id: SettingId::parse(DEFAULT_SETTING).expect("a constant that is an id"),
            blueprint_id: BlueprintId::parse(DEFAULT_ORBIT).expect("a constant that is an id"),
            selector: VersionSelector::Latest,
            verifier_axes: DEFAULT_AXES.map(str::to_owned).to_vec(),
            ttl_secs: DEFAULT_TTL_SECS,
            spawner: None,
            applies_to: Vec::new(),
            revision: 0,
        };
        Seed { orbit, setting }
    }
}

impl Store {
    /// Makes the store ready for use: checks that it was written in a form this release reads,
    /// and writes the bundled orbit and setting where they are absent. Never overwrites.
    /// Any number of programs may do it at once.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the store was written by a release that this one cannot read.
    pub async fn prepare(&self, seed: &Seed) -> Result<(), StoreError> {
        let meta = self.keys.meta();
        for (field, value) in [("format", FORMAT), ("shards", 1)] {
            let _: bool = self
                .link
                .command("prepare", cmd("HSETNX").arg(&meta).arg(field).arg(value))
                .await?;
            let found: String = self
                .link
                .command("prepare", cmd("HGET").arg(&meta).arg(field))
                .await?;
            if found != value.to_string() {
                return Err(StoreError::Damaged {
                    what: "store",
                    id: meta,
                    problem: format!("its {field} is {found}, this program works with {value}"),
                });
            }
        }
        match self
            .put_blueprint(
                &seed.orbit,
                ExpectedHead::Absent,
                "bundled with this release",
            )
            .await?
        {
            PutOutcome::Created(commit) => {
                tracing::info!(version = %commit.version, "seeded the bundled orbit")
            }
            PutOutcome::Unchanged(_) | PutOutcome::HeadMoved { .. } | PutOutcome::Archived => {}
            PutOutcome::NotRunnable(why) => {
                tracing::warn!(%why, "the bundled orbit is not runnable")
            }
        }
        // Revision 0 means "not there": a second program finds revision 1 and leaves it alone.
        self.put_setting(&seed.setting, Some(0)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::runnable;

    #[test]
    fn the_bundled_orbit_is_a_blueprint_that_can_run() {
        let seed = Seed::bundled();
        assert_eq!(seed.orbit.id().as_str(), DEFAULT_ORBIT);
        let known = |name: &str| runnable::BUNDLED_SCRIPTS.contains(&name);
        runnable::check(&seed.orbit, &known).unwrap();
    }
}
