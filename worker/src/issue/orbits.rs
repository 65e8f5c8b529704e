//! A cache of the settings and orbits that apply to issues.
//!
//! It is read again when the settings counter changes. Every claim returns the counter, so an edit
//! takes effect at the next claim. While the counter is unchanged, an issue needs no call of the
//! store: the cache contains all settings and the orbits in use.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::FutureExt;
use shared::domain::setting::{self, EnhanceSetting};
use shared::domain::version_selector::VersionSelector;
use shared::ids::{BlueprintId, SettingId};
use shared::single_flight::SingleFlight;
use shared::store::{Store, StoreError};

use crate::flow::FlowHost;
use crate::flow::flow_threads::FlowThreads;
use crate::issue::launch::{Launch, LaunchError};

/// The data that was read at these values of the shards' settings counters, or later.
struct Known {
    /// `None` if the counter could not be read.
    counters: Vec<Option<u64>>,
    settings: Vec<EnhanceSetting>,
    followers: Arc<Vec<EnhanceSetting>>,
    /// The launches of the settings in use.
    launches: RwLock<HashMap<SettingId, Arc<Launch>>>,
    launching: SingleFlight<SettingId, Result<Arc<Launch>, LaunchError>>,
}

impl Known {
    fn launch(&self, setting: &SettingId) -> Option<Arc<Launch>> {
        let launches = self.launches.read().unwrap_or_else(PoisonError::into_inner);
        launches.get(setting).cloned()
    }

    fn keep(&self, launch: &Arc<Launch>) {
        let mut launches = self
            .launches
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        launches.insert(launch.setting.id.clone(), Arc::clone(launch));
    }
}

/// A cache of the launches of the settings in use. Every issue reads it, and a hit does not block.
/// On a miss one task reads the data for all that miss it.
pub(crate) struct Orbits(Arc<Inner>);

struct Inner {
    store: Store,
    host: Arc<FlowHost>,
    flows: Arc<FlowThreads>,
    own: SettingId,
    known: RwLock<Option<Arc<Known>>>,
    reading: SingleFlight<(usize, u64), Result<Arc<Known>, LaunchError>>,
}

impl Orbits {
    /// Returns an empty cache. `own` is the setting for issues that no other setting applies to.
    pub(crate) fn new(
        store: Store,
        host: Arc<FlowHost>,
        flows: Arc<FlowThreads>,
        own: SettingId,
    ) -> Orbits {
        Orbits(Arc::new(Inner {
            store,
            host,
            flows,
            own,
            known: RwLock::default(),
            reading: SingleFlight::default(),
        }))
    }

    /// Returns the current launch for an issue of this Blueprint.
    ///
    /// # Errors
    /// The same as [`Orbits::at`].
    pub(crate) async fn now(&self, blueprint: &BlueprintId) -> Result<Arc<Launch>, LaunchError> {
        let counter = self.0.store.of(blueprint).settings_counter().await?;
        self.at(counter, blueprint).await
    }

    /// Returns the launch for an issue of this Blueprint (see [`setting::choose`]), as of this
    /// value of its shard's settings counter, or a later one.
    ///
    /// # Errors
    /// [`LaunchError`]. Errors are not cached: the next issue reads again.
    pub(crate) async fn at(
        &self,
        counter: u64,
        blueprint: &BlueprintId,
    ) -> Result<Arc<Launch>, LaunchError> {
        let shard = self.0.store.of(blueprint).number();
        let known = match self.0.known_at(shard, counter) {
            Some(known) => known,
            None => {
                let read = || Arc::clone(&self.0).read(shard, counter).boxed();
                self.0.reading.join((shard, counter), read).await?
            }
        };
        let own = &self.0.own;
        let chosen = setting::choose(&known.settings, own, blueprint)
            .ok_or_else(|| LaunchError::NoSetting(own.clone()))?;
        if let Some(launch) = known.launch(&chosen.id) {
            return Ok(launch);
        }
        let launch = || {
            let (inner, setting) = (Arc::clone(&self.0), chosen.clone());
            inner.launch(Arc::clone(&known), setting).boxed()
        };
        known.launching.join(chosen.id.clone(), launch).await
    }

