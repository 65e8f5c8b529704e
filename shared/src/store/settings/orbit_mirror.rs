//! What every shard must know of the settings.
//!
//! Settings lie in shard 0. Yet a claim, in whatever shard, is to tell in its one round trip whether a setting
//! or an orbit in use was written since; and whoever writes or archives a Blueprint is to see whether it is an
//! orbit in use. So each shard has a settings counter of its own and a copy of `orbits`, which says which
//! settings name which orbits.
//!
//! Whoever writes a setting brings the other shards up to date before it is acknowledged, and so does whoever
//! writes an orbit in use. Who dies in between leaves shards that know less; each worker therefore also
//! looks at all counters now and then, and the auditor mirrors the settings again ([`Store::mirror_orbits`]).
//!
//! Where the orbit lies in shard 0, and so always where there is one shard, neither can slip past the other: the
//! script that writes a setting holds the orbit's head against the one that was checked, and the one that writes a
//! Blueprint refuses what was not checked if a setting follows it by now. What several shards cannot exclude is
//! that an orbit of another shard is archived, or made one that cannot run, in the very moment in which a setting
//! names it; then each issue fails with a reason that says so.
//!
//! An issue that an admin did not file does not change an orbit, and the shard of its target decides that. So a
//! setting whose orbit lies elsewhere is announced to the orbit's shard before shard 0 stores it, and only then is
//! the orbit's head compared with the one that was checked: what was committed before the announcement moves that
//! head, and what comes after it is refused.
//! The announcement stays while others mirror what is stored. Its writer takes it back at the end; that of a writer
//! which died is dropped after a minute.

use futures::future::join_all;
use redis::cmd;
use uuid::Uuid;

use crate::domain::setting::EnhanceSetting;
use crate::ids::{BlueprintId, SettingId};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::store::settings::records::{DeleteSettingOutcome, PutSettingOutcome, orbit_entry};

impl Store {
    /// Writes a setting, whatever the orbit is by now: see [`Store::put_checked_setting`].
    ///
    /// # Errors
    /// [`StoreError`]; it may have been written all the same.
    pub async fn put_setting(
        &self,
        setting: &EnhanceSetting,
        expected_revision: Option<u64>,
    ) -> Result<PutSettingOutcome, StoreError> {
        self.put_checked_setting(setting, expected_revision, None)
            .await
    }

    /// Writes a setting; its `revision` is ignored and a new one given. Whether it can be worked by is for
    /// [`Store::check_setting`] to say, before; `orbit_seq` is [`Store::head_seq`] of the orbit, read before that,
    /// or the number of the commit with which the checked document was written.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been written all the same.
    pub async fn put_checked_setting(
        &self,
        setting: &EnhanceSetting,
        expected_revision: Option<u64>,
        orbit_seq: Option<u64>,
    ) -> Result<PutSettingOutcome, StoreError> {
        let there = self.shard_of(&setting.blueprint_id);
        let home = self.home();
        if there.number() == home.number() {
            let put = home.put_setting(setting, expected_revision, orbit_seq, true);
            let outcome = put.await?;
            if matches!(outcome, PutSettingOutcome::Stored(_)) {
                self.mirror_orbits().await?;
            }
            return Ok(outcome);
        }
        let announced = self.announce_setting(there, setting).await?;
        let outcome = match check_orbit(there, setting, orbit_seq).await? {
            Some(refused) => refused,
            None => {
                let put = home.put_setting(setting, expected_revision, orbit_seq, false);
                put.await?
            }
        };
        // The entry of the setting itself first: the orbit is not without one in between.
        self.mirror_orbits().await?;
        there.take_back(&announced).await?;
        Ok(outcome)
    }

    /// Tells the orbit's shard of a setting that is about to be written, besides what the setting says until then.
    /// Returns the announcement, which stays until it is taken back, or for a minute.
    async fn announce_setting(
        &self,
        there: &Shard,
        setting: &EnhanceSetting,
    ) -> Result<String, StoreError> {
        let now = there.server_ms().await?;
        // Two writers of one setting have two.
        let announced = format!("{} {ANNOUNCED} {now} {}", setting.id, Uuid::now_v7());
        loop {
            let as_of = self.home().settings_counter().await?;
            let stored = self.home().list_settings().await?;
            let mut entries = entries(&stored);
            entries.push((announced.clone(), orbit_entry(setting)));
            // Refused if another setting was written in between.
            if there.mirror_orbits(as_of, &entries).await? {
                return Ok(announced);
            }
        }
    }

