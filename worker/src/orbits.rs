//! The setting and the orbit that issues are worked on by, read again when the settings counter
//! moved: every claim brings the counter, so an edit acts on the next claim.

use std::collections::HashSet;
use std::sync::Arc;

use shared::ids::{BlueprintId, SettingId};
use shared::setting::EnhanceSetting;
use shared::store::{Store, StoreError};
use shared::version_selector::VersionSelector;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::flow::{FlowError, FlowHost, Orbit};

/// Why an issue cannot be launched.
#[derive(Debug, Error)]
pub(crate) enum LaunchError {
    /// The setting is not there.
    #[error("setting {0} does not exist; write it or set DRAFTSMAN_SETTING to one that does")]
    NoSetting(SettingId),
    /// The orbit, or the version of it that is meant, is not there.
    #[error(
        "orbit {0} of setting {1} has no such version; look at the setting's blueprint_id and selector"
    )]
    NoOrbit(BlueprintId, SettingId),
    /// The orbit cannot be run.
    #[error(transparent)]
    Flow(FlowError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A setting with its orbit, ready to run.
pub(crate) struct Launch {
    pub(crate) setting: EnhanceSetting,
    pub(crate) orbit: Orbit,
    /// Blueprints that some setting follows as its orbit: what they become must be runnable.
    orbits_in_use: HashSet<BlueprintId>,
}

impl Launch {
    /// True if this Blueprint must stay runnable.
    pub(crate) fn must_be_runnable(&self, id: &BlueprintId) -> bool {
        self.orbits_in_use.contains(id)
    }
}

/// Keeps the launch of one setting.
pub(crate) struct Orbits {
    store: Store,
    host: Arc<FlowHost>,
    setting: SettingId,
    current: Mutex<Option<(u64, Arc<Launch>)>>,
}

impl Orbits {
    pub(crate) fn new(store: Store, host: Arc<FlowHost>, setting: SettingId) -> Orbits {
        Orbits {
            store,
            host,
            setting,
            current: Mutex::new(None),
        }
    }

    /// The launch as of this value of the settings counter, or a later one. A value that went back is as
    /// good a reason to read again: Redis may have lost its newest writes.
    ///
    /// # Errors
    /// [`LaunchError`]; nothing of it is kept, the next issue looks again.
    pub(crate) async fn at(&self, counter: u64) -> Result<Arc<Launch>, LaunchError> {
        let mut current = self.current.lock().await;
        if let Some((seen, launch)) = current.as_ref()
            && *seen == counter
        {
            return Ok(Arc::clone(launch));
        }
        let launch = Arc::new(self.read().await?);
        *current = Some((counter, Arc::clone(&launch)));
        Ok(launch)
    }

    async fn read(&self) -> Result<Launch, LaunchError> {
        let settings = self.store.list_settings().await?;
        let followed = settings
            .iter()
            .filter(|s| s.selector == VersionSelector::Latest);
        let orbits_in_use = followed.map(|s| s.blueprint_id.clone()).collect();
        let setting = settings.into_iter().find(|s| s.id == self.setting);
        let setting = setting.ok_or_else(|| LaunchError::NoSetting(self.setting.clone()))?;
        let found = self
            .store
            .blueprint(&setting.blueprint_id, &setting.selector)
            .await?;
        let found = found.ok_or_else(|| {
            LaunchError::NoOrbit(setting.blueprint_id.clone(), setting.id.clone())
        })?;
        let orbit = self
            .host
            .compile(&found.blueprint, setting.spawner.as_ref())
            .map_err(LaunchError::Flow)?;
        tracing::info!(setting = %setting.id, revision = setting.revision, orbit = %setting.blueprint_id,
            version = %found.commit.version, "working by this setting");
        Ok(Launch {
            setting,
            orbit,
            orbits_in_use,
        })
    }
}