    /// True if a cached setting names this Blueprint as its orbit.
    pub(crate) fn names(&self, id: &BlueprintId) -> bool {
        let known = self.0.known();
        let settings = known.iter().flat_map(|known| &known.settings);
        settings.into_iter().any(|s| s.blueprint_id == *id)
    }

    /// Clears the cache if the counter of any shard has changed. A claim returns only the counter
    /// of its own shard, and a writer may have died before it notified the other shards.
    pub(crate) async fn refresh(&self) -> Result<(), StoreError> {
        let counters = self.0.store.settings_counters().await;
        let is_stale = |kept: &Arc<Known>| {
            let each = kept.counters.iter().zip(&counters);
            // A counter that cannot be read now is ignored.
            each.into_iter()
                .any(|(kept, now)| now.is_some() && kept != now)
        };
        self.0.change(|known| {
            if known.as_ref().is_some_and(is_stale) {
                *known = None;
            }
        });
        Ok(())
    }
}

impl Inner {
    fn known(&self) -> Option<Arc<Known>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the cache if it was read at this value. A lower value also counts as a change,
    /// because Redis may have lost its newest writes.
    fn known_at(&self, shard: usize, counter: u64) -> Option<Arc<Known>> {
        let known = self.known();
        known.filter(|known| known.counters[shard] == Some(counter))
    }

    fn change(&self, change: impl FnOnce(&mut Option<Arc<Known>>)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }

    async fn read(self: Arc<Self>, shard: usize, counter: u64) -> Result<Arc<Known>, LaunchError> {
        // Another task may have read it meanwhile.
        if let Some(known) = self.known_at(shard, counter) {
            return Ok(known);
        }
        // Reads the counters first, so that the settings are at least as new as the counters.
        let mut counters = match self.store.shards() {
            [_] => vec![None],
            _ => self.store.settings_counters().await,
        };
        counters[shard] = Some(counter);
        let settings = self.store.home().list_settings().await?;
        let followers = settings.iter();
        let is_pinned = |s: &&EnhanceSetting| {
            matches!(
                s.selector,
                VersionSelector::Fixed(_) | VersionSelector::Channel(_)
            )
        };
        let followers = followers.filter(|s| !is_pinned(s));
        let followers = followers.cloned().collect();
        let known = Arc::new(Known {
            counters,
            followers: Arc::new(followers),
            launches: RwLock::default(),
            launching: SingleFlight::default(),
            settings,
        });
        self.change(|kept| *kept = Some(Arc::clone(&known)));
        Ok(known)
    }

    async fn launch(
        self: Arc<Self>,
        known: Arc<Known>,
        setting: EnhanceSetting,
    ) -> Result<Arc<Launch>, LaunchError> {
        if let Some(launch) = known.launch(&setting.id) {
            return Ok(launch);
        }
        if setting.verifier_axes.is_empty() && !setting.no_verification {
            return Err(LaunchError::Unverified(setting.id));
        }
        let found = self
            .store
            .of(&setting.blueprint_id)
            .blueprint(&setting.blueprint_id, &setting.selector)
            .await?;
        let found = found.ok_or_else(|| {
            LaunchError::NoOrbit(setting.blueprint_id.clone(), setting.id.clone())
        })?;
        tracing::info!(setting = %setting.id, revision = setting.revision, orbit = %setting.blueprint_id,
            version = %found.commit.version, "using this setting");
        if setting.no_verification {
            tracing::warn!(setting = %setting.id, "this setting has no verification: whatever its spawner proposes is committed");
        }
        let host = Arc::clone(&self.host);
        // Compiling a large orbit or the schema of an axis may take long.
        let compiling = self.flows.run(async move {
            let (spawner, options) = (setting.spawner.as_ref(), &setting.axis_options);
            let orbit = host.compile(&found.blueprint, spawner, options);
            (orbit, setting)
        });
        let (orbit, setting) = compiling.await;
        let launch = Arc::new(Launch {
            setting,
            orbit: orbit.map_err(|error| LaunchError::Flow(Arc::new(error)))?,
            followers: Arc::clone(&known.followers),
        });
        known.keep(&launch);
        Ok(launch)
    }
}
