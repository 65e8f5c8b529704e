//! Runs a verifier on two documents as the flow would, for authors of verifiers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::blueprint::yaml::{self, Format};
use shared::blueprint::{Blueprint, Doc, DocumentError};
use shared::domain::axis_options::{self, AxisOptions};
use shared::domain::bundled::BUNDLED_AXES;
use shared::domain::enhance_log::VerdictStatus;
use thiserror::Error;

use crate::flow::agents::Agent;
use crate::flow::agents::agent_context::AgentContext;
use crate::flow::agents::llm::client::Models;
use crate::flow::agents::lua::LuaAgent;
use crate::flow::agents::router::{self, Axes, RouterAgent};
use crate::flow::agents::subprocess::Programs;
use crate::flow::error::{FlowError, ScriptError, StepError};
use crate::flow::lua::pool::Pool;
use crate::flow::meter::Meter;
use crate::flow::run_state::RunState;
use crate::flow::scripts::Scripts;
use crate::flow::step_context::StepContext;

/// The verdict of a verifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What the verifier decided.
    pub status: VerdictStatus,
    /// The evidence of a pass, or the reason.
    pub detail: Doc,
}

/// The input of [`try_axis`].
#[derive(Debug)]
pub struct Trial<'a> {
    /// A script file, or the name of a bundled axis.
    pub script: &'a Path,
    /// The options of the axis, as in a setting.
    pub options: Option<&'a str>,
    /// The Blueprint before the change.
    pub before: &'a str,
    /// The Blueprint after the change.
    pub after: &'a str,
    /// The format of the documents and the options.
    pub format: Format,
    /// The text of the issue, which an axis such as `llm-judge` compares with the change.
    pub intent: &'a str,
    /// The time limit of the verifier.
    pub time_limit: Duration,
    /// Base URL for all model providers, ending in `/`; `None`: each provider's own URL.
    pub llm_base_url: Option<String>,
}

