//! One run of the flow on one head. Dispatches and previews share it.

use std::sync::Arc;
use std::time::Duration;

use shared::blueprint::Blueprint;
use shared::domain::commit::Epoch;
use shared::domain::enhance_log::SpawnerUsage;
use shared::error::chain;
use shared::fail_point;
use shared::store::IssueRef;
use tokio_util::sync::CancellationToken;

use crate::flow::{FlowError, FlowFailure, FlowHost, FlowInput, FlowReport, Memory, StepRecorder};
use crate::issue::orbits::Launch;

/// An issue (or a preview) and the head that it changes.
pub(crate) struct Attempt {
    pub(crate) issue: IssueRef,
    pub(crate) intent: String,
    /// The head.
    pub(crate) prev: Arc<Blueprint>,
    /// The start of the attempt, in Redis time.
    pub(crate) started_at_ms: u64,
    /// Records the progress of steps; `None` for previews.
    pub(crate) steps: Option<Arc<StepRecorder>>,
    /// The results of earlier attempts and the earlier denials.
    pub(crate) memory: Memory,
}

/// The outcome of a run.
pub(crate) enum Ran {
    /// The flow reached a decision.
    Decided(Box<FlowReport>),
    /// The flow failed permanently.
    Failed(Box<FlowFailure>),
    /// The flow failed with a temporary fault.
    Fault(Box<Fault>),
    /// The run was stopped.
    Stopped,
}

/// A temporary fault.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    pub(crate) problem: String,
    /// The delay that the remote service asked for.
    pub(crate) wait: Option<Duration>,
    /// True if a resource is in use and nothing failed. It does not count as a retry.
    pub(crate) is_busy: bool,
    /// The cost of the spawner so far, over all attempts.
    pub(crate) usage: SpawnerUsage,
    /// The last model reply that was not usable.
    pub(crate) unusable_reply: String,
}

impl Attempt {
    /// Returns the id of the attempt in commits.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch {
            blueprint_id: self.issue.blueprint_id.clone(),
            start_version: self.prev.version().clone(),
            started_at_ms: self.started_at_ms,
        }
    }

    /// Runs the flow once, under the time limit of the setting. Writes nothing.
    ///
    /// Cancel safe: dropping the future stops the work.
    pub(crate) async fn run(
        &self,
        host: &FlowHost,
        launch: &Launch,
        cancel: &CancellationToken,
    ) -> Ran {
        let mut orbit_of = Vec::new();
        for setting in launch.orbit_of(&self.issue.blueprint_id) {
            match self.memory.store().follower(setting).await {
                Ok(follower) => orbit_of.push(follower),
                Err(error) => {
                    let problem = chain(&error);
                    return Ran::Fault(Box::new(Fault {
                        problem,
                        ..Fault::default()
                    }));
                }
            }
        }
        let input = FlowInput {
            issue_id: self.issue.issue_id.clone(),
            blueprint_id: self.issue.blueprint_id.clone(),
            intent: self.intent.clone(),
            prev: Arc::clone(&self.prev),
            epoch: self.epoch(),
            verifiers: launch.setting.verifier_axes.clone(),
            ceiling: Duration::from_secs(launch.setting.ttl_secs),
            orbit_of,
            steps: self.steps.clone(),
            memory: Some(self.memory.clone()),
        };
        if let Some(problem) = fail_point::fault("flow.fault") {
            return Ran::Fault(Box::new(Fault {
                problem,
                ..Fault::default()
            }));
        }
        let ran = host.run(&launch.orbit, input, cancel).await;
        fail_point::pass("flow.after");
        fail_point::pass_with("flow.after", &self.issue.issue_id);
        match ran {
            Ok(report) => Ran::Decided(Box::new(report)),
            Err(failure) if matches!(failure.error, FlowError::Cancelled) => Ran::Stopped,
            Err(failure) if failure.error.is_passing() => Ran::Fault(Box::new(Fault {
                problem: chain(&failure.error),
                wait: failure.error.retry_after(),
                is_busy: failure.error.is_busy(),
                usage: failure.usage,
                unusable_reply: failure.unusable_reply,
            })),
            Err(failure) => Ran::Failed(Box::new(failure)),
        }
    }
}
