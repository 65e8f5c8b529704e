//! Checks whether a setting is usable before it is written.
//!
//! The check covers only this moment: a later write can change the orbit, and a worker's scripts
//! can disappear. The worker then reports an error for each issue. The check reports a mistake to
//! its author at once.

use std::sync::Arc;

use semver::Version;

use crate::blueprint::Blueprint;
use crate::blueprint::orbit::{self, NotRunnable};
use crate::domain::setting::EnhanceSetting;
use crate::domain::version_selector::VersionSelector;
use crate::store::redis::error::StoreError;
use crate::store::redis::store::Store;

/// The reason why a setting is not usable.
#[derive(Debug)]
pub enum SettingFault {
    /// The orbit does not exist.
    UnknownOrbit,
    /// The orbit is archived.
    ArchivedOrbit,
    /// The selector matches no version of the orbit: the reason.
    NoVersion(String),
    /// The orbit cannot run.
    Orbit(NotRunnable),
    /// The setting's spawner cannot run, or the orbit has no agent that it can replace.
    Spawner(NotRunnable),
    /// Axes without a script.
    UnknownAxes {
        /// The axes of the setting without a script.
        unknown: Vec<String>,
        /// The available axes.
        known: Vec<String>,
    },
}

impl Store {
    /// Checks whether the setting's orbit can run with the setting's spawner, and whether its axes
    /// have scripts. It uses the version of the orbit that the selector now selects. `document` is
    /// the future head of the orbit. Returns that version, or the first fault.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored orbit is damaged.
    pub async fn check_setting(
        &self,
        setting: &EnhanceSetting,
        document: Option<&Blueprint>,
    ) -> Result<Result<Arc<Blueprint>, SettingFault>, StoreError> {
        let shard = self.of(&setting.blueprint_id);
        let summary = shard.summary(&setting.blueprint_id).await?;
        if summary.as_ref().is_some_and(|s| s.archived) {
            return Ok(Err(SettingFault::ArchivedOrbit));
        }
        if summary.is_none() && document.is_none() {
            return Ok(Err(SettingFault::UnknownOrbit));
        }
        let orbit = match document {
            Some(document) if self.will_choose(setting, document).await? => {
                Arc::new(document.clone())
            }
            _ => match shard
                .blueprint(&setting.blueprint_id, &setting.selector)
                .await
            {
                Ok(Some(stored)) => stored.blueprint,
                Ok(None) => {
                    return Ok(Err(SettingFault::NoVersion(match &setting.selector {
                        VersionSelector::Fixed(version) => {
                            format!("orbit {} has no version {version}", setting.blueprint_id)
                        }
                        VersionSelector::Channel(name) => {
                            format!("orbit {} has no channel {name}", setting.blueprint_id)
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
        self.check_orbit(setting, orbit).await
    }

    /// Checks whether `orbit` can run with the setting's spawner, and whether its axes have
    /// scripts. Returns the orbit, or the first fault.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn check_orbit(
        &self,
        setting: &EnhanceSetting,
        orbit: Arc<Blueprint>,
    ) -> Result<Result<Arc<Blueprint>, SettingFault>, StoreError> {
        let known = self.home().known_scripts().await?;
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

    /// Returns the state of the setting's orbit that a check of the setting depends on. Read it
    /// before the check: every later change is then detected.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or a stored form is damaged.
    pub async fn orbit_state(&self, setting: &EnhanceSetting) -> Result<CheckedOrbit, StoreError> {
        let orbit = &setting.blueprint_id;
        let shard = self.of(orbit);
        // What does not exist has the number 0, because `None` would match any later state.
        let channel_revision = match &setting.selector {
            VersionSelector::Channel(name) => {
                let channel = shard.channel(orbit, name).await?;
                Some(channel.map_or(0, |channel| channel.revision))
            }
            _ => None,
        };
        Ok(CheckedOrbit {
            seq: Some(shard.head_seq(orbit).await?.unwrap_or(0)),
            channel_revision,
        })
    }

    /// Returns true if the selector selects `document` once it is the orbit's head.
    pub(crate) async fn will_choose(
        &self,
        setting: &EnhanceSetting,
        document: &Blueprint,
    ) -> Result<bool, StoreError> {
        Ok(self.follower(setting).await?.will_choose(document))
    }

    /// Returns the setting with the data that decides whether it selects the next version of its
    /// orbit.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn follower(&self, setting: &EnhanceSetting) -> Result<Follower, StoreError> {
        let orbit = &setting.blueprint_id;
        let highest = match &setting.selector {
            VersionSelector::SemverReq(req) => {
                let labels = self.of(orbit).labels_for(orbit, req).await?;
                labels.highest.map(|(label, _)| label)
            }
            VersionSelector::Latest | VersionSelector::Fixed(_) | VersionSelector::Channel(_) => {
                None
            }
        };
        Ok(Follower {
            setting: setting.clone(),
            highest,
        })
    }
}

/// The state of an orbit that a setting was checked with. The default matches any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckedOrbit {
    /// The number of the orbit's newest commit.
    pub seq: Option<u64>,
    /// The revision of the channel that the setting follows.
    pub channel_revision: Option<u64>,
}

/// A setting with the version of its orbit to compare a new one with.
#[derive(Debug, Clone, PartialEq)]
pub struct Follower {
    /// The setting.
    pub setting: EnhanceSetting,
    /// The highest label that its requirement now selects; `None` without a match or without a
    /// requirement.
    pub highest: Option<Version>,
}

impl Follower {
    /// Returns true if the setting selects `document` once it is the head of its orbit.
    pub fn will_choose(&self, document: &Blueprint) -> bool {
        match &self.setting.selector {
            VersionSelector::Latest => true,
            VersionSelector::Fixed(version) => version == document.version(),
            VersionSelector::Channel(_) => false,
            VersionSelector::SemverReq(req) => {
                let label = document.version_label();
                let label = label.and_then(|label| Version::parse(label).ok());
                // Of equal precedence the newest commit counts, which this one will be.
                label.is_some_and(|label| {
                    let is_lower = |highest: &Version| label.cmp_precedence(highest).is_lt();
                    req.matches(&label) && !self.highest.as_ref().is_some_and(is_lower)
                })
            }
        }
    }
}
