//! Writing a Blueprint that settings use as their orbit.
//!
//! Whoever writes one looks first at who uses it ([`Store::orbit_use`]), judges the document, and writes it with
//! what was looked at ([`Store::put_checked_blueprint`]): the script refuses a document that a setting follows if
//! any setting or orbit was written since.

use redis::cmd;

use crate::blueprint::Blueprint;
use crate::domain::setting::EnhanceSetting;
use crate::ids::BlueprintId;
use crate::store::blueprints::put::{ExpectedHead, PutOutcome};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::store::settings::orbit_entry::{follows, names};

/// Who uses a Blueprint as an orbit at one moment.
#[derive(Debug, Clone)]
pub struct OrbitUse {
    /// The settings counter of the Blueprint's shard, read before the settings.
    pub(crate) counter: u64,
    /// The settings whose selector would choose the document once it is the head.
    pub settings: Vec<EnhanceSetting>,
}

impl Store {
    /// The settings that would run `document` once it is the head of its Blueprint.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or a stored form is damaged.
    pub async fn orbit_use(&self, document: &Blueprint) -> Result<OrbitUse, StoreError> {
        let id = document.id();
        let (counter, orbits) = self.shard_of(id).orbits_in_use().await?;
        let mut settings = Vec::new();
        if orbits.iter().any(|entry| names(entry, id)) {
            for setting in self.list_settings().await? {
                if setting.blueprint_id == *id && self.will_choose(&setting, document).await? {
                    settings.push(setting);
                }
            }
        }
        Ok(OrbitUse { counter, settings })
    }

    /// Writes a document as the new head, as [`Store::put_blueprint`] does, after its use was looked at. Returns
    /// `None`, and has written nothing, if a setting follows it and any setting was written since.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been written all the same (repeating it is then `Unchanged`).
    pub async fn put_checked_blueprint(
        &self,
        blueprint: &Blueprint,
        expected: &ExpectedHead,
        rationale: &str,
        at: &OrbitUse,
    ) -> Result<Option<PutOutcome>, StoreError> {
        let shard = self.shard_of(blueprint.id());
        let put = shard.put_as(blueprint, expected, rationale, at.counter);
        let Some(outcome) = put.await? else {
            return Ok(None);
        };
        self.tell_of_write(shard, blueprint.id(), &outcome).await?;
        Ok(Some(outcome))
    }
}

impl Shard {
    /// The settings counter, and what [`Shard::is_orbit`] looks at, read after it.
    pub(crate) async fn orbits_in_use(&self) -> Result<(u64, Vec<String>), StoreError> {
        let counter = self.settings_counter().await?;
        let read = cmd("HVALS").arg(self.keys.orbits()).to_owned();
        Ok((counter, self.handle.command("orbits", &read).await?))
    }

    /// True if some setting names this Blueprint as its orbit and follows its head.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn is_orbit_by_latest(&self, id: &BlueprintId) -> Result<bool, StoreError> {
        let (_, orbits) = self.orbits_in_use().await?;
        Ok(orbits.iter().any(|entry| follows(entry, id)))
    }

    /// True if some setting names this Blueprint as its orbit.
    pub(crate) async fn is_orbit(&self, id: &BlueprintId) -> Result<bool, StoreError> {
        let (_, orbits) = self.orbits_in_use().await?;
        Ok(orbits.iter().any(|entry| names(entry, id)))
    }
}
