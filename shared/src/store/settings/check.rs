//! Whether a setting can be worked by, asked before it is written.
//!
//! Nothing is promised for later: an orbit may be changed and a worker's scripts may go. Then the worker says
//! so for each issue. Who writes a setting should read about a mistake at once.

use std::sync::Arc;

use semver::Version;

use crate::blueprint::Blueprint;
use crate::blueprint::orbit::{self, NotRunnable};
use crate::domain::setting::EnhanceSetting;
use crate::domain::version_selector::VersionSelector;
use crate::store::redis::error::StoreError;
use crate::store::redis::store::Store;

/// Why a setting cannot be worked by.
#[derive(Debug)]
pub enum SettingFault {
    /// There is no such orbit.
    UnknownOrbit,
    /// The orbit is archived.
    ArchivedOrbit,
    /// The orbit has no version that the selector chooses: why.
    NoVersion(String),
    /// The orbit cannot run.
    Orbit(NotRunnable),
    /// The setting's spawner cannot run, or there is no agent whose place it could take.
    Spawner(NotRunnable),
    /// Axes that have no script.
    UnknownAxes {
        /// Those of the setting.
        unknown: Vec<String>,
        /// Those that there are.
        known: Vec<String>,
    },
}

impl Store {
    /// Looks whether the setting's orbit, in the version that its selector chooses now, can run with the
    /// setting's spawner, and whether its axes have scripts. `document` is what the orbit's head is going
    /// to be. Returns that version, or the first fault.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored orbit is damaged.
    pub async fn check_setting(
        &self,
        setting: &EnhanceSetting,
        document: Option<&Blueprint>,
    ) -> Result<Result<Arc<Blueprint>, SettingFault>, StoreError> {
        let summary = self.summary(&setting.blueprint_id).await?;
        if summary.as_ref().is_some_and(|s| s.archived) {
            return Ok(Err(SettingFault::ArchivedOrbit));
        }
        if summary.is_none() && document.is_none() {
            return Ok(Err(SettingFault::UnknownOrbit));
        }
        let known = self.home().known_scripts().await?;
        let orbit = match document {
            Some(document) if self.will_choose(setting, document).await? => {
                Arc::new(document.clone())
            }
            _ => match self
                .blueprint(&setting.blueprint_id, &setting.selector)
                .await
            {
                Ok(Some(stored)) => stored.blueprint,
                Ok(None) => {
                    return Ok(Err(SettingFault::NoVersion(match &setting.selector {
                        VersionSelector::Fixed(version) => {
                            format!("orbit {} has no version {version}", setting.blueprint_id)
                        }
                        _ => format!("orbit {} has no version", setting.blueprint_id),
                    })));
                }
                Err(
                    why @ (StoreError::NoMatchingVersion { .. } | StoreError::InvalidSemver { .. }),
                ) => return Ok(Err(SettingFault::NoVersion(why.to_string()))),
                Err(error) => return Err(error),
            },
        };
        let spawner = setting.spawner.as_ref();
        let checked = orbit::check(&orbit, spawner, &|name| known.has_step(name));
        if let Err(why) = checked {
            return Ok(Err(match spawner {
                Some(_) if why.is_about_spawner() => SettingFault::Spawner(why),
                _ => SettingFault::Orbit(why),
            }));
        }
        let axes = setting.verifier_axes.iter();
        let unknown: Vec<String> = axes.filter(|a| !known.has_axis(a)).cloned().collect();
        if unknown.is_empty() {
            return Ok(Ok(orbit));
        }
        let known = known.axes().into_iter().map(str::to_owned).collect();
        Ok(Err(SettingFault::UnknownAxes { unknown, known }))
    }

    /// True if the selector chooses `document` once that is the orbit's head.
    pub(crate) async fn will_choose(
        &self,
        setting: &EnhanceSetting,
        document: &Blueprint,
    ) -> Result<bool, StoreError> {
        Ok(self.follower(setting).await?.will_choose(document))
    }

    /// The setting, with what decides whether it chooses the next version of its orbit.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn follower(&self, setting: &EnhanceSetting) -> Result<Follower, StoreError> {
        let orbit = &setting.blueprint_id;
        let highest = match &setting.selector {
            VersionSelector::SemverReq(req) => {
                let labels = self.shard_of(orbit).labels_for(orbit, req).await?;
                labels.highest.map(|(label, _)| label)
            }
            VersionSelector::Latest | VersionSelector::Fixed(_) => None,
        };
        Ok(Follower {
            setting: setting.clone(),
            highest,
        })
    }
}

/// A setting, and the version of its orbit that a new one is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Follower {
    /// The setting.
    pub setting: EnhanceSetting,
    /// The highest label that its requirement chooses now; `None` if it chooses none, or is no requirement.
    pub highest: Option<Version>,
}

impl Follower {
    /// True if the setting chooses `document` once that is the head of its orbit.
    pub fn will_choose(&self, document: &Blueprint) -> bool {
        match &self.setting.selector {
            VersionSelector::Latest => true,
            VersionSelector::Fixed(version) => version == document.version(),
            VersionSelector::SemverReq(req) => {
                let label = document.version_label();
                let label = label.and_then(|label| Version::parse(label).ok());
                // Of equal precedence the newest commit, which this one will be.
                label.is_some_and(|label| {
                    let is_lower = |highest: &Version| label.cmp_precedence(highest).is_lt();
                    req.matches(&label) && !self.highest.as_ref().is_some_and(is_lower)
                })
            }
        }
    }
}
