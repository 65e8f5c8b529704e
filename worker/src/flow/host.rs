//! The flow host: runs the flow of an issue up to its decision.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::blueprint::{Blueprint, Doc};
use shared::domain::axis_options::AxisOptions;
use shared::domain::commit::Epoch;
use shared::domain::enhance_log::{Verdict, VerdictStatus};
use shared::domain::proposal::StoredPatch;
use shared::error::chain;
use shared::ids::{BlueprintId, IssueId};
use shared::store::Follower;
use tokio_util::sync::CancellationToken;

use crate::flow::agents::agent_context::AgentContext;
use crate::flow::agents::llm::client::Models;
use crate::flow::agents::subprocess::Programs;
use crate::flow::decision::{self, Decision};
use crate::flow::error::{FlowError, ScriptError, StepError};
use crate::flow::evaluator::evaluate;
use crate::flow::lua::pool::Pool;
use crate::flow::memory::{Memory, RunMemory};
use crate::flow::orbit::{self, Orbit};
use crate::flow::run_outcome::RunOutcome;
use crate::flow::run_state::RunState;
use crate::flow::scripts::Scripts;
use crate::flow::steps::StepRecorder;
use crate::flow::trial_outcome::TrialOutcome;

/// The configuration of a flow host.
#[derive(Debug, Clone, Default)]
pub struct FlowConfig {
    /// Scripts that add to and override the embedded ones: `*.lua` and `verifiers/*.lua`.
    pub lua_dir: Option<PathBuf>,
    /// Base URL for all model providers, ending in `/`; `None`: each provider's own URL.
    pub llm_base_url: Option<String>,
    /// The programs that agents of kind `subprocess` may run.
    pub programs: Programs,
}

/// Runs orbits. Each worker has one host, shared by all its issues.
#[derive(Debug)]
pub struct FlowHost {
    agent_context: AgentContext,
}

/// The input of a flow.
#[derive(Debug, Clone)]
pub struct FlowInput {
    /// The issue.
    pub issue_id: IssueId,
    /// The target Blueprint.
    pub blueprint_id: BlueprintId,
    /// The requested change.
    pub intent: String,
    /// The target's head.
    pub prev: Arc<Blueprint>,
    /// This attempt.
    pub epoch: Epoch,
    /// The axes of the setting, in order; a commit requires a pass of each.
    pub verifiers: Vec<String>,
    /// The time limit of the flow.
    pub time_limit: Duration,
    /// The settings that use the target as their orbit and may run its next version. A change is
    /// denied if the new version would not run or decide with a setting that selects it.
    pub orbit_of: Vec<Follower>,
    /// The proposed patch to verify again, instead of a run of the spawner.
    pub stored_patch: Option<StoredPatch>,
    /// Records the progress of the steps, if present.
    pub steps: Option<Arc<StepRecorder>>,
    /// The paid outputs of earlier attempts and the earlier denials; `None`: no memory.
    pub memory: Option<Memory>,
}

impl FlowHost {
    /// Reads and compiles every script.
    ///
    /// # Errors
    /// [`ScriptError`] if the directory cannot be read, or with every script that does not compile.
    pub fn new(config: &FlowConfig) -> Result<FlowHost, ScriptError> {
        let scripts = Arc::new(Scripts::load(config.lua_dir.as_deref())?);
        let pool = Arc::new(Pool::new(scripts.clone())?);
        let models = Arc::new(Models::new(config.llm_base_url.clone()));
        let agent_context = AgentContext {
            scripts,
            pool,
            models,
            programs: config.programs.clone(),
        };
        Ok(FlowHost { agent_context })
    }

    /// Returns the names of the scripts for agents of kind `lua`, in order.
    pub fn script_names(&self) -> Vec<String> {
        self.agent_context.scripts.step_names()
    }

    /// Returns the names of the axes, in order.
    pub fn axes(&self) -> Vec<String> {
        self.agent_context.scripts.axis_names()
    }

    /// Returns the SHA-256 over the names and sources of all scripts. Two workers with the same
    /// hash have the same scripts.
    pub fn sources_hash(&self) -> &str {
        self.agent_context.scripts.hash()
    }

    /// Compiles an orbit.
    ///
    /// `spawner`, an agent definition from a setting, replaces the orbit's agent `patch-spawner`
    /// and takes its name. The result is valid as long as the orbit, the spawner and the options of
    /// the setting's axes are unchanged.
    ///
    /// # Errors
    /// [`FlowError::NotRunnable`] if the orbit cannot run on any worker. Another error if this
    /// worker cannot run it, or an option of an axis is not usable. None of these errors is
    /// temporary.
    pub fn compile(
        &self,
        orbit: &Blueprint,
        spawner: Option<&Doc>,
        axis_options: &AxisOptions,
    ) -> Result<Orbit, FlowError> {
        orbit::compile(orbit, spawner, axis_options, &self.agent_context)
    }

    /// Returns a token that is cancelled when too many scripts could not be stopped. The host
    /// continues to work, but those scripts use CPU time, so the worker should restart.
    pub fn restart_needed(&self) -> &CancellationToken {
        self.agent_context.pool.restart_needed()
    }

