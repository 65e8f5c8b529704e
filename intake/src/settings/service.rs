//! `SettingService`: writes, reads, lists and deletes settings.

use proto::v1;
use proto::v1::setting_service_server::SettingService;
use shared::blueprint::Blueprint;
use shared::domain::actor::Actor;
use shared::domain::bundled::DEFAULT_SETTING;
use shared::domain::setting::EnhanceSetting;
use shared::domain::version_selector::VersionSelector;
use shared::store::{
    CheckedOrbit, DeleteSettingOutcome, ExpectedHead, Page, PageRequest, PutSettingOutcome,
    SettingFault, Store,
};
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::blueprints::convert::commit_to_wire;
use crate::blueprints::service;
use crate::convert;
use crate::edge::auth_layer;
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;
use crate::orbit_trial::{self, Trial};
use crate::paging::PageQuery;
use crate::rpc::Rpc;
use crate::settings::convert::setting_to_wire;
use crate::settings::read_setting;

/// Number of attempts to write a setting whose orbit changes meanwhile. After the last one the call
/// fails.
const MAX_WRITES: u32 = 5;

/// The service. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Settings {
    backend: Backend,
}

impl Settings {
    /// Creates the service over `backend`.
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend }
    }

    async fn put(
        &self,
        request: v1::PutSettingRequest,
        actor: Actor,
    ) -> Result<v1::PutSettingResponse, RequestError> {
        let mut violations = Violations::default();
        let setting = violations.merge(read_setting::setting(request.setting));
        let format = service::document_format(request.orbit_format);
        let format = violations.check("orbit_format", format);
        let orbit = match &request.orbit_document {
            None => Some(None),
            Some(text) => violations
                .check(
                    "orbit_document",
                    Blueprint::parse_as(text, format.unwrap_or_default()),
                )
                .map(Some),
        };
        let orbit = orbit.filter(|_| format.is_some());
        let (Some(mut setting), Some(orbit)) = (setting, orbit) else {
            return Err(violations.into());
        };
        setting.updated_by = Some(actor.clone());

        if let Some(orbit) = orbit.as_ref().filter(|o| *o.id() != setting.blueprint_id) {
            return Err(RequestError::field(
                "orbit_document",
                format!(
                    "its id is {}, but setting.blueprint_id is {}",
                    orbit.id(),
                    setting.blueprint_id
                ),
            ));
        }

        let store = self.backend.store()?;
        // The orbit is written only if its head is still the present one. So of two concurrent
        // changes of a setting, the later one is refused before it writes anything.
        let head = match &orbit {
            None => ExpectedHead::Any,
            Some(orbit) => match store
                .of(orbit.id())
                .blueprint(orbit.id(), &VersionSelector::Latest)
                .await?
            {
                Some(found) => ExpectedHead::At(found.commit.version),
                None => ExpectedHead::Absent,
            },
        };
        // Read before the check, so that every later write to the orbit is detected.
        let mut checked = store.orbit_state(&setting).await?;
        let mut trial = check(store, &setting, orbit.as_ref(), request.expected_revision).await?;
        let mut orbit_commit = None;
        if let Some(orbit) = orbit {
            let rationale = format!("orbit of setting {}", setting.id);
            // The stored setting is not judged where the new one runs the document in its place.
            let takes_over = store.follower(&setting).await?.will_choose(&orbit);
            let id = takes_over.then_some(&setting.id);
            let written =
                crate::blueprints::write::write(store, &orbit, head, &rationale, &actor, id);
            let written = written.await.map_err(as_orbit_document)?;
            trial = trial.and(written.trial);
            checked.seq = Some(written.commit.seq);
            orbit_commit = Some(commit_to_wire(written.commit));
        }
        let expected = request.expected_revision;
        let put = write(store, &setting, checked, expected, &mut trial).await;
        let put = match put {
            Err(RequestError::Store(error)) if orbit_commit.is_some() => {
                Err(RequestError::StoreHalfway(error))
            }
            other => other,
        };
        let setting_id = setting.id.clone();
        match put? {
            PutSettingOutcome::Stored(stored) => {
                let (trial, trial_detail) = trial.into_wire();
                Ok(v1::PutSettingResponse {
                    setting: Some(setting_to_wire(*stored)),
                    orbit_commit,
                    trial,
                    trial_detail,
                })
            }
            PutSettingOutcome::RevisionMoved { actual } => {
                Err(RequestError::RevisionMoved { setting_id, actual })
            }
            PutSettingOutcome::UnknownOrbit => {
                Err(RequestError::OrbitNotFound(setting.blueprint_id))
            }
            PutSettingOutcome::ArchivedOrbit => {
                Err(RequestError::OrbitArchived(setting.blueprint_id))
            }
            PutSettingOutcome::OrbitMoved => {
                let orbit = store
                    .of(&setting.blueprint_id)
                    .summary(&setting.blueprint_id)
                    .await?;
                Err(RequestError::HeadMoved {
                    blueprint_id: setting.blueprint_id,
                    actual: orbit.map(|orbit| orbit.head),
                })
            }
        }
    }

    async fn delete(
        &self,
        request: v1::DeleteSettingRequest,
    ) -> Result<v1::DeleteSettingResponse, RequestError> {
        let setting_id = convert::setting_id(&request.setting_id)?;
        if setting_id.as_str() == DEFAULT_SETTING {
            return Err(RequestError::DefaultSetting);
        }
        match self.backend.store()?.delete_setting(&setting_id).await? {
            DeleteSettingOutcome::Deleted => Ok(v1::DeleteSettingResponse {}),
            DeleteSettingOutcome::UnknownSetting => Err(RequestError::SettingNotFound(setting_id)),
        }
    }

    async fn get(
        &self,
        request: v1::GetSettingRequest,
    ) -> Result<v1::GetSettingResponse, RequestError> {
        let setting_id = convert::setting_id(&request.setting_id)?;
        let setting = self.backend.store()?.home().setting(&setting_id).await?;
        let setting = setting.ok_or(RequestError::SettingNotFound(setting_id))?;
        Ok(v1::GetSettingResponse {
            setting: Some(setting_to_wire(setting)),
        })
    }

    async fn list(
        &self,
        request: v1::ListSettingsRequest,
    ) -> Result<v1::ListSettingsResponse, RequestError> {
        let query = PageQuery::parse(request.page_size, &request.page_token, "settings")?;
        let mut all = self.backend.store()?.home().list_settings().await?;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let (settings, next_page_token) = query
            .collect(setting_to_wire, |page| {
                std::future::ready(Ok(page_of(&all, &page)))
            })
            .await?;
        Ok(v1::ListSettingsResponse {
            settings,
            next_page_token,
        })
    }
}

