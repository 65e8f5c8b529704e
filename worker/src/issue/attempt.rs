//! One run of the flow on one head: what a dispatch and a preview have in common.

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

/// An issue (or what is tried out as one) and the head that it is to change.
pub(crate) struct Attempt {
    pub(crate) issue: IssueRef,
    pub(crate) intent: String,
    /// The head.
    pub(crate) prev: Arc<Blueprint>,
    /// When it began, Redis time.
    pub(crate) started_at_ms: u64,
    /// Told what the steps do, if anybody may want to know.
    pub(crate) steps: Option<Arc<StepRecorder>>,
    /// What was before: what earlier attempts have paid for, what was denied.
    pub(crate) memory: Memory,
}

/// How a run ended.
pub(crate) enum Ran {
    /// With a decision.
    Decided(Box<FlowReport>),
    /// Without one, for good.
    Failed(Box<FlowFailure>),
    /// With a fault that may pass.
    Fault(Box<Fault>),
    /// By being stopped.
    Stopped,
}

/// A fault that may pass.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    pub(crate) problem: String,
    /// How long the other side asked to wait.
    pub(crate) wait: Option<Duration>,
    /// Nothing is wrong; something is in use. It counts as no retry.
    pub(crate) is_busy: bool,
    /// What the spawner cost until then, over all attempts.
    pub(crate) usage: SpawnerUsage,
    /// The last reply of a model that could not be used.
    pub(crate) unusable_reply: String,
}

impl Attempt {
    /// The attempt as commits name it.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch {
            blueprint_id: self.issue.blueprint_id.clone(),
            start_version: self.prev.version().clone(),
            started_at_ms: self.started_at_ms,
        }
    }

    /// Runs the flow once, under the setting's ceiling. Writes nothing.
    ///
    /// Cancel safe: dropped, the work stops.
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
