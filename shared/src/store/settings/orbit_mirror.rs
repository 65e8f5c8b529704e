//! Mirrors the orbits of the settings to every shard.
//!
//! Settings are in shard 0. A claim in any shard must detect in its one round trip whether a
//! setting or an orbit in use has changed. A call that writes or archives a Blueprint must detect
//! whether it is an orbit in use. So each shard has its own settings counter and a copy of
//! `orbits`, the orbits of the settings.
//!
//! A call that writes a setting or an orbit in use updates the other shards before it is
//! acknowledged. A crash in between leaves stale shards. So each worker also reads all counters
//! periodically, and the auditor mirrors the settings again ([`Store::mirror_orbits`]).
//!
//! # Races
//!
//! If the orbit is in shard 0, which is always true for one shard, no race is possible. The script
//! that writes a setting compares the orbit's head with the checked one. The script that writes a
//! Blueprint rejects an unchecked document if a setting now follows it. With several shards, one
//! race remains: an orbit in another shard is archived or made unusable while a setting starts to
//! name it. Each issue then fails with a reason that describes it.
//!
//! The shard of the target checks that only an admin's issue changes an orbit. So a setting whose
//! orbit is in another shard is announced to that shard before shard 0 stores it. The orbit's head
//! is compared with the checked one after the announcement. A commit before the announcement moves
//! that head, and a later one is rejected. The announcement remains while others mirror the stored
//! settings. Its writer removes it at the end; the announcement of a dead writer is dropped after a
//! minute.

use futures::future::join_all;
use redis::cmd;
use uuid::Uuid;

use crate::domain::setting::EnhanceSetting;
use crate::domain::version_selector::VersionSelector;
use crate::ids::{BlueprintId, SettingId};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::store::settings::check::CheckedOrbit;
use crate::store::settings::records::{DeleteSettingOutcome, PutSettingOutcome, orbit_entry};

impl Store {
    /// Writes a setting without a check of its orbit: see [`Store::put_checked_setting`].
    ///
    /// # Errors
    /// [`StoreError`]. The setting may be written nevertheless.
    pub async fn put_setting(
        &self,
        setting: &EnhanceSetting,
        expected_revision: Option<u64>,
    ) -> Result<PutSettingOutcome, StoreError> {
        let any = CheckedOrbit::default();
        self.put_checked_setting(setting, expected_revision, any)
            .await
    }

    /// Writes a setting with a new `revision`; the given one is ignored. Run
    /// [`Store::check_setting`] before. `checked` is [`Store::orbit_state`], read before that
    /// check, or with the number of the checked document's commit.
    ///
    /// # Errors
    /// [`StoreError`]. The setting may be written nevertheless.
    pub async fn put_checked_setting(
        &self,
        setting: &EnhanceSetting,
        expected_revision: Option<u64>,
        checked: CheckedOrbit,
    ) -> Result<PutSettingOutcome, StoreError> {
        let there = self.of(&setting.blueprint_id);
        let home = self.home();
        if there.number() == home.number() {
            let put = home.put_setting(setting, expected_revision, checked, true);
            let outcome = put.await?;
            if matches!(outcome, PutSettingOutcome::Stored(_)) {
                self.mirror_orbits().await?;
            }
            return Ok(outcome);
        }
        let announced = self.announce_setting(there, setting).await?;
        let outcome = match check_orbit(there, setting, checked).await? {
            Some(refused) => refused,
            None => {
                let put = home.put_setting(setting, expected_revision, checked, false);
                put.await?
            }
        };
        // The entry of the setting itself comes first: the orbit always has an entry.
        self.mirror_orbits().await?;
        there.take_back(&announced).await?;
        Ok(outcome)
    }

    /// Announces a setting to the orbit's shard before it is written, in addition to its current
    /// entry. Returns the announcement, which remains until it is removed, or for a minute.
    async fn announce_setting(
        &self,
        there: &Shard,
        setting: &EnhanceSetting,
    ) -> Result<String, StoreError> {
        let now = there.server_ms().await?;
        // Two writers of one setting have two announcements.
        let announced = format!("{} {ANNOUNCED} {now} {}", setting.id, Uuid::now_v7());
        loop {
            let as_of = self.home().settings_counter().await?;
            let stored = self.home().list_settings().await?;
            let mut entries = entries(&stored);
            entries.push((announced.clone(), orbit_entry(setting)));
            // Rejected if another setting was written in between.
            if there.mirror_orbits(as_of, &entries).await? {
                return Ok(announced);
            }
        }
    }

