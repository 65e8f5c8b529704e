//! Writes a Blueprint that settings may use as their orbit.
//!
//! The other shards are notified of a written orbit. So a write is a call of the whole store.
//!
//! A writer first reads the users of the orbit ([`Store::orbit_use`]) and checks the document. It
//! then writes with that reading ([`Store::put_checked_blueprint`]). The script rejects a document
//! that a setting follows if any setting or orbit was written in the meantime.

use redis::cmd;

use crate::blueprint::Blueprint;
use crate::domain::actor::Actor;
use crate::domain::setting::EnhanceSetting;
use crate::ids::BlueprintId;
use crate::store::blueprints::put::{ExpectedHead, PutOutcome};
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::store::settings::orbit_entry::{follows, names};

/// The settings that use a Blueprint as an orbit at one moment.
#[derive(Debug, Clone)]
pub struct OrbitUse {
    /// The settings counter of the Blueprint's shard, read before the settings.
    pub(crate) counter: u64,
    /// The settings whose selector would select the document as the new head.
    pub settings: Vec<EnhanceSetting>,
}

impl Store {
    /// Writes a document as [`Shard::put_blueprint`].
    ///
    /// # Errors
    /// [`StoreError`]. The document may be written nevertheless. A repeated call then returns
    /// `Unchanged`.
    pub async fn put_blueprint(
        &self,
        blueprint: &Blueprint,
        expected: ExpectedHead,
        rationale: &str,
    ) -> Result<PutOutcome, StoreError> {
        let shard = self.of(blueprint.id());
        let outcome = shard.put_blueprint(blueprint, expected, rationale).await?;
        self.tell_of_write(shard, blueprint.id(), &outcome).await?;
        Ok(outcome)
    }

    /// Notifies the other shards of a written orbit.
    async fn tell_of_write(
        &self,
        shard: &Shard,
        id: &BlueprintId,
        outcome: &PutOutcome,
    ) -> Result<(), StoreError> {
        // Unchanged can be the repetition of a call that died before it notified the other shards.
        if matches!(outcome, PutOutcome::Created(_) | PutOutcome::Unchanged(_)) {
            self.tell_of_orbit(shard, id).await?;
        }
        Ok(())
    }

    /// Notifies the other shards if this Blueprint is an orbit.
    pub(crate) async fn tell_of_orbit(
        &self,
        shard: &Shard,
        id: &BlueprintId,
    ) -> Result<(), StoreError> {
        if self.is_sharded() && shard.is_orbit(id).await? {
            self.orbit_was_written(id).await?;
        }
        Ok(())
    }

    /// Returns the settings that would run `document` as the new head of its Blueprint.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or a stored form is damaged.
    pub async fn orbit_use(&self, document: &Blueprint) -> Result<OrbitUse, StoreError> {
        let id = document.id();
        let (counter, orbits) = self.of(id).orbits_in_use().await?;
        let mut settings = Vec::new();
        if orbits.iter().any(|entry| names(entry, id)) {
            for setting in self.home().list_settings().await? {
                if setting.blueprint_id == *id && self.will_choose(&setting, document).await? {
                    settings.push(setting);
                }
            }
        }
        Ok(OrbitUse { counter, settings })
    }

    /// Writes a document of `author` as the new head as [`Store::put_blueprint`], after a check of
    /// its use. Returns `None` without a write if a setting follows it and any setting was written
    /// in the meantime.
    ///
    /// # Errors
    /// [`StoreError`]. The document may be written nevertheless. A repeated call then returns
    /// `Unchanged`.
    pub async fn put_checked_blueprint(
        &self,
        blueprint: &Blueprint,
        expected: &ExpectedHead,
        rationale: &str,
        author: &Actor,
        at: &OrbitUse,
    ) -> Result<Option<PutOutcome>, StoreError> {
        let shard = self.of(blueprint.id());
        let put = shard.put_as(blueprint, expected, rationale, Some(author), at.counter);
        let Some(outcome) = put.await? else {
            return Ok(None);
        };
        self.tell_of_write(shard, blueprint.id(), &outcome).await?;
        Ok(Some(outcome))
    }
}

impl Shard {
    /// Returns the settings counter and then the orbits for [`Shard::is_orbit`].
    pub(crate) async fn orbits_in_use(&self) -> Result<(u64, Vec<String>), StoreError> {
        let counter = self.settings_counter().await?;
        let read = cmd("HVALS").arg(self.keys.orbits()).to_owned();
        Ok((counter, self.handle.command("orbits", &read).await?))
    }

    /// Returns true if a setting names this Blueprint as its orbit and follows its head.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn is_orbit_by_latest(&self, id: &BlueprintId) -> Result<bool, StoreError> {
        let (_, orbits) = self.orbits_in_use().await?;
        Ok(orbits.iter().any(|entry| follows(entry, id)))
    }

    /// Returns true if a setting names this Blueprint as its orbit.
    pub(crate) async fn is_orbit(&self, id: &BlueprintId) -> Result<bool, StoreError> {
        let (_, orbits) = self.orbits_in_use().await?;
        Ok(orbits.iter().any(|entry| names(entry, id)))
    }
}
