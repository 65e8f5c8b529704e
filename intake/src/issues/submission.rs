//! Stores a new or retried issue, and repeats the call during a short outage of Redis.
//!
//! Repeating is safe because the issue keeps its id. If the answer to a first call is lost, the
//! second call returns the issue that the first one stored.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use shared::domain::issue::{Caller, IssueState, NewIssue};
use shared::domain::trace_parent::TraceParent;
use shared::fail_point;
use shared::ids::IssueId;
use shared::store::{Store, StoreError, SubmitOutcome};
use tokio::time::{Instant, sleep, timeout_at};

use crate::backend::{Backend, no_issue};
use crate::error::request_error::{Executed, RequestError};

/// How long a submission is repeated.
const RETRY_WITHIN: Duration = Duration::from_secs(5);
/// The pauses between two calls.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(25))
    .with_max_delay(Duration::from_millis(500))
    .without_max_times();

/// Submits `issue`, and repeats the call for up to 5 seconds while Redis is unavailable.
///
/// # Errors
/// [`RequestError::SubmitUndecided`] after that time; it includes whether the issue is certainly
/// not stored. Any other error of the store is returned at once.
///
/// Cancel safety: a dropped call may or may not have stored the issue.
pub(crate) async fn submit(
    backend: &Backend,
    issue: &NewIssue,
) -> Result<SubmitOutcome, RequestError> {
    let deadline = Instant::now() + RETRY_WITHIN;
    submit_until(backend, issue, deadline).await
}

/// Submits the rejected issue `issue_id` again as `new_id`, whose `retry_of` names it. Actor and
/// authority are those of this caller, not those of the first submitter. Also returns the submitted
/// issue.
///
/// # Errors
/// [`RequestError::IssueNotRejected`], [`RequestError::IssueNotFound`] or
/// [`RequestError::IssueGone`]; else as [`submit`].
///
/// Cancel safety: as [`submit`].
pub(crate) async fn retry(
    backend: &Backend,
    issue_id: &IssueId,
    new_id: IssueId,
    caller: Caller,
    trace: Option<TraceParent>,
) -> Result<(NewIssue, SubmitOutcome), RequestError> {
    let deadline = Instant::now() + RETRY_WITHIN;
    let read = |store: Store| async move {
        match store.issue(issue_id).await? {
            Some(found) => Ok(Ok(found)),
            None => Ok(Err(no_issue(&store, issue_id.clone()).await)),
        }
    };
    let old = retry_until(backend, &new_id, deadline, Executed::No, read).await??;
    // A rejected issue stays rejected and its content never changes, so this check cannot become
    // stale.
    if old.state != IssueState::Rejected {
        return Err(RequestError::IssueNotRejected {
            issue_id: issue_id.clone(),
            state: old.state,
        });
    }
    let issue = NewIssue::new(new_id, old.blueprint_id, old.intent, Some(old.issue_id))
        .map_err(|error| RequestError::field("issue_id", error))?
        .on_authority(caller.authority)
        .submitted_by(caller.actor)
        .with_trace(trace);
    let outcome = submit_until(backend, &issue, deadline).await?;
    Ok((issue, outcome))
}

async fn submit_until(
    backend: &Backend,
    issue: &NewIssue,
    deadline: Instant,
) -> Result<SubmitOutcome, RequestError> {
    let submit = |store: Store| async move {
        let submitted = store.submit(issue).await;
        fail_point::pass("submit.after");
        submitted
    };
    retry_until(
        backend,
        issue.issue_id(),
        deadline,
        Executed::Unknown,
        submit,
    )
    .await
}

/// Repeats `call` until it returns or `deadline` passes. `cut_off` is the value of
/// [`RequestError::SubmitUndecided`] for a call that was sent and not answered.
async fn retry_until<T, F: Future<Output = Result<T, StoreError>>>(
    backend: &Backend,
    new_id: &IssueId,
    deadline: Instant,
    cut_off: Executed,
    call: impl Fn(Store) -> F,
) -> Result<T, RequestError> {
    let mut executed = Executed::No;
    let mut source = None;
    // The loop ends only at the deadline, while it waits or between two attempts.
    for pause in PAUSES.build() {
        let Ok(store) = timeout_at(deadline, backend.store_when_ready()).await else {
            break;
        };
        match timeout_at(deadline, call(store.clone())).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if !error.is_retryable() => return Err(error.into()),
            Ok(Err(error)) => {
                if !error.certainly_not_executed() {
                    executed = cut_off;
                }
                source = Some(error);
            }
            // The call was cut off while it waited: Redis may have received the command.
            Err(_) => executed = cut_off,
        }
        if Instant::now() + pause >= deadline {
            break;
        }
        sleep(pause).await;
    }
    Err(RequestError::SubmitUndecided {
        issue_id: new_id.clone(),
        executed,
        source,
    })
}