/// Writes a setting that was checked against this state of its orbit. If the state has changed,
/// checks the setting against the new state and tries again.
async fn write(
    store: &Store,
    setting: &EnhanceSetting,
    mut checked: CheckedOrbit,
    expected_revision: Option<u64>,
    trial: &mut Trial,
) -> Result<PutSettingOutcome, RequestError> {
    for _ in 1..MAX_WRITES {
        let put = store.put_checked_setting(setting, expected_revision, checked);
        match put.await? {
            PutSettingOutcome::OrbitMoved => {}
            other => return Ok(other),
        }
        checked = store.orbit_state(setting).await?;
        *trial = check(store, setting, None, expected_revision).await?;
    }
    let put = store.put_checked_setting(setting, expected_revision, checked);
    Ok(put.await?)
}

/// Checks every reason to refuse the write, and has the orbit tried. This comes before any write,
/// because the orbit is written first. The write of the setting checks revision and orbit again.
async fn check(
    store: &Store,
    setting: &EnhanceSetting,
    orbit: Option<&Blueprint>,
    expected_revision: Option<u64>,
) -> Result<Trial, RequestError> {
    if let Some(expected) = expected_revision {
        let stored = store.home().setting(&setting.id).await?;
        let actual = stored.map_or(0, |stored| stored.revision);
        if actual != expected {
            return Err(RequestError::RevisionMoved {
                setting_id: setting.id.clone(),
                actual,
            });
        }
    }
    let blueprint_id = setting.blueprint_id.clone();
    let orbit_field = match orbit {
        Some(_) => "orbit_document",
        None => "setting.blueprint_id",
    };
    let fault = match store.check_setting(setting, orbit).await? {
        Ok(orbit) => {
            let tried = orbit_trial::try_orbit(store, orbit, setting).await;
            return tried.map_err(|problem| RequestError::SettingNotRunnable {
                field: orbit_field,
                blueprint_id,
                problem,
            });
        }
        Err(fault) => fault,
    };
    Err(match fault {
        SettingFault::UnknownOrbit => RequestError::OrbitNotFound(blueprint_id),
        SettingFault::ArchivedOrbit => RequestError::OrbitArchived(blueprint_id),
        SettingFault::NoVersion(problem) => RequestError::OrbitVersionNotFound {
            blueprint_id,
            problem,
        },
        SettingFault::Orbit(problem) => RequestError::SettingNotRunnable {
            field: orbit_field,
            blueprint_id,
            problem: problem.to_string(),
        },
        // A malformed agent definition is invalid whatever the store contains.
        SettingFault::Spawner(problem) if problem.is_malformed_agent() => {
            RequestError::field("setting.spawner", problem)
        }
        SettingFault::Spawner(problem) => RequestError::SettingNotRunnable {
            field: "setting.spawner",
            blueprint_id,
            problem: problem.to_string(),
        },
        SettingFault::UnknownAxes { unknown, known } => {
            RequestError::UnknownAxes { unknown, known }
        }
    })
}

