//! `EnhanceLogService`: the decision of each issue and its reasons.

use proto::v1;
use proto::v1::enhance_log_service_server::EnhanceLogService;
use shared::store::LogFilter;
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::convert;
use crate::error::request_error::RequestError;
use crate::log::activity;
use crate::log::convert::entry_to_wire;
use crate::paging::PageQuery;
use crate::rpc::Rpc;

/// The service. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct EnhanceLog {
    backend: Backend,
}

impl EnhanceLog {
    /// Creates the service over `backend`.
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend }
    }

    async fn get(
        &self,
        request: v1::GetLogEntryRequest,
    ) -> Result<v1::GetLogEntryResponse, RequestError> {
        let issue_id = convert::issue_id(&request.issue_id)?;
        let entry = self.backend.store()?.log_entry(&issue_id).await?;
        let entry = entry.ok_or(RequestError::LogEntryNotFound(issue_id))?;
        Ok(v1::GetLogEntryResponse {
            entry: Some(entry_to_wire(entry)),
        })
    }

    async fn list(
        &self,
        request: v1::ListLogEntriesRequest,
    ) -> Result<v1::ListLogEntriesResponse, RequestError> {
        let given = request.submitted_by.as_deref();
        let filter = LogFilter {
            blueprint_id: convert::blueprint_filter(request.blueprint_id.as_deref())?,
            submitted_by: convert::optional_actor("submitted_by", given)?,
            id_part: convert::issue_id_part(request.issue_id_part.as_deref())?,
        };
        let newest_first = request.newest_first;
        let list = format!("log {filter:?} {newest_first}");
        let filter = &filter;
        let query = PageQuery::parse(request.page_size, &request.page_token, &list)?;
        let store = self.backend.store()?;
        let (entries, next_page_token) = query
            .collect(entry_to_wire, |page| async move {
                Ok(store.list_log_entries(filter, newest_first, &page).await?)
            })
            .await?;
        Ok(v1::ListLogEntriesResponse {
            entries,
            next_page_token,
        })
    }
}

#[tonic::async_trait]
impl EnhanceLogService for EnhanceLog {
    async fn get_log_entry(
        &self,
        request: Request<v1::GetLogEntryRequest>,
    ) -> Result<Response<v1::GetLogEntryResponse>, Status> {
        self.backend
            .answer(Rpc::GetLogEntry, self.get(request.into_inner()))
            .await
    }

    async fn get_activity(
        &self,
        request: Request<v1::GetActivityRequest>,
    ) -> Result<Response<v1::GetActivityResponse>, Status> {
        let request = request.into_inner();
        self.backend
            .answer(Rpc::GetActivity, activity::get(&self.backend, request))
            .await
    }

    async fn list_log_entries(
        &self,
        request: Request<v1::ListLogEntriesRequest>,
    ) -> Result<Response<v1::ListLogEntriesResponse>, Status> {
        self.backend
            .answer(Rpc::ListLogEntries, self.list(request.into_inner()))
            .await
    }
}
