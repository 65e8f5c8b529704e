//! Settings records, and the counter that notifies workers of an edit.

use std::collections::HashMap;

use redis::cmd;

use crate::domain::setting::EnhanceSetting;
use crate::domain::version_selector::VersionSelector;
use crate::ids::SettingId;
use crate::store::codec;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;
use crate::store::settings::check::CheckedOrbit;

/// The outcome of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum PutSettingOutcome {
    /// The setting is stored with its new revision.
    Stored(Box<EnhanceSetting>),
    /// The stored revision differs from the expected one.
    RevisionMoved {
        /// The stored revision; 0 if the setting does not exist.
        actual: u64,
    },
    /// The orbit does not exist.
    UnknownOrbit,
    /// The orbit is archived.
    ArchivedOrbit,
    /// The head of the orbit, or the channel that the setting follows, differs from the checked
    /// one.
    OrbitMoved,
}

/// The outcome of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteSettingOutcome {
    /// The setting is deleted.
    Deleted,
    /// The setting does not exist.
    UnknownSetting,
}

/// Returns the entry of `orbits` for a setting.
pub(crate) fn orbit_entry(setting: &EnhanceSetting) -> String {
    let follows = match &setting.selector {
        VersionSelector::Latest => "latest".to_owned(),
        VersionSelector::SemverReq(_) => "labelled".to_owned(),
        VersionSelector::Fixed(_) => "pinned".to_owned(),
        VersionSelector::Channel(name) => format!("{name} pinned"),
    };
    format!("{} {follows}", setting.blueprint_id)
}

impl Shard {
    /// Writes a setting to shard 0 (see [`crate::store::redis::store::Store::put_setting`]). The
    /// caller checks an orbit in another shard.
    pub(crate) async fn put_setting(
        &self,
        setting: &EnhanceSetting,
        expected_revision: Option<u64>,
        checked: CheckedOrbit,
        orbit_is_here: bool,
    ) -> Result<PutSettingOutcome, StoreError> {
        let mut keys = vec![
            self.keys.settings(),
            self.keys.setting_revisions(),
            self.keys.settings_counter(),
            self.keys.orbits(),
        ];
        let orbit = &setting.blueprint_id;
        if orbit_is_here {
            keys.push(self.keys.blueprint(orbit));
            keys.push(self.keys.channels(orbit));
            keys.push(self.keys.channel_revisions(orbit));
        }
        let channel = match &setting.selector {
            VersionSelector::Channel(name) => name.as_str(),
            _ => "",
        };
        let text = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        let mut reply = self
            .handle
            .script(&script::PUT_SETTING, &keys, |call| {
                call.arg(setting.id.as_str())
                    .arg(codec::setting_draft(setting));
                call.arg(text(expected_revision)).arg(orbit_entry(setting));
                call.arg(text(checked.seq));
                call.arg(channel).arg(text(checked.channel_revision));
            })
            .await?;
        match reply.outcome() {
            "stored" => Ok(PutSettingOutcome::Stored(Box::new(EnhanceSetting {
                revision: reply.take()?,
                updated_at_ms: Some(reply.take()?),
                ..setting.clone()
            }))),
            "revision_moved" => Ok(PutSettingOutcome::RevisionMoved {
                actual: reply.take()?,
            }),
            "unknown_orbit" => Ok(PutSettingOutcome::UnknownOrbit),
            "archived_orbit" => Ok(PutSettingOutcome::ArchivedOrbit),
            "orbit_moved" => Ok(PutSettingOutcome::OrbitMoved),
            _ => Err(reply.unknown()),
        }
    }

    /// Deletes a setting. It takes effect with each worker's next issue.
    ///
    /// # Errors
    /// [`StoreError`]. The setting may be deleted nevertheless.
    pub(crate) async fn delete_setting(
        &self,
        id: &SettingId,
    ) -> Result<DeleteSettingOutcome, StoreError> {
        let keys = [
            self.keys.settings(),
            self.keys.settings_counter(),
            self.keys.orbits(),
        ];
        let reply = self
            .handle
            .script(&script::DELETE_SETTING, &keys, |call| {
                call.arg(id.as_str());
            })
            .await?;
        match reply.outcome() {
            "deleted" => Ok(DeleteSettingOutcome::Deleted),
            "unknown_setting" => Ok(DeleteSettingOutcome::UnknownSetting),
            _ => Err(reply.unknown()),
        }
    }

    /// Returns the counter that rises with every write of a setting or of an orbit in use.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn settings_counter(&self) -> Result<u64, StoreError> {
        let get = cmd("GET").arg(self.keys.settings_counter()).to_owned();
        let counter: Option<u64> = self.handle.command("settings counter", &get).await?;
        Ok(counter.unwrap_or(0))
    }

    /// Returns the setting with this name; `None` if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn setting(&self, id: &SettingId) -> Result<Option<EnhanceSetting>, StoreError> {
        let found: Option<String> = self
            .handle
            .command(
                "setting",
                cmd("HGET").arg(self.keys.settings()).arg(id.as_str()),
            )
            .await?;
        found.map(|text| codec::setting(id, &text)).transpose()
    }

    /// Returns all settings, sorted by name.
    ///
    /// # Errors
    /// As [`Shard::setting`].
    pub async fn list_settings(&self) -> Result<Vec<EnhanceSetting>, StoreError> {
        let all: HashMap<String, String> = self
            .handle
            .command("settings", cmd("HGETALL").arg(self.keys.settings()))
            .await?;
        let mut settings = Vec::with_capacity(all.len());
        for (name, text) in &all {
            let id = SettingId::parse(name).map_err(|e| StoreError::Damaged {
                what: "setting",
                id: name.clone(),
                problem: e.to_string(),
            })?;
            settings.push(codec::setting(&id, text)?);
        }
        settings.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(settings)
    }
}
