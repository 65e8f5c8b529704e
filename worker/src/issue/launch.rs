//! A setting with its compiled orbit, and the run of its flow. Dispatches and previews share it.

use std::sync::Arc;
use std::time::Duration;

use shared::blueprint::Blueprint;
use shared::domain::commit::Epoch;
use shared::domain::setting::EnhanceSetting;
use shared::error::chain;
use shared::fail_point;
use shared::ids::{BlueprintId, SettingId};
use shared::store::{IssueRef, Store, StoreError};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::flow::{FlowError, FlowHost, FlowInput, Memory, Orbit, RunOutcome};

/// The reason why an issue cannot be launched. All tasks that wait for the same launch receive the
/// same error.
#[derive(Debug, Clone, Error)]
pub(crate) enum LaunchError {
    /// The setting does not exist.
    #[error("setting {0} does not exist; write it or set DRAFTSMAN_SETTING to one that does")]
    NoSetting(SettingId),
    /// The orbit, or the selected version of it, does not exist.
    #[error(
        "orbit {0} of setting {1} has no such version; look at the setting's blueprint_id and selector"
    )]
    NoOrbit(BlueprintId, SettingId),
    /// The setting has neither verifier axes nor `no_verification: true`.
    #[error(
        "setting {0} has no verifier_axes and does not set no_verification: true; set one of the two"
    )]
    Unverified(SettingId),
    /// The orbit is not usable.
    #[error(transparent)]
    Flow(Arc<FlowError>),
    /// The store failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

impl From<StoreError> for LaunchError {
    fn from(error: StoreError) -> LaunchError {
        LaunchError::Store(Arc::new(error))
    }
}

/// A setting with its compiled orbit.
pub(crate) struct Launch {
    pub(crate) setting: EnhanceSetting,
    pub(crate) orbit: Orbit,
    /// The settings that may select a newer version of their orbit.
    pub(super) followers: Arc<Vec<EnhanceSetting>>,
}

impl Launch {
    /// Returns the input of a run for an issue or a preview on the head `prev`. The attempt started
    /// at `started_at_ms`, in Redis time.
    pub(crate) fn input(
        &self,
        issue: IssueRef,
        intent: String,
        prev: Arc<Blueprint>,
        started_at_ms: u64,
        memory: Memory,
    ) -> FlowInput {
        FlowInput {
            epoch: Epoch {
                blueprint_id: issue.blueprint_id.clone(),
                start_version: prev.version().clone(),
                started_at_ms,
            },
            issue_id: issue.issue_id,
            blueprint_id: issue.blueprint_id,
            intent,
            prev,
            verifiers: self.setting.verifier_axes.clone(),
            time_limit: Duration::from_secs(self.setting.ttl_secs),
            orbit_of: Vec::new(),
            stored_patch: None,
            steps: None,
            memory: Some(memory),
        }
    }

    /// Runs the flow once, under the time limit of the setting. Writes nothing.
    ///
    /// Cancel safe: dropping the future stops the work.
    pub(crate) async fn run(
        &self,
        host: &FlowHost,
        store: &Store,
        mut input: FlowInput,
        cancel: &CancellationToken,
    ) -> RunOutcome {
        for setting in self.orbit_of(&input.blueprint_id) {
            match store.follower(setting).await {
                Ok(follower) => input.orbit_of.push(follower),
                Err(error) => return transient(chain(&error)),
            }
        }
        if let Some(problem) = fail_point::fault("flow.fault") {
            return transient(problem);
        }
        let issue_id = input.issue_id.clone();
        let outcome = host.run(&self.orbit, input, cancel).await;
        fail_point::pass("flow.after");
        fail_point::pass_with("flow.after", &issue_id);
        outcome
    }

    /// Returns the settings that use this Blueprint as their orbit and may run its next version.
    fn orbit_of(&self, id: &BlueprintId) -> impl Iterator<Item = &EnhanceSetting> {
        self.followers.iter().filter(move |s| s.blueprint_id == *id)
    }
}

fn transient(message: String) -> RunOutcome {
    RunOutcome::not_started(FlowError::Transient { message })
}
