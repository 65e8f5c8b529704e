//! A test run of an orbit on a sample issue before the orbit is written. It checks whether the
//! orbit reaches a decision.
//!
//! A trial costs nothing and starts no program. Recorded answers replace paid agents and agents
//! that judge by the content of a document: models, programs, a custom spawner script and custom
//! verifiers. Everything else runs as for an issue, with the setting's spawner, axes and options.
//!
//! A trial fails if the flow fails, or does not end within [`TRIAL_TIME`], a thousand times its
//! usual duration. The answer of a model or program that does more than draft cannot be recorded.
//! The result of such a flow is unknown.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use shared::blueprint::orbit::{AgentSpec, Obstacle, OrbitAgent, scripts};
use shared::blueprint::{Blueprint, Doc, json};
use shared::domain::axis_options::{AxisOptions, JSON_SCHEMA};
use shared::domain::commit::Epoch;
use shared::domain::setting::EnhanceSetting;
use shared::error::chain;
use shared::ids::IssueId;
use tokio_util::sync::CancellationToken;

use crate::flow::agents::Agent;
use crate::flow::agents::agent_context::AgentContext;
use crate::flow::agents::lua::LuaAgent;
use crate::flow::agents::router::{Axes, RouterAgent};
use crate::flow::error::{FlowError, StepError};
use crate::flow::host::{FlowHost, FlowInput};
use crate::flow::orbit::{self, Orbit};
use crate::flow::run_state::SPAWNER;
use crate::flow::step_context::StepContext;
use crate::flow::trial_outcome::TrialOutcome;

/// The time limit of a trial: a thousand times its usual duration.
pub(crate) const TRIAL_TIME: Duration = Duration::from_secs(2);

/// The target of the sample issue.
const TARGET: &str = include_str!("../../../lua/trial/target.yaml");
/// The intent of the sample issue.
const INTENT: &str = "describe as tried";
/// The recorded answer of a model.
const PATCH: &str = r#"{"ops":[{"op":"add","path":"/metadata/description","value":"tried"}],"bump":"patch","rationale":"tried"}"#;

impl FlowHost {
    /// Runs `orbit` with `setting` on the sample issue, for at most two seconds.
    ///
    /// Cancel safety: dropping the future stops the work.
    pub async fn try_orbit(
        &self,
        orbit: &Blueprint,
        setting: &EnhanceSetting,
        cancel: &CancellationToken,
    ) -> TrialOutcome {
        let guessed = Arc::new(OnceLock::new());
        let compiled = match compile(orbit, setting, &guessed, self.agent_context()) {
            Ok(compiled) => compiled,
            Err(outcome) => return outcome,
        };
        let input = input(setting);
        // Boxed, because the run of an issue about an orbit may start a trial of that orbit.
        let outcome = Box::pin(self.run(&compiled, input, cancel)).await;
        let Err(error) = outcome.decision else {
            return TrialOutcome::Decided;
        };
        match (&error, guessed.get()) {
            (FlowError::TimeLimit { .. }, None) => TrialOutcome::Failed(format!(
                "on a sample issue it did not decide within {} s",
                TRIAL_TIME.as_secs()
            )),
            (FlowError::Cancelled, _) => {
                TrialOutcome::Unknown("the worker that tried it is shutting down".to_owned())
            }
            (error, _) if error.is_transient() => TrialOutcome::Unknown(chain(error)),
            (error, Some(agent)) => TrialOutcome::Unknown(format!(
                "agent {agent:?} is a model or a program whose answer a trial cannot know: {}",
                chain(error)
            )),
            (error, None) => TrialOutcome::Failed(format!(
                "on a sample issue it comes to no decision: {}",
                chain(error)
            )),
        }
    }
}

/// Returns the sample issue with the axes of the setting.
fn input(setting: &EnhanceSetting) -> FlowInput {
    let prev = Blueprint::parse(TARGET).expect("a test reads the sample");
    let prev = Arc::new(prev);
    FlowInput {
        issue_id: IssueId::parse("trial").expect("a valid id"),
        blueprint_id: prev.id().clone(),
        intent: INTENT.to_owned(),
        epoch: Epoch {
            blueprint_id: prev.id().clone(),
            start_version: prev.version().clone(),
            started_at_ms: 0,
        },
        prev,
        verifiers: setting.verifier_axes.clone(),
        time_limit: TRIAL_TIME,
        orbit_of: Vec::new(),
        stored_patch: None,
        steps: None,
        memory: None,
    }
}

