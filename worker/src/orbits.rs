//! The settings and the orbits that issues are worked on by, read again when the settings counter
//! moved: every claim brings the counter, so an edit acts on the next claim. While it stands, an issue
//! costs no call of the store: the settings are kept, and each that was used with its orbit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use shared::ids::{BlueprintId, SettingId};
use shared::setting::{self, EnhanceSetting};
use shared::store::{Store, StoreError};
use shared::version_selector::VersionSelector;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatcher;
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
    orbits_in_use: Arc<HashSet<BlueprintId>>,
}

impl Launch {
    /// True if this Blueprint must stay runnable.
    pub(crate) fn must_be_runnable(&self, id: &BlueprintId) -> bool {
        self.orbits_in_use.contains(id)
    }
}

/// Everything that was read at these values of the shards' settings counters, or later.
struct Known {
    /// `None`: it could not be read.
    counters: Vec<Option<u64>>,
    settings: Vec<EnhanceSetting>,
    orbits_in_use: Arc<HashSet<BlueprintId>>,
    /// Of the settings that an issue was worked on by.
    launches: HashMap<SettingId, Arc<Launch>>,
}

/// How often a worker of several shards looks whether something was written of which it was not told.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks at the counters of all shards until `stop`.
pub(crate) async fn watch(dispatcher: Arc<Dispatcher>, stop: CancellationToken) {
    crate::service::repeat("orbits", LOOK_EVERY, stop, || dispatcher.orbits.look()).await;
}

/// Keeps the launches of the settings that are in use.
pub(crate) struct Orbits {
    store: Store,
    host: Arc<FlowHost>,
    own: SettingId,
    known: Mutex<Option<Known>>,
}

impl Orbits {
    /// `own` is the setting for whatever no other setting applies to.
    pub(crate) fn new(store: Store, host: Arc<FlowHost>, own: SettingId) -> Orbits {
        Orbits {
            store,
            host,
            own,
            known: Mutex::new(None),
        }
    }

    /// The launch for an issue of this Blueprint as of now.
    ///
    /// # Errors
    /// As [`Orbits::at`].
    pub(crate) async fn now(&self, blueprint: &BlueprintId) -> Result<Arc<Launch>, LaunchError> {
        let counter = self.store.shard_of(blueprint).settings_counter().await?;
        self.at(counter, blueprint).await
    }

    /// The launch for an issue of this Blueprint (see [`setting::choose`]), as of this value of its shard's
    /// settings counter, or a later one.
    ///
    /// # Errors
    /// [`LaunchError`]; it is not kept, the next issue looks again.
    pub(crate) async fn at(
        &self,
        counter: u64,
        blueprint: &BlueprintId,
    ) -> Result<Arc<Launch>, LaunchError> {
        let shard = self.store.shard_of(blueprint).number();
        let mut known = self.known.lock().await;
        let mut now = match known.take() {
            // A value that went back: Redis may have lost its newest writes.
            Some(kept) if kept.counters[shard] == Some(counter) => kept,
            _ => self.read(shard, counter).await?,
        };
        let chosen = setting::choose(&now.settings, &self.own, blueprint)
            .ok_or_else(|| LaunchError::NoSetting(self.own.clone()))?;
        if let Some(launch) = now.launches.get(&chosen.id) {
            let launch = Arc::clone(launch);
            *known = Some(now);
            return Ok(launch);
        }
        let orbits_in_use = Arc::clone(&now.orbits_in_use);
        let launched = self.launch(chosen.clone(), orbits_in_use).await;
        let launched = launched.map(Arc::new);
        if let Ok(launch) = &launched {
            let kept = Arc::clone(launch);
            now.launches.insert(launch.setting.id.clone(), kept);
        }
        *known = Some(now);
        launched
    }

    /// True if a setting is known that names this Blueprint as its orbit.
    pub(crate) async fn names(&self, id: &BlueprintId) -> bool {
        let known = self.known.lock().await;
        let settings = known.iter().flat_map(|known| &known.settings);
        settings.into_iter().any(|s| s.blueprint_id == *id)
    }

    /// Forgets what is known if any shard's counter says that something was written. Claims tell the same of
    /// their own shard; whoever wrote may have died before it told the others.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        let counters = self.store.settings_counters().await;
        let mut known = self.known.lock().await;
        let has_moved = |kept: &Known| {
            let each = kept.counters.iter().zip(&counters);
            // One that cannot be read now says nothing.
            each.into_iter()
                .any(|(kept, now)| now.is_some() && kept != now)
        };
        if known.as_ref().is_some_and(has_moved) {
            *known = None;
        }
        Ok(())
    }

    async fn read(&self, shard: usize, counter: u64) -> Result<Known, LaunchError> {
        // The counters first: what is read then is at least as new.
        let mut counters = match self.store.shards() {
            [_] => vec![None],
            _ => self.store.settings_counters().await,
        };
        counters[shard] = Some(counter);
        let settings = self.store.list_settings().await?;
        let followed = settings
            .iter()
            .filter(|s| s.selector == VersionSelector::Latest);
        let orbits_in_use = followed.map(|s| s.blueprint_id.clone()).collect();
        Ok(Known {
            counters,
            orbits_in_use: Arc::new(orbits_in_use),
            launches: HashMap::new(),
            settings,
        })
    }

    async fn launch(
        &self,
        setting: EnhanceSetting,
        orbits_in_use: Arc<HashSet<BlueprintId>>,
    ) -> Result<Launch, LaunchError> {
        let found = self
            .store
            .blueprint(&setting.blueprint_id, &setting.selector)
            .await?;
        let found = found.ok_or_else(|| {
            LaunchError::NoOrbit(setting.blueprint_id.clone(), setting.id.clone())
        })?;
        let orbit = self
            .host
            .compile(
                &found.blueprint,
                setting.spawner.as_ref(),
                &setting.axis_options,
            )
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
