//! `SettingService`: how issues are worked on.

use proto::v1;
use proto::v1::setting_service_server::SettingService;
use shared::blueprint::Blueprint;
use shared::setting::EnhanceSetting;
use shared::store::{ExpectedHead, Page, PageRequest, PutSettingOutcome, Store};
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::page::PageQuery;
use crate::status::{RequestError, Violations};
use crate::{blueprint_service, convert};

/// The service. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Settings {
    backend: Backend,
}

impl Settings {
    /// A service over `backend`.
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend }
    }

    async fn put(
        &self,
        request: v1::PutSettingRequest,
    ) -> Result<v1::PutSettingResponse, RequestError> {
        let mut violations = Violations::default();
        let setting = violations.merge(convert::setting(request.setting));
        let orbit = match &request.orbit_document {
            None => Some(None),
            Some(text) => violations
                .check("orbit_document", Blueprint::parse(text))
                .map(Some),
        };
        let (Some(setting), Some(orbit)) = (setting, orbit) else {
            return Err(violations.into());
        };

        let store = self.backend.store()?;
        let mut orbit_commit = None;
        if let Some(orbit) = orbit {
            orbit_commit =
                Some(put_orbit(store, &setting, &orbit, request.expected_revision).await?);
        }
        let setting_id = setting.id.clone();
        match store
            .put_setting(&setting, request.expected_revision)
            .await?
        {
            PutSettingOutcome::Stored(stored) => Ok(v1::PutSettingResponse {
                setting: Some(convert::setting_to_wire(stored)),
                orbit_commit,
            }),
            PutSettingOutcome::RevisionMoved { actual } => {
                Err(RequestError::RevisionMoved { setting_id, actual })
            }
            PutSettingOutcome::UnknownOrbit => {
                Err(RequestError::OrbitNotFound(setting.blueprint_id))
            }
        }
    }

    async fn get(
        &self,
        request: v1::GetSettingRequest,
    ) -> Result<v1::GetSettingResponse, RequestError> {
        let setting_id = convert::setting_id(&request.setting_id)?;
        let setting = self.backend.store()?.setting(&setting_id).await?;
        let setting = setting.ok_or(RequestError::SettingNotFound(setting_id))?;
        Ok(v1::GetSettingResponse {
            setting: Some(convert::setting_to_wire(setting)),
        })
    }

    async fn list(
        &self,
        request: v1::ListSettingsRequest,
    ) -> Result<v1::ListSettingsResponse, RequestError> {
        let query = PageQuery::parse(request.page_size, &request.page_token, "settings")?;
        let mut all = self.backend.store()?.list_settings().await?;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let (settings, next_page_token) = query
            .collect(convert::setting_to_wire, |page| {
                std::future::ready(Ok(page_of(&all, &page)))
            })
            .await?;
        Ok(v1::ListSettingsResponse {
            settings,
            next_page_token,
        })
    }
}

/// Writes the orbit that came with a setting.
async fn put_orbit(
    store: &Store,
    setting: &EnhanceSetting,
    orbit: &Blueprint,
    expected_revision: Option<u64>,
) -> Result<v1::Commit, RequestError> {
    if *orbit.id() != setting.blueprint_id {
        return Err(RequestError::field(
            "orbit_document",
            format!(
                "its id is {}, but setting.blueprint_id is {}",
                orbit.id(),
                setting.blueprint_id
            ),
        ));
    }
    // The orbit is written first. A request that will be refused for its revision should not have
    // written one, so look at the revision here too; the write of the setting looks again.
    if let Some(expected) = expected_revision {
        let actual = store
            .setting(&setting.id)
            .await?
            .map_or(0, |stored| stored.revision);
        if actual != expected {
            return Err(RequestError::RevisionMoved {
                setting_id: setting.id.clone(),
                actual,
            });
        }
    }
    let rationale = format!("orbit of setting {}", setting.id);
    let (commit, _) = blueprint_service::write(store, orbit, ExpectedHead::Any, &rationale).await?;
    Ok(convert::commit_to_wire(commit))
}

/// The part of a sorted list that `page` asks for; its cursor is the last id of the page before.
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
        self.backend
            .answer("PutSetting", self.put(request.into_inner()))
            .await
    }

    async fn get_setting(
        &self,
        request: Request<v1::GetSettingRequest>,
    ) -> Result<Response<v1::GetSettingResponse>, Status> {
        self.backend
            .answer("GetSetting", self.get(request.into_inner()))
            .await
    }

    async fn list_settings(
        &self,
        request: Request<v1::ListSettingsRequest>,
    ) -> Result<Response<v1::ListSettingsResponse>, Status> {
        self.backend
            .answer("ListSettings", self.list(request.into_inner()))
            .await
    }

    async fn delete_setting(
        &self,
        _request: Request<v1::DeleteSettingRequest>,
    ) -> Result<Response<v1::DeleteSettingResponse>, Status> {
        self.backend.not_built("DeleteSetting").await
    }
}