/// Names the field `orbit_document` in the error of an orbit that another setting also uses.
fn as_orbit_document(error: RequestError) -> RequestError {
    match error {
        RequestError::NotRunnable {
            blueprint_id,
            problem,
        } => RequestError::SettingNotRunnable {
            field: "orbit_document",
            blueprint_id,
            problem,
        },
        other => other,
    }
}

/// Returns the items of a sorted list for `page`. The cursor is the last id of the previous page.
fn page_of(sorted: &[EnhanceSetting], page: &PageRequest) -> Page<EnhanceSetting> {
    let from = page.after.as_ref().map_or(0, |after| {
        sorted.partition_point(|s| s.id.as_str() <= after.as_str())
    });
    let to = sorted.len().min(from + page.size);
    let items = sorted[from..to].to_vec();
    let next = items
        .last()
        .filter(|_| to < sorted.len())
        .map(|last| last.id.to_string());
    Page { items, next }
}

#[tonic::async_trait]
impl SettingService for Settings {
    async fn put_setting(
        &self,
        request: Request<v1::PutSettingRequest>,
    ) -> Result<Response<v1::PutSettingResponse>, Status> {
        let actor = auth_layer::actor(request.extensions());
        let put = self.put(request.into_inner(), actor);
        self.backend.answer(Rpc::PutSetting, put).await
    }

    async fn get_setting(
        &self,
        request: Request<v1::GetSettingRequest>,
    ) -> Result<Response<v1::GetSettingResponse>, Status> {
        self.backend
            .answer(Rpc::GetSetting, self.get(request.into_inner()))
            .await
    }

    async fn list_settings(
        &self,
        request: Request<v1::ListSettingsRequest>,
    ) -> Result<Response<v1::ListSettingsResponse>, Status> {
        self.backend
            .answer(Rpc::ListSettings, self.list(request.into_inner()))
            .await
    }

    async fn delete_setting(
        &self,
        request: Request<v1::DeleteSettingRequest>,
    ) -> Result<Response<v1::DeleteSettingResponse>, Status> {
        self.backend
            .answer(Rpc::DeleteSetting, self.delete(request.into_inner()))
            .await
    }
}