    /// Deletes a setting. Workers see it with their next issue.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been deleted all the same.
    pub async fn delete_setting(&self, id: &SettingId) -> Result<DeleteSettingOutcome, StoreError> {
        let outcome = self.home().delete_setting(id).await?;
        self.mirror_orbits().await?;
        Ok(outcome)
    }

    /// Tells every other shard which orbits are in use. Safe to run at any time, by any number of callers.
    ///
    /// # Errors
    /// [`StoreError`]; some shards may have been told.
    pub async fn mirror_orbits(&self) -> Result<(), StoreError> {
        if !self.is_sharded() {
            return Ok(());
        }
        // The counter first: the settings are then at least as new as it says.
        let as_of = self.home().settings_counter().await?;
        let entries = entries(&self.home().list_settings().await?);
        let others = self.shards()[1..].iter();
        let mirrored = join_all(others.map(|shard| shard.mirror_orbits(as_of, &entries)));
        // One that is away keeps no other from being told.
        mirrored
            .await
            .into_iter()
            .try_for_each(|told| told.map(|_| ()))
    }

    /// Makes workers read settings and orbits again before their next issue in any other shard. For
    /// whoever has written an orbit in use: its own shard's script has told that shard.
    ///
    /// # Errors
    /// [`StoreError`]; some shards may have been told.
    pub async fn orbit_was_written(&self, orbit: &BlueprintId) -> Result<(), StoreError> {
        let own = self.shard_of(orbit).number();
        let others = self.shards().iter().filter(|shard| shard.number() != own);
        let raised = join_all(others.map(async |shard| {
            let raise = cmd("INCR").arg(shard.keys.settings_counter()).to_owned();
            let raised = shard.handle.command("raise settings counter", &raise);
            raised.await.map(|_: u64| ())
        }));
        // One that is away keeps no other from being told.
        raised.await.into_iter().collect()
    }

    /// The settings counters of all shards, in their order; `None` for one that cannot be read now.
    pub async fn settings_counters(&self) -> Vec<Option<u64>> {
        let counters = self.shards().iter().map(Shard::settings_counter);
        let counters = join_all(counters).await.into_iter();
        counters.map(Result::ok).collect()
    }
}

/// What marks a setting in `orbits` that is about to be written; no id holds a blank. Behind it stands the time,
/// which the script `mirror_orbits` reads.
const ANNOUNCED: &str = "(announced)";

/// What `orbits` holds for these settings: the name of each, and its orbit.
fn entries(settings: &[EnhanceSetting]) -> Vec<(String, String)> {
    let entry = |setting: &EnhanceSetting| (setting.id.to_string(), orbit_entry(setting));
    settings.iter().map(entry).collect()
}

/// Why a setting is not written whose orbit lies in this shard; `None` if nothing speaks against it.
async fn check_orbit(
    there: &Shard,
    setting: &EnhanceSetting,
    orbit_seq: Option<u64>,
) -> Result<Option<PutSettingOutcome>, StoreError> {
    match there.summary(&setting.blueprint_id).await? {
        None => return Ok(Some(PutSettingOutcome::UnknownOrbit)),
        Some(orbit) if orbit.archived => return Ok(Some(PutSettingOutcome::ArchivedOrbit)),
        Some(_) => {}
    }
    let note_redirect =
        orbit_seq.is_some() && there.head_seq(&setting.blueprint_id).await? != orbit_seq;
    Ok(note_redirect.then_some(PutSettingOutcome::OrbitMoved))
}

impl Shard {
    /// Removes an announcement.
    async fn take_back(&self, announced: &str) -> Result<(), StoreError> {
        // Blueprints note what `orbits` says as of the settings counter: both change together.
        let mut remove = redis::pipe();
        remove.atomic();
        remove.hdel(self.keys.orbits(), announced).ignore();
        remove.incr(self.keys.settings_counter(), 1).ignore();
        let _: () = self
            .handle
            .pipeline("take back announcement", &remove)
            .await?;
        Ok(())
    }

    /// Makes the shard's copy of `orbits` this; false if it has a later one.
    async fn mirror_orbits(
        &self,
        as_of: u64,
        entries: &[(String, String)],
    ) -> Result<bool, StoreError> {
        let keys = [
            self.keys.orbits(),
            self.keys.settings_counter(),
            self.keys.meta(),
        ];
        let reply = self
            .handle
            .script(&script::MIRROR_ORBITS, &keys, |call| {
                call.arg(as_of);
                for (setting, orbit) in entries {
                    call.arg(setting).arg(orbit);
                }
            })
            .await?;
        match reply.outcome() {
            "mirrored" | "same" => Ok(true),
            "newer" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }
}
