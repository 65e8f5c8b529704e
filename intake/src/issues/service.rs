//! `IntakeService`: submits, reads, watches, cancels, retries and previews issues; pauses the
//! queue.

use std::pin::Pin;

use futures::Stream;
use proto::v1;
use proto::v1::intake_service_server::IntakeService;
use shared::domain::issue::{Caller, NewIssue};
use shared::domain::trace_parent::TraceParent;
use shared::fail_point;
use shared::ids::BlueprintId;
use shared::store::{CancelOutcome, IssueFilter, Store, SubmitOutcome};
use shared::telemetry::trace;
use tonic::{Request, Response, Status};

use crate::backend::{Backend, no_issue};
use crate::convert;
use crate::edge::auth_layer;
use crate::error::request_error::RequestError;
use crate::issues::convert::{
    cause_filter, issue_to_wire, new_issue, paused_blueprint, retry, state_filter, stats_to_wire,
};
use crate::issues::watch::{self, Hub, Include};
use crate::issues::{preview, review, submission, understanding, waiting};
use crate::paging::PageQuery;
use crate::rpc::Rpc;
use crate::watching::lifetime::WatchLimits;

/// The service. Cloning is cheap; all clones share one hub.
#[derive(Clone)]
pub(crate) struct Intake {
    backend: Backend,
    hub: Hub,
    limits: WatchLimits,
}

impl Intake {
    /// Creates the service over `backend`. The limits apply to watch streams.
    pub(crate) fn new(backend: Backend, hub: Hub, limits: WatchLimits) -> Self {
        Self {
            backend,
            hub,
            limits,
        }
    }

    async fn submit(
        &self,
        request: v1::SubmitIssueRequest,
        caller: Caller,
        callers_trace: Option<TraceParent>,
    ) -> Result<v1::SubmitIssueResponse, RequestError> {
        let must_be_understood = request.must_be_understood;
        let (issue, generated) = new_issue(request)?;
        if must_be_understood {
            understanding::check(&self.backend, &issue).await?;
        }
        // The caller's trace is passed on even if this process records no traces.
        let issue = issue
            .on_authority(caller.authority)
            .submitted_by(caller.actor)
            .with_trace(trace::current().or(callers_trace));
        let outcome = submission::submit(&self.backend, &issue).await?;
        let (stored, existed) = accepted(&issue, outcome)?;
        Ok(v1::SubmitIssueResponse {
            issue: Some(stored),
            // Only this call can have stored an id that was generated for it.
            already_existed: existed && !generated,
        })
    }

    async fn retry(
        &self,
        request: v1::RetryIssueRequest,
        caller: Caller,
        callers_trace: Option<TraceParent>,
    ) -> Result<v1::RetryIssueResponse, RequestError> {
        let (issue_id, new_id) = retry(&request)?;
        let (issue, outcome) = submission::retry(
            &self.backend,
            &issue_id,
            new_id,
            caller,
            trace::current().or(callers_trace),
        )
        .await?;
        let (stored, _existed) = accepted(&issue, outcome)?;
        Ok(v1::RetryIssueResponse {
            issue: Some(stored),
        })
    }

    async fn get(
        &self,
        request: v1::GetIssueRequest,
    ) -> Result<v1::GetIssueResponse, RequestError> {
        let issue_id = convert::issue_id(&request.issue_id)?;
        let store = self.backend.store()?;
        let Some(issue) = store.issue(&issue_id).await? else {
            return Err(no_issue(store, issue_id).await);
        };
        let waiting = waiting::read(store, &issue).await?;
        Ok(v1::GetIssueResponse {
            issue: Some(waiting::issue_to_wire(issue, waiting.as_ref())),
        })
    }

    async fn list(
        &self,
        request: v1::ListIssuesRequest,
    ) -> Result<v1::ListIssuesResponse, RequestError> {
        let filter = IssueFilter {
            blueprint_id: convert::blueprint_filter(request.blueprint_id.as_deref())?,
            state: state_filter(request.state)?,
            cause: cause_filter(request.cause)?,
            submitted_by: convert::optional_actor("submitted_by", request.submitted_by.as_deref())?,
            id_part: convert::issue_id_part(request.issue_id_part.as_deref())?,
            dead_only: request.dead_only,
        };
        let query = PageQuery::parse(
            request.page_size,
            &request.page_token,
            &format!("issues {filter:?}"),
        )?;
        let (store, filter) = (self.backend.store()?, &filter);
        let (issues, next_page_token) = query
            .collect(issue_to_wire, |page| async move {
                Ok(store.list_issues(filter, &page).await?)
            })
            .await?;
        Ok(v1::ListIssuesResponse {
            issues,
            next_page_token,
        })
    }

