//! Writes a document, after checking it as an orbit.

use std::sync::Arc;

use futures::future::try_join_all;
use shared::blueprint::Blueprint;
use shared::domain::actor::Actor;
use shared::domain::commit::Commit;
use shared::domain::history::HistoryEntry;
use shared::domain::setting::EnhanceSetting;
use shared::fail_point;
use shared::ids::SettingId;
use shared::store::{
    ExpectedHead, Import, ImportOutcome, OrbitUse, PutOutcome, SettingFault, Store,
};

use crate::error::request_error::RequestError;
use crate::orbit_trial::{self, Trial};

/// Number of attempts to write a document while settings change.
const MAX_WRITES: u32 = 5;

/// The outcome of a write.
pub(crate) struct Written {
    /// The head's commit.
    pub(crate) commit: Commit,
    /// Whether this call made the commit.
    pub(crate) created: bool,
    /// The combined trial with the settings that use it as their orbit.
    pub(crate) trial: Trial,
}

/// Writes `blueprint` in a commit of `author`. If settings use it as their orbit, it is first
/// checked and tried with each of them. `except` is a setting of the same request, which was
/// checked before.
///
/// # Errors
/// The Blueprint is archived, its head is not the expected one, or it is an orbit that cannot run
/// or reach a decision.
pub(crate) async fn write(
    store: &Store,
    blueprint: &Blueprint,
    expected: ExpectedHead,
    rationale: &str,
    author: &Actor,
    except: Option<&SettingId>,
) -> Result<Written, RequestError> {
    let blueprint_id = || blueprint.id().clone();
    for _ in 0..MAX_WRITES {
        let (used, trial) = check_use(store, blueprint, except).await?;
        let put = store.put_checked_blueprint(blueprint, &expected, rationale, author, &used);
        let put = put.await?;
        fail_point::pass("put.after");
        let (commit, created) = match put {
            None => continue,
            Some(PutOutcome::Created(commit)) => (commit, true),
            Some(PutOutcome::Unchanged(commit)) => (commit, false),
            Some(PutOutcome::HeadMoved { actual }) => {
                return Err(RequestError::HeadMoved {
                    blueprint_id: blueprint_id(),
                    actual,
                });
            }
            Some(PutOutcome::Archived) => {
                return Err(RequestError::BlueprintArchived(blueprint_id()));
            }
            Some(PutOutcome::NotRunnable(problem)) => {
                return Err(RequestError::NotRunnable {
                    blueprint_id: blueprint_id(),
                    problem,
                });
            }
        };
        return Ok(Written {
            commit,
            created,
            trial,
        });
    }
    let head = store.of(blueprint.id()).summary(blueprint.id()).await?;
    Err(RequestError::HeadMoved {
        blueprint_id: blueprint_id(),
        actual: head.map(|head| head.head),
    })
}

/// Checks and tries a document with each setting that would run it as the new head of its
/// Blueprint. `except` is a setting that was checked before.
///
/// # Errors
/// A setting cannot run it, or its flow reaches no decision.
async fn check_use(
    store: &Store,
    blueprint: &Blueprint,
    except: Option<&SettingId>,
) -> Result<(OrbitUse, Trial), RequestError> {
    let used = store.orbit_use(blueprint).await?;
    let settings = used.settings.iter();
    let settings = settings.filter(|setting| Some(&setting.id) != except);
    let judged = settings.map(async |setting| {
        let checked = store.check_setting(setting, Some(blueprint)).await?;
        let judged = judge(store, checked, setting).await;
        judged.map_err(|problem| RequestError::NotRunnable {
            blueprint_id: blueprint.id().clone(),
            problem,
        })
    });
    let trials = try_join_all(judged).await?;
    let trial = trials.into_iter().fold(Trial::Nothing, Trial::and);
    Ok((used, trial))
}

/// Ends an import whose newest entry is `head`. One that replaces an orbit is first checked as a
/// write of that orbit.
///
/// # Errors
/// It is an orbit that cannot run or reach a decision.
pub(crate) async fn finish_import(
    store: &Store,
    import: &Import,
    head: &HistoryEntry,
) -> Result<ImportOutcome, RequestError> {
    if !import.is_replacement() {
        return Ok(import.finish().await?);
    }
    let version = &head.commit.version;
    let blueprint = Blueprint::from_canonical(version, &head.document)
        .map_err(|error| RequestError::field("document_yaml", error))?;
    for _ in 0..MAX_WRITES {
        let (used, _) = check_use(store, &blueprint, None).await?;
        match store.finish_replacement(import, &used).await? {
            ImportOutcome::OrbitInUse => continue,
            outcome => return Ok(outcome),
        }
    }
    Ok(ImportOutcome::OrbitInUse)
}

/// Has a worker try an orbit that was checked with `setting`. `Err` is the reason for which the
/// setting cannot run it, or for which its flow reaches no decision.
pub(crate) async fn judge(
    store: &Store,
    checked: Result<Arc<Blueprint>, SettingFault>,
    setting: &EnhanceSetting,
) -> Result<Trial, String> {
    let judged = match checked {
        Ok(orbit) => orbit_trial::try_orbit(store, orbit, setting).await,
        Err(SettingFault::Orbit(why) | SettingFault::Spawner(why)) => Err(why.to_string()),
        // Not caused by the version: the setting had this fault before.
        Err(
            SettingFault::UnknownOrbit
            | SettingFault::ArchivedOrbit
            | SettingFault::NoVersion(_)
            | SettingFault::UnknownAxes { .. },
        ) => Ok(Trial::Nothing),
    };
    judged.map_err(|problem| format!("with the setting {}: {problem}", setting.id))
}
