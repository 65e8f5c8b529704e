//! Has a worker try an orbit before the orbit, or a setting that uses it, is written.
//!
//! The worker receives the documents that are about to be written, not the stored ones. A trial
//! costs as much as a preview and takes a few seconds at most. If no worker answers, the write is
//! accepted, and the response reports that the orbit was not tried.

use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use shared::blueprint::Blueprint;
use shared::domain::preview::{OrbitTrial, PreviewAnswer};
use shared::domain::setting::EnhanceSetting;
use shared::error::chain;
use shared::ids::IssueId;
use shared::store::{PreviewRequestOutcome, Store, StoreError};

use crate::error::request_error::RequestError;
use crate::issues::preview::Awaited;

/// Time limit of a trial. The worker itself takes at most two seconds.
const TIME_LIMIT: Duration = Duration::from_secs(4);

/// The outcome of the trial of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trial {
    /// Nothing to try.
    Nothing,
    /// The flow reached a decision.
    Passed,
    /// The orbit was not tried, for this reason.
    NotTried(String),
}

impl Trial {
    /// Combines two trials of one write. `NotTried` wins over `Passed`, and `Passed` over
    /// `Nothing`.
    pub(crate) fn and(self, other: Trial) -> Trial {
        match (self, other) {
            (Trial::NotTried(why), _) | (_, Trial::NotTried(why)) => Trial::NotTried(why),
            (Trial::Nothing, other) => other,
            (passed, _) => passed,
        }
    }

    /// Returns the outcome and the reason of `NotTried`, as in a response.
    pub(crate) fn into_wire(self) -> (i32, String) {
        match self {
            Trial::Nothing => (v1::Trial::Unspecified.into(), String::new()),
            Trial::Passed => (v1::Trial::Passed.into(), String::new()),
            Trial::NotTried(why) => (v1::Trial::NotTried.into(), why),
        }
    }
}

/// Has a worker run `orbit` as `setting` would. `Err` is the reason for which the flow reaches no
/// decision.
///
/// Cancel safety: a dropped call withdraws its request, and a worker that runs it stops.
pub(crate) async fn try_orbit(
    store: &Store,
    orbit: Arc<Blueprint>,
    setting: &EnhanceSetting,
) -> Result<Trial, String> {
    let trial = OrbitTrial {
        orbit,
        setting: setting.clone(),
    };
    let answer = match ask(store, &trial).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => return Ok(Trial::NotTried(why)),
        // The write that follows returns the error of Redis.
        Err(error) => return Ok(Trial::NotTried(chain(&error))),
    };
    match answer {
        PreviewAnswer::Failed { reason } => Err(reason),
        PreviewAnswer::Fault { problem, .. } => Ok(Trial::NotTried(problem)),
        PreviewAnswer::Decided(_) => Ok(Trial::Passed),
        PreviewAnswer::UnknownTarget | PreviewAnswer::Archived | PreviewAnswer::TooLarge { .. } => {
            Ok(Trial::NotTried(
                "the worker answered with a preview".to_owned(),
            ))
        }
    }
}

/// Returns the worker's answer, or the reason why none was requested.
async fn ask(
    store: &Store,
    trial: &OrbitTrial,
) -> Result<Result<PreviewAnswer, String>, StoreError> {
    const NO_WORKER: &str = "no worker is running";
    let home = store.home();
    let id = IssueId::generate();
    if home.look_for_preview(&id).await?.n_workers == 0
        && store.queue_stats().await?.workers.is_empty()
    {
        return Ok(Err(NO_WORKER.to_owned()));
    }
    let ticket = match home.request_trial(&id, trial, TIME_LIMIT).await? {
        PreviewRequestOutcome::Waits(ticket) => ticket,
        PreviewRequestOutcome::TooMany => {
            return Ok(Err("too many previews are waiting".to_owned()));
        }
        PreviewRequestOutcome::MemoryFull { .. } => {
            return Ok(Err("Redis has too little memory left for it".to_owned()));
        }
        // Unreachable: a trial is requested with the authority of an admin.
        PreviewRequestOutcome::OrbitNeedsAdmin { setting_id } => {
            return Ok(Err(format!(
                "it is the orbit of {setting_id:?} and needs an admin"
            )));
        }
    };
    let awaited = Awaited::new(home.clone(), ticket);
    match awaited.answer(&id, TIME_LIMIT).await {
        Ok(answer) => Ok(Ok(answer)),
        Err(RequestError::NoWorker) => Ok(Err(NO_WORKER.to_owned())),
        Err(RequestError::PreviewLate { waited }) => Ok(Err(format!(
            "no worker answered within {} s",
            waited.as_secs()
        ))),
        Err(RequestError::Store(error)) => Err(error),
        Err(other) => Ok(Err(chain(&other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_trials_the_one_that_says_least_counts() {
        let not = || Trial::NotTried("why".to_owned());
        for (one, other, both) in [
            (Trial::Nothing, Trial::Nothing, Trial::Nothing),
            (Trial::Nothing, Trial::Passed, Trial::Passed),
            (Trial::Passed, Trial::Passed, Trial::Passed),
            (Trial::Passed, not(), not()),
            (Trial::Nothing, not(), not()),
        ] {
            assert_eq!(one.clone().and(other.clone()), both);
            assert_eq!(other.and(one), both);
        }
    }
}