    async fn cancel(
        &self,
        request: v1::CancelIssueRequest,
        caller: Caller,
    ) -> Result<v1::CancelIssueResponse, RequestError> {
        let issue_id = convert::issue_id(&request.issue_id)?;
        let store = self.backend.store()?;
        let cancelled = store.cancel_issue(&issue_id, caller).await?;
        fail_point::pass("cancel.after");
        match cancelled {
            CancelOutcome::Cancelled(issue) => Ok(v1::CancelIssueResponse {
                issue: Some(issue_to_wire(issue)),
            }),
            CancelOutcome::Decided(issue) => Err(RequestError::IssueDecided {
                issue_id,
                state: issue.state,
            }),
            CancelOutcome::NotFound => Err(no_issue(store, issue_id).await),
            CancelOutcome::OrbitNeedsAdmin {
                blueprint_id,
                setting_id,
            } => Err(RequestError::OrbitNeedsAdmin {
                blueprint_id,
                setting_id,
            }),
        }
    }

    async fn pause(
        &self,
        request: v1::PauseQueueRequest,
        caller: Caller,
    ) -> Result<v1::PauseQueueResponse, RequestError> {
        let blueprint_id = paused_blueprint(request.blueprint_id.as_deref())?;
        let store = self.backend.store()?;
        let known = store
            .pause_queue(blueprint_id.as_ref(), &caller.actor)
            .await?;
        check_known(known, blueprint_id)?;
        Ok(v1::PauseQueueResponse {
            stats: Some(paused_stats(store).await?),
        })
    }

    async fn resume(
        &self,
        request: v1::ResumeQueueRequest,
    ) -> Result<v1::ResumeQueueResponse, RequestError> {
        let blueprint_id = paused_blueprint(request.blueprint_id.as_deref())?;
        let store = self.backend.store()?.clone();
        // Runs in its own task: a dropped call must not leave half of the queues parked.
        let resuming = tokio::spawn(async move {
            // The first step lifts the pause; the later steps may fail.
            let resumed = store.resume_queue(blueprint_id.as_ref()).await;
            let known = resumed.map_err(RequestError::StoreHalfway)?;
            check_known(known, blueprint_id)?;
            Ok(v1::ResumeQueueResponse {
                stats: Some(paused_stats(&store).await?),
            })
        });
        // Only the shutdown of the server cancels the task.
        resuming.await.unwrap_or(Err(RequestError::ShuttingDown))
    }

    async fn stats(&self) -> Result<v1::GetQueueStatsResponse, RequestError> {
        Ok(stats_to_wire(self.backend.store()?.queue_stats().await?))
    }
}

/// Returns the queue statistics after a pause or its end, which has happened even if this read
/// fails.
async fn paused_stats(store: &Store) -> Result<v1::GetQueueStatsResponse, RequestError> {
    let stats = store.queue_stats().await;
    stats.map(stats_to_wire).map_err(RequestError::StoreHalfway)
}

/// Returns the stored issue, and whether it existed before.
fn accepted(issue: &NewIssue, outcome: SubmitOutcome) -> Result<(v1::Issue, bool), RequestError> {
    let issue_id = || issue.issue_id().clone();
    let blueprint_id = || issue.blueprint_id().clone();
    match outcome {
        SubmitOutcome::Accepted(stored) => Ok((issue_to_wire(stored), false)),
        SubmitOutcome::Existed(stored) => Ok((issue_to_wire(stored), true)),
        SubmitOutcome::Conflict => Err(RequestError::IssueTaken(issue_id())),
        SubmitOutcome::Pruned => Err(RequestError::IssuePruned(issue_id())),
        SubmitOutcome::UnknownTarget => Err(RequestError::BlueprintNotFound(blueprint_id())),
        SubmitOutcome::Archived => Err(RequestError::BlueprintArchived(blueprint_id())),
        SubmitOutcome::OrbitNeedsAdmin { setting_id } => Err(RequestError::OrbitNeedsAdmin {
            blueprint_id: blueprint_id(),
            setting_id,
        }),
        SubmitOutcome::MemoryFull { used, max } => Err(RequestError::MemoryFull { used, max }),
    }
}

fn check_known(known: bool, blueprint_id: Option<BlueprintId>) -> Result<(), RequestError> {
    match blueprint_id {
        Some(id) if !known => Err(RequestError::BlueprintNotFound(id)),
        _ => Ok(()),
    }
}

type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchIssueResponse, Status>> + Send>>;

#[tonic::async_trait]
impl IntakeService for Intake {
    type WatchIssueStream = WatchStream;

