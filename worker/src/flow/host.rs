//! The flow host: from an issue to a decision.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::blueprint::{Blueprint, Doc};
use shared::domain::axis_options::AxisOptions;
use shared::domain::commit::Epoch;
use shared::domain::enhance_log::{SpawnerUsage, Verdict};
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
use crate::flow::run_state::RunState;
use crate::flow::scripts::Scripts;
use crate::flow::steps::StepRecorder;
use crate::flow::trial_outcome::TrialOutcome;

/// What the flow host is made with.
#[derive(Debug, Clone, Default)]
pub struct FlowConfig {
    /// Scripts that add to and override the embedded ones: `*.lua` and `verifiers/*.lua`.
    pub lua_dir: Option<PathBuf>,
    /// Where every provider of models is asked, ending in `/`; each at home if `None`.
    pub llm_base_url: Option<String>,
    /// What agents of kind `subprocess` may run.
    pub programs: Programs,
}

/// Runs orbits. One for a worker, shared by all its issues.
#[derive(Debug)]
pub struct FlowHost {
    agent_context: AgentContext,
}

/// An issue on its way into a flow.
#[derive(Debug, Clone)]
pub struct FlowInput {
    /// The issue.
    pub issue_id: IssueId,
    /// Its target.
    pub blueprint_id: BlueprintId,
    /// What should change.
    pub intent: String,
    /// The target's head.
    pub prev: Arc<Blueprint>,
    /// This attempt.
    pub epoch: Epoch,
    /// The axes of the setting, in order: nothing is committed that one of them has not passed.
    pub verifiers: Vec<String>,
    /// How long the flow may take.
    pub ceiling: Duration,
    /// The settings that run the target as their orbit, and may run its next version: what would not run or decide
    /// with each that chooses it is denied.
    pub orbit_of: Vec<Follower>,
    /// Told what the steps do, if anybody wants to know.
    pub steps: Option<Arc<StepRecorder>>,
    /// What was before: what earlier attempts have paid for, what was denied; `None`: nothing.
    pub memory: Option<Memory>,
}

/// A flow that came to a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowReport {
    /// The decision.
    pub decision: Decision,
    /// What the spawner proposed, as canonical JSON: its operations, or whatever it replied
    /// instead; empty if there was nothing.
    pub patch_json: String,
    /// What the spawner cost, over all attempts at the issue.
    pub usage: SpawnerUsage,
    /// The beginning of the last reply of a model that could not be used; empty if there was none.
    pub unusable_reply: String,
}

/// A flow that came to none.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct FlowFailure {
    /// Why.
    #[source]
    pub error: FlowError,
    /// As in [`FlowReport`], if the flow came that far.
    pub patch_json: String,
    /// What the spawner cost until then, over all attempts at the issue.
    pub usage: SpawnerUsage,
    /// As in [`FlowReport`].
    pub unusable_reply: String,
    /// What the spawner said about its patch, if the flow came that far.
    pub rationale: String,
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

    /// The scripts that an agent of kind `lua` may name, in order.
    pub fn script_names(&self) -> Vec<String> {
        self.agent_context.scripts.step_names()
    }

    /// The axes that have a script, in order.
    pub fn axes(&self) -> Vec<String> {
        self.agent_context.scripts.axis_names()
    }

    /// SHA-256 over the names and sources of all scripts: tells whether two workers run the same.
    pub fn sources_hash(&self) -> &str {
        self.agent_context.scripts.hash()
    }

    /// Compiles an orbit. `spawner`, a setting's agent definition, takes the place of the orbit's
    /// agent `patch-spawner` and is called that whatever its own name is. The result may be kept
    /// for as long as orbit, spawner and the options of the setting's axes are the same.
    ///
    /// # Errors
    /// [`FlowError::NotRunnable`] if it cannot run at all; another one if this worker cannot run it, or an option of
    /// an axis cannot be used. None is passing.
    pub fn compile(
        &self,
        orbit: &Blueprint,
        spawner: Option<&Doc>,
        axis_options: &AxisOptions,
    ) -> Result<Orbit, FlowError> {
        orbit::compile(orbit, spawner, axis_options, &self.agent_context)
    }

    /// Cancelled once so many scripts could not be stopped that the worker had better end: it goes on,
    /// but they take its processors' time.
    pub fn worn_out(&self) -> &CancellationToken {
        self.agent_context.pool.worn_out()
    }

    /// Runs `orbit` on an issue under its ceiling.
    ///
    /// # Errors
    /// [`FlowFailure`] with the reason and what the spawner had proposed by then.
    ///
    /// Cancel safety: dropping the future stops the work, and nothing of it remains. Nothing is
    /// ever written outside.
    pub async fn run(
        &self,
        orbit: &Orbit,
        input: FlowInput,
        cancel: &CancellationToken,
    ) -> Result<FlowReport, FlowFailure> {
        let started = Instant::now();
        // A ceiling beyond the clock's range is none.
        let deadline = started
            .checked_add(input.ceiling)
            .unwrap_or(started + Duration::from_secs(1 << 30));
        let mut ctx = context(&input);
        let epoch = ctx.get("epoch_id").cloned().unwrap_or_default();
        let memory = input.memory.clone();
        let memory = memory.map(|memory| RunMemory::new(memory, epoch));
        let issue = ctx.get("issue").cloned().unwrap_or_default();
        let run = RunState::new(&input.prev, issue, deadline, input.steps.clone());
        let run = Arc::new(run.with_memory(memory));
        let ended = tokio::select! {
            biased;
            ended = evaluate(&orbit.plan, &mut ctx, &orbit.agents, &run) => ended,
            () = cancel.cancelled() => Err(FlowError::Cancelled),
            () = tokio::time::sleep_until(deadline.into()) => Err(FlowError::Ceiling { secs: input.ceiling.as_secs() }),
        };
        let ended = ended.map_err(|error| match error {
            // The hook may see the deadline before the timer does.
            FlowError::Step {
                source: StepError::Interrupted,
                ..
            } => FlowError::Ceiling {
                secs: input.ceiling.as_secs(),
            },
            other => other,
        });
        let decided =
            ended.and_then(|()| decision::read(&ctx, &input.blueprint_id, &input.verifiers, &run));
        let patch_json = decision::proposed(&ctx);
        match decided {
            Ok(decision) => {
                let decision = self
                    .deny_unless_orbit(decision, &input.orbit_of, cancel)
                    .await;
                Ok(FlowReport {
                    decision,
                    patch_json,
                    usage: run.usage(),
                    unusable_reply: run.unusable_reply(),
                })
            }
            Err(error) => {
                let rationale = decision::proposed_rationale(&ctx);
                Err(FlowFailure {
                    error,
                    patch_json,
                    usage: run.usage(),
                    unusable_reply: run.unusable_reply(),
                    rationale,
                })
            }
        }
    }

    pub(super) fn agent_context(&self) -> &AgentContext {
        &self.agent_context
    }

    /// The axis `orbit`: a Blueprint must be able to run and decide with each setting that will choose it as its
    /// orbit.
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
            // A script that other workers have is no reason to let this one accept what it cannot run.
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
                pass: false,
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

/// The context that a flow begins with.
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