    /// Runs `orbit` on an issue under its time limit.
    ///
    /// Cancel safety: dropping the future stops the work. The run has no external effects.
    pub async fn run(
        &self,
        orbit: &Orbit,
        input: FlowInput,
        cancel: &CancellationToken,
    ) -> RunOutcome {
        let started = Instant::now();
        // A time limit beyond the range of the clock is unlimited.
        let deadline = started
            .checked_add(input.time_limit)
            .unwrap_or(started + Duration::from_secs(1 << 30));
        let mut ctx = context(&input);
        let epoch = ctx.get("epoch_id").cloned().unwrap_or_default();
        let memory = input.memory.clone();
        let memory = memory.map(|memory| RunMemory::new(memory, epoch));
        let issue = ctx.get("issue").cloned().unwrap_or_default();
        let run = RunState::new(&input.prev, issue, deadline, input.steps.clone());
        let run = match &input.stored_patch {
            None => run,
            Some(patch) => match run.with_stored_patch(patch) {
                Ok(run) => run,
                Err(error) => return RunOutcome::not_started(error),
            },
        };
        let run = Arc::new(run.with_memory(memory));
        let ended = tokio::select! {
            biased;
            ended = evaluate(&orbit.plan, &mut ctx, &orbit.agents, &run) => ended,
            () = cancel.cancelled() => Err(FlowError::Cancelled),
            () = tokio::time::sleep_until(deadline.into()) => Err(FlowError::TimeLimit { secs: input.time_limit.as_secs() }),
        };
        let ended = ended.map_err(|error| match error {
            // The interrupt hook may observe the deadline before the timer does.
            FlowError::Step {
                source: StepError::Interrupted,
                ..
            } => FlowError::TimeLimit {
                secs: input.time_limit.as_secs(),
            },
            other => other,
        });
        let decided =
            ended.and_then(|()| decision::read(&ctx, &input.blueprint_id, &input.verifiers, &run));
        let (patch_json, rationale) =
            (decision::proposed(&ctx), decision::proposed_rationale(&ctx));
        let decision = match decided {
            Ok(decision) => Ok(self
                .deny_unless_orbit(decision, &input.orbit_of, cancel)
                .await),
            Err(error) => Err(error),
        };
        RunOutcome {
            decision,
            patch_json,
            rationale,
            reply_json: decision::reply(&ctx),
            usage: run.usage(),
            unusable_reply: run.unusable_reply(),
        }
    }

    pub(super) fn agent_context(&self) -> &AgentContext {
        &self.agent_context
    }

    /// Applies the axis `orbit`: a Blueprint must run and decide with each setting that will select
    /// it as its orbit.
    async fn deny_unless_orbit(
        &self,
        decision: Decision,
        followers: &[Follower],
        cancel: &CancellationToken,
    ) -> Decision {
        let Decision::Commit {
            blueprint,
            rationale,
            verdicts,
            ..
        } = &decision
        else {
            return decision;
        };
        let followers = followers.iter().filter(|f| f.will_choose(blueprint));
        for Follower { setting, .. } in followers {
            // The check uses this worker's scripts only: it must not accept an orbit that it cannot
            // run.
            let checked = orbit::check(blueprint, setting.spawner.as_ref(), &self.agent_context);
            let tried = match checked {
                Err(error) => TrialOutcome::Failed(chain(&error)),
                Ok(_) => self.try_orbit(blueprint, setting, cancel).await,
            };
            let problem = match tried {
                TrialOutcome::Decided => continue,
                TrialOutcome::Unknown(why) => {
                    tracing::warn!(setting = %setting.id, why, "an orbit in use could not be tried");
                    continue;
                }
                TrialOutcome::Failed(problem) => problem,
            };
            let reason = format!(
                "the setting {} uses this Blueprint as its orbit, so it must run and decide: {problem}",
                setting.id
            );
            let mut verdicts = verdicts.clone();
            let reasons = vec![format!("orbit: {reason}")];
            verdicts.push(Verdict {
                axis: "orbit".to_owned(),
                status: VerdictStatus::Deny,
                detail: reason,
            });
            return Decision::Deny {
                reasons,
                verdicts,
                rationale: rationale.clone(),
            };
        }
        decision
    }
}

/// Returns the initial context of a flow.
fn context(input: &FlowInput) -> Doc {
    let id = |text: &str| Doc::from(text);
    let ms = i64::try_from(input.epoch.started_at_ms).unwrap_or(i64::MAX);
    Doc::object([
        (
            "issue",
            Doc::object([
                ("issue_id", id(input.issue_id.as_str())),
                ("blueprint_id", id(input.blueprint_id.as_str())),
                ("intent", Doc::from(input.intent.as_str())),
            ]),
        ),
        (
            "prev_bp_yaml",
            Doc::Str(input.prev.canonical_yaml().clone()),
        ),
        ("prev_hash", id(input.prev.version().as_str())),
        (
            "epoch_id",
            Doc::object([
                ("blueprint_id", id(input.epoch.blueprint_id.as_str())),
                ("start_version", id(input.epoch.start_version.as_str())),
                ("started_at_ms", Doc::from(ms)),
            ]),
        ),
        (
            "verifiers",
            Doc::array(
                input
                    .verifiers
                    .iter()
                    .map(|axis| Doc::from(axis.as_str()))
                    .collect(),
            ),
        ),
    ])
}