    async fn submit_issue(
        &self,
        request: Request<v1::SubmitIssueRequest>,
    ) -> Result<Response<v1::SubmitIssueResponse>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let callers_trace = auth_layer::traceparent(metadata.as_ref());
        let submitting = self.submit(message, auth_layer::caller(&extensions), callers_trace);
        self.backend.answer(Rpc::SubmitIssue, submitting).await
    }

    async fn get_issue(
        &self,
        request: Request<v1::GetIssueRequest>,
    ) -> Result<Response<v1::GetIssueResponse>, Status> {
        self.backend
            .answer(Rpc::GetIssue, self.get(request.into_inner()))
            .await
    }

    async fn list_issues(
        &self,
        request: Request<v1::ListIssuesRequest>,
    ) -> Result<Response<v1::ListIssuesResponse>, Status> {
        self.backend
            .answer(Rpc::ListIssues, self.list(request.into_inner()))
            .await
    }

    async fn watch_issue(
        &self,
        request: Request<v1::WatchIssueRequest>,
    ) -> Result<Response<Self::WatchIssueStream>, Status> {
        let watching = async {
            let request = request.get_ref();
            let issue_id = convert::issue_id(&request.issue_id)?;
            let include = Include {
                steps: request.include_steps,
                waiting: request.include_waiting,
            };
            let limits = self.limits.clone();
            let stream = watch::watch(&self.hub, &self.backend, issue_id, include, limits);
            Ok(Box::pin(stream.await?) as WatchStream)
        };
        self.backend.answer(Rpc::WatchIssue, watching).await
    }

    async fn cancel_issue(
        &self,
        request: Request<v1::CancelIssueRequest>,
    ) -> Result<Response<v1::CancelIssueResponse>, Status> {
        let caller = auth_layer::caller(request.extensions());
        let cancelling = self.cancel(request.into_inner(), caller);
        self.backend.answer(Rpc::CancelIssue, cancelling).await
    }

    async fn get_queue_stats(
        &self,
        _request: Request<v1::GetQueueStatsRequest>,
    ) -> Result<Response<v1::GetQueueStatsResponse>, Status> {
        self.backend.answer(Rpc::GetQueueStats, self.stats()).await
    }

    async fn retry_issue(
        &self,
        request: Request<v1::RetryIssueRequest>,
    ) -> Result<Response<v1::RetryIssueResponse>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let callers_trace = auth_layer::traceparent(metadata.as_ref());
        let retrying = self.retry(message, auth_layer::caller(&extensions), callers_trace);
        self.backend.answer(Rpc::RetryIssue, retrying).await
    }

    async fn get_proposal(
        &self,
        request: Request<v1::GetProposalRequest>,
    ) -> Result<Response<v1::GetProposalResponse>, Status> {
        let getting = async { review::get(self.backend.store()?, request.into_inner()).await };
        self.backend.answer(Rpc::GetProposal, getting).await
    }

    async fn approve_issue(
        &self,
        request: Request<v1::ApproveIssueRequest>,
    ) -> Result<Response<v1::ApproveIssueResponse>, Status> {
        let reviewer = auth_layer::reviewer(request.extensions());
        let approving =
            async { review::approve(self.backend.store()?, request.into_inner(), reviewer).await };
        self.backend.answer(Rpc::ApproveIssue, approving).await
    }

    async fn decline_issue(
        &self,
        request: Request<v1::DeclineIssueRequest>,
    ) -> Result<Response<v1::DeclineIssueResponse>, Status> {
        let reviewer = auth_layer::actor(request.extensions());
        let declining =
            async { review::decline(self.backend.store()?, request.into_inner(), &reviewer).await };
        self.backend.answer(Rpc::DeclineIssue, declining).await
    }

    async fn preview_issue(
        &self,
        request: Request<v1::PreviewIssueRequest>,
    ) -> Result<Response<v1::PreviewIssueResponse>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let time_limit = preview::client_deadline(&metadata);
        let authority = auth_layer::authority(&extensions);
        let callers_trace = auth_layer::traceparent(metadata.as_ref());
        // Read inside the future, where the span of the call is current.
        let previewing = async {
            let trace = trace::current().or(callers_trace);
            preview::preview(&self.backend, message, time_limit, authority, trace).await
        };
        self.backend.answer(Rpc::PreviewIssue, previewing).await
    }

    async fn pause_queue(
        &self,
        request: Request<v1::PauseQueueRequest>,
    ) -> Result<Response<v1::PauseQueueResponse>, Status> {
        let caller = auth_layer::caller(request.extensions());
        let pausing = self.pause(request.into_inner(), caller);
        self.backend.answer(Rpc::PauseQueue, pausing).await
    }

    async fn resume_queue(
        &self,
        request: Request<v1::ResumeQueueRequest>,
    ) -> Result<Response<v1::ResumeQueueResponse>, Status> {
        self.backend
            .answer(Rpc::ResumeQueue, self.resume(request.into_inner()))
            .await
    }
}
