//! Handing an issue to the store, with the patience for a Redis that is away for a moment.
//!
//! Repeating is safe because the issue keeps its id: a first call whose answer got lost is
//! answered by the second with the issue that it stored.

use std::time::Duration;

use shared::fail_point;
use shared::issue::NewIssue;
use shared::store::SubmitOutcome;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backend::Backend;
use crate::status::{Executed, RequestError};

/// How long a submission is repeated.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Submits `issue`, again and again for up to 5 seconds while Redis is away.
///
/// # Errors
/// [`RequestError::SubmitUndecided`] after that time, which says whether the issue is certainly
/// not stored; any other error of the store at once.
///
/// Cancel safety: a dropped call may or may not have stored the issue.
pub(crate) async fn submit(
    backend: &Backend,
    issue: &NewIssue,
) -> Result<SubmitOutcome, RequestError> {
    let deadline = Instant::now() + PATIENCE;
    let mut executed = Executed::No;
    let mut source = None;
    let mut pause = FIRST_PAUSE;
    // Out of the loop by the deadline only: while it waits, or between two attempts.
    while let Ok(store) = timeout_at(deadline, backend.store_when_ready()).await {
        let submitted = timeout_at(deadline, store.submit(issue)).await;
        fail_point::pass("submit.after");
        match submitted {
            Ok(Ok(outcome)) => return Ok(outcome),
            Ok(Err(error)) if !error.is_retryable() => return Err(error.into()),
            Ok(Err(error)) => {
                if !error.certainly_not_executed() {
                    executed = Executed::Unknown;
                }
                source = Some(error);
            }
            // Cut off while it waited: the command may be on its way.
            Err(_) => executed = Executed::Unknown,
        }
        if Instant::now() + pause >= deadline {
            break;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Err(RequestError::SubmitUndecided {
        issue_id: issue.issue_id().clone(),
        executed,
        source,
    })
}