    /// Deletes a setting. It takes effect with each worker's next issue.
    ///
    /// # Errors
    /// [`StoreError`]. The setting may be deleted nevertheless.
    pub async fn delete_setting(&self, id: &SettingId) -> Result<DeleteSettingOutcome, StoreError> {
        let outcome = self.home().delete_setting(id).await?;
        self.mirror_orbits().await?;
        Ok(outcome)
    }

    /// Mirrors the orbits in use to every other shard. Any number of callers can run it at any
    /// time.
    ///
    /// # Errors
    /// [`StoreError`]. Some shards may be updated.
    pub async fn mirror_orbits(&self) -> Result<(), StoreError> {
        if !self.is_sharded() {
            return Ok(());
        }
        // The counter first: the settings are then at least as new as the counter.
        let as_of = self.home().settings_counter().await?;
        let entries = entries(&self.home().list_settings().await?);
        let others = self.shards()[1..].iter();
        let mirrored = join_all(others.map(|shard| shard.mirror_orbits(as_of, &entries)));
        // An unavailable shard does not block the others.
        mirrored
            .await
            .into_iter()
            .try_for_each(|told| told.map(|_| ()))
    }

    /// Makes workers of the other shards read settings and orbits again before their next issue.
    /// Call it after a write of an orbit in use. The script of that write has already notified its
    /// own shard.
    ///
    /// # Errors
    /// [`StoreError`]. Some shards may be updated.
    pub async fn orbit_was_written(&self, orbit: &BlueprintId) -> Result<(), StoreError> {
        let own = self.of(orbit).number();
        let others = self.shards().iter().filter(|shard| shard.number() != own);
        let raised = join_all(others.map(async |shard| {
            let raise = cmd("INCR").arg(shard.keys.settings_counter()).to_owned();
            let raised = shard.handle.command("raise settings counter", &raise);
            raised.await.map(|_: u64| ())
        }));
        // An unavailable shard does not block the others.
        raised.await.into_iter().collect()
    }

    /// Returns the settings counters of all shards in their order; `None` for an unreadable one.
    pub async fn settings_counters(&self) -> Vec<Option<u64>> {
        let counters = self.shards().iter().map(Shard::settings_counter);
        let counters = join_all(counters).await.into_iter();
        counters.map(Result::ok).collect()
    }
}

/// The suffix of a setting in `orbits` that is about to be written; ids have no blanks. The time
/// follows, which the script `mirror_orbits` reads.
const ANNOUNCED: &str = "(announced)";

/// Returns the entries of `orbits` for these settings: the name of each and its orbit.
fn entries(settings: &[EnhanceSetting]) -> Vec<(String, String)> {
    let entry = |setting: &EnhanceSetting| (setting.id.to_string(), orbit_entry(setting));
    settings.iter().map(entry).collect()
}

/// Returns the reason why a setting with an orbit in this shard cannot be written; `None` if it
/// can.
async fn check_orbit(
    there: &Shard,
    setting: &EnhanceSetting,
    checked: CheckedOrbit,
) -> Result<Option<PutSettingOutcome>, StoreError> {
    match there.summary(&setting.blueprint_id).await? {
        None => return Ok(Some(PutSettingOutcome::UnknownOrbit)),
        Some(orbit) if orbit.archived => return Ok(Some(PutSettingOutcome::ArchivedOrbit)),
        Some(_) => {}
    }
    let orbit = &setting.blueprint_id;
    let mut has_moved = checked.seq.is_some() && there.head_seq(orbit).await? != checked.seq;
    if let VersionSelector::Channel(name) = &setting.selector {
        let found = there.channel(orbit, name).await?;
        let found = found.map(|channel| channel.revision);
        let expected = checked.channel_revision;
        has_moved |= found.is_none() || (expected.is_some() && found != expected);
    }
    Ok(has_moved.then_some(PutSettingOutcome::OrbitMoved))
}

impl Shard {
    /// Removes an announcement.
    async fn take_back(&self, announced: &str) -> Result<(), StoreError> {
        // Blueprints cache `orbits` as of a value of the settings counter, so both change together.
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

    /// Replaces the shard's copy of `orbits`. Returns false if the shard has a newer one.
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