/// The reason why the verifier returned no verdict.
#[derive(Debug, Error)]
pub enum TryAxisError {
    /// The script cannot be read, or is not valid Lua.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// One of the documents is not a valid Blueprint.
    #[error("the document {which} is not a Blueprint")]
    Document {
        /// `before` or `after`.
        which: &'static str,
        /// The validation error.
        source: DocumentError,
    },
    /// The options are invalid, or do not apply to this axis.
    #[error("options: {0}")]
    Options(String),
    /// The options are not usable on this worker.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The script failed; an issue would fail with the cause `failed`.
    #[error("the issue would fail")]
    Step(#[from] StepError),
    /// The script did not end in time.
    #[error("the verifier did not end within {} s", .limit.as_secs_f64())]
    Time {
        /// The time limit.
        limit: Duration,
    },
}

/// Runs a verifier on a change as the flow would. Its input is the same as in the bundled orbit;
/// the patch is one operation that replaces the document.
///
/// # Errors
/// [`TryAxisError`] with the reason.
///
/// Cancel safety: dropping the future stops the script.
pub async fn try_axis(trial: Trial<'_>) -> Result<Judgement, TryAxisError> {
    let read = |which, text| {
        Blueprint::parse_as(text, trial.format)
            .map_err(|source| TryAxisError::Document { which, source })
    };
    let before = Arc::new(read("before", trial.before)?);
    let after = read("after", trial.after)?;
    let mut scripts = Scripts::load(None)?;
    let bundled = trial
        .script
        .to_str()
        .filter(|name| BUNDLED_AXES.contains(name));
    let axis = match bundled {
        Some(name) if !trial.script.exists() => name.to_owned(),
        _ => scripts.add_axis(trial.script)?,
    };
    let options = options(&axis, trial.options, trial.format)?;
    let scripts = Arc::new(scripts);
    let agent_context = AgentContext {
        pool: Arc::new(Pool::new(Arc::clone(&scripts))?),
        models: Arc::new(Models::new(trial.llm_base_url)),
        programs: Programs::default(),
        scripts,
    };
    let axes = Arc::new(Axes::compile(&options, &agent_context)?);
    let script = agent_context
        .scripts
        .step(router::SCRIPT)
        .expect("it is bundled, and no directory was given");
    let script = LuaAgent::new(Arc::clone(&agent_context.pool), script);
    let router = RouterAgent::new(script, axes, &agent_context);
    let run = Arc::new(RunState::new(
        &before,
        Doc::Null,
        Instant::now() + trial.time_limit,
        None,
    ));
    let meter = Meter::of("verifier-router", &run);
    let cx = StepContext {
        step: "verifier-router",
        run: &run,
        meter: &meter,
    };
    let judging = router.run(context(&axis, trial.intent, &before, &after), &cx);
    let limit = trial.time_limit;
    let verdict = match tokio::time::timeout(limit, judging).await {
        Err(_) | Ok(Err(StepError::Interrupted)) => return Err(TryAxisError::Time { limit }),
        Ok(verdict) => verdict?,
    };
    let status = verdict.get("status").and_then(Doc::as_str);
    // The router returns these three only.
    let status = status
        .and_then(VerdictStatus::parse)
        .unwrap_or(VerdictStatus::Deny);
    let detail = verdict.get(match status {
        VerdictStatus::Pass => "evidence",
        VerdictStatus::Deny | VerdictStatus::Review => "reason",
    });
    Ok(Judgement {
        status,
        detail: detail.cloned().unwrap_or_default(),
    })
}

/// Returns the options of a setting with only this axis.
fn options(axis: &str, given: Option<&str>, format: Format) -> Result<AxisOptions, TryAxisError> {
    let mut options = AxisOptions::new();
    if let Some(text) = given {
        let doc = yaml::parse_as(text, format)
            .map_err(|error| TryAxisError::Options(error.to_string()))?;
        options.insert(axis.into(), doc);
    }
    match axis_options::check(&options, &[axis.to_owned()])
        .into_iter()
        .next()
    {
        None => Ok(options),
        Some(fault) => Err(TryAxisError::Options(format!(
            "{} {}",
            fault.path, fault.problem
        ))),
    }
}

fn context(axis: &str, intent: &str, before: &Blueprint, after: &Blueprint) -> Doc {
    let epoch = || {
        Doc::object([
            ("blueprint_id", Doc::from(before.id().as_str())),
            ("start_version", Doc::from(before.version().as_str())),
            ("started_at_ms", Doc::from(0)),
        ])
    };
    let op = Doc::object([
        ("op", Doc::from("replace")),
        ("path", Doc::from("")),
        ("value", after.doc().clone()),
    ]);
    let patch = Doc::object([
        ("ops", Doc::array(vec![op])),
        ("bump", Doc::from("patch")),
        ("rationale", Doc::from("to try a verifier")),
    ]);
    let applied = Doc::object([
        ("prev_hash", Doc::from(before.version().as_str())),
        ("patch", patch.clone()),
        ("new_bp_yaml", Doc::Str(after.canonical_yaml().clone())),
        ("new_bp_json", after.doc().clone()),
        ("new_hash", Doc::from(after.version().as_str())),
        ("epoch_id", epoch()),
    ]);
    let issue = Doc::object([
        ("issue_id", Doc::from("try")),
        ("blueprint_id", Doc::from(before.id().as_str())),
        ("intent", Doc::from(intent)),
    ]);
    Doc::object([
        ("issue", issue),
        ("prev_bp_yaml", Doc::Str(before.canonical_yaml().clone())),
        ("prev_hash", Doc::from(before.version().as_str())),
        ("epoch_id", epoch()),
        ("verifiers", Doc::array(vec![Doc::from(axis)])),
        ("axis", Doc::from(axis)),
        ("patch", patch),
        ("applied", applied),
    ])
}