fn compile(
    orbit: &Blueprint,
    setting: &EnhanceSetting,
    guessed: &Arc<OnceLock<String>>,
    agent_context: &AgentContext,
) -> Result<Orbit, TrialOutcome> {
    let spec =
        orbit::check(orbit, setting.spawner.as_ref(), agent_context).map_err(
            |error| match error {
                // Other workers may have the script. The caller has checked the scripts that all
                // workers share.
                FlowError::NotRunnable { source, .. }
                    if source
                        .obstacles()
                        .iter()
                        .all(|o| matches!(o, Obstacle::UnknownScript { .. })) =>
                {
                    TrialOutcome::Unknown(format!(
                        "the worker that tried it lacks a script: {source}"
                    ))
                }
                other => TrialOutcome::Failed(chain(&other)),
            },
        )?;
    let is_run = |axis: &str| runs_axis(axis, agent_context);
    let options = setting.axis_options.iter().filter(|(axis, _)| is_run(axis));
    let options: AxisOptions = options
        .map(|(axis, given)| (Arc::clone(axis), given.clone()))
        .collect();
    let axes =
        Axes::compile(&options, agent_context).map_err(|e| TrialOutcome::Unknown(chain(&e)))?;
    let axes = Arc::new(axes);
    let run_axes: Vec<String> = setting
        .verifier_axes
        .iter()
        .filter(|a| is_run(a))
        .cloned()
        .collect();
    let run_axes = Arc::new(run_axes);
    let agents = spec.agents.iter().map(|agent| {
        let recorded = || Recorded {
            agent: agent.name.clone(),
            guessed: Arc::clone(guessed),
        };
        stand_in(agent, &axes, &run_axes, recorded, agent_context)
    });
    Ok(Orbit {
        agents: agents.collect(),
        plan: orbit::plan(&spec),
    })
}

/// True if the verifier of this axis runs in a trial: a bundled script, or the setting's JSON
/// Schema.
fn runs_axis(axis: &str, agent_context: &AgentContext) -> bool {
    match agent_context.scripts.axis(axis) {
        Some(script) => agent_context.scripts.get(script).bundled,
        None => scripts::is_same(axis, JSON_SCHEMA),
    }
}

fn stand_in(
    agent: &OrbitAgent,
    axes: &Arc<Axes>,
    run_axes: &Arc<Vec<String>>,
    recorded: impl Fn() -> Recorded,
    agent_context: &AgentContext,
) -> Arc<dyn Agent> {
    let AgentSpec::Lua { script: named } = &agent.spec else {
        return Arc::new(recorded());
    };
    let script = orbit::script(named, agent_context);
    if agent.name == SPAWNER && !agent_context.scripts.get(script).bundled {
        return Arc::new(recorded());
    }
    let runs = LuaAgent::new(Arc::clone(&agent_context.pool), script);
    if orbit::is_router(named) {
        return Arc::new(TrialRouter {
            router: RouterAgent::new(runs, Arc::clone(axes), agent_context),
            run_axes: Arc::clone(run_axes),
        });
    }
    Arc::new(runs)
}

/// Answers with the recorded patch in place of a model, a program or a custom spawner.
#[derive(Debug)]
struct Recorded {
    agent: String,
    /// The first agent other than the spawner that was called.
    guessed: Arc<OnceLock<String>>,
}

#[async_trait]
impl Agent for Recorded {
    async fn run(&self, _: Doc, _: &StepContext<'_>) -> Result<Doc, StepError> {
        if self.agent != SPAWNER {
            self.guessed.get_or_init(|| self.agent.clone());
        }
        Ok(json::parse(PATCH).expect("a test reads the recorded patch"))
    }
}

/// A router that passes the axes that do not run in a trial.
#[derive(Debug)]
struct TrialRouter {
    router: RouterAgent,
    run_axes: Arc<Vec<String>>,
}

#[async_trait]
impl Agent for TrialRouter {
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        let axis = input.get("axis");
        let applied = input.get("applied");
        let is_applied = applied.is_some_and(|applied| applied.get("error").is_none());
        match axis {
            Some(Doc::Str(axis))
                if is_applied && !self.run_axes.iter().any(|run| **run == **axis) =>
            {
                let verdict = Doc::object([
                    ("axis", Doc::from(&**axis)),
                    ("status", Doc::from("pass")),
                    ("evidence", Doc::from("not run in a trial")),
                ]);
                // The commit is checked against the recorded verdicts.
                cx.run.note_verdict(axis, &input, &verdict);
                Ok(verdict)
            }
            _ => self.router.run(input, cx).await,
        }
    }
}
