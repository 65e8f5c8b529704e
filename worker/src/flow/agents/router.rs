//! The router of verifiers. It runs where a step names the script `verifier_router`.
//!
//! It passes each axis its options and its time limit, and records the verdict (see
//! [`rulings`](crate::flow::rulings)). The router's own script runs the axes that are scripts. The
//! native axes run here: they wait for a model, or Lua cannot interrupt them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::blueprint::Doc;
use shared::blueprint::json_schema::{JsonSchema, JudgementError};
use shared::blueprint::orbit::scripts::{is_same, key};
use shared::domain::axis_options::{self, AxisOptions, JSON_SCHEMA, LLM_JUDGE};

use crate::flow::agents::Agent;
use crate::flow::agents::agent_context::AgentContext;
use crate::flow::agents::cached::Cached;
use crate::flow::agents::llm::client::Models;
use crate::flow::agents::llm::judge::Judge;
use crate::flow::agents::lua::LuaAgent;
use crate::flow::error::{FlowError, StepError};
use crate::flow::lua::pool::Pool;
use crate::flow::native_axes::NATIVE_AXES;
use crate::flow::scripts::Scripts;
use crate::flow::step_context::StepContext;

/// The name of the script that the router replaces.
pub(in crate::flow) const SCRIPT: &str = "verifier_router";

/// The compiled axis options of a setting.
#[derive(Debug, Default)]
pub(in crate::flow) struct Axes {
    /// By the [`key`] of the axis.
    by_key: BTreeMap<String, AxisConfig>,
}

#[derive(Debug)]
struct AxisConfig {
    options: Doc,
    limit: Option<Duration>,
    native: Option<Arc<dyn Agent>>,
}

impl Axes {
    /// Compiles the options to schemas and judges, once for each setting. A custom script replaces
    /// the native axis of the same name.
    ///
    /// # Errors
    /// [`FlowError::AxisOptions`], which names the option.
    pub(in crate::flow) fn compile(
        options: &AxisOptions,
        agent_context: &AgentContext,
    ) -> Result<Axes, FlowError> {
        let mut by_key = BTreeMap::new();
        for (axis, options) in options {
            let native: Option<Arc<dyn Agent>> = match native_axis(axis, agent_context) {
                Some(JSON_SCHEMA) => Some(Arc::new(SchemaAxis::new(options, agent_context)?)),
                Some(LLM_JUDGE) => Some(Arc::new(cached_judge(options, &agent_context.models)?)),
                _ => None,
            };
            let limit = axis_options::limit(options);
            let options = options.clone();
            by_key.insert(
                key(axis),
                AxisConfig {
                    options,
                    limit,
                    native,
                },
            );
        }
        Ok(Axes { by_key })
    }
}

/// Returns the axis of [`NATIVE_AXES`] with this name, unless this worker has a script for it.
fn native_axis(axis: &str, agent_context: &AgentContext) -> Option<&'static str> {
    let native = NATIVE_AXES
        .into_iter()
        .find(|native| is_same(native, axis))?;
    agent_context.scripts.axis(axis).is_none().then_some(native)
}

/// Runs the verifier of one axis.
#[derive(Debug)]
pub(in crate::flow) struct RouterAgent {
    script: LuaAgent,
    is_bundled: bool,
    axes: Arc<Axes>,
    scripts: Arc<Scripts>,
}

impl RouterAgent {
    /// Returns a router that runs scripts with `script`.
    pub(in crate::flow) fn new(
        script: LuaAgent,
        axes: Arc<Axes>,
        agent_context: &AgentContext,
    ) -> Self {
        let scripts = Arc::clone(&agent_context.scripts);
        let is_bundled = scripts
            .step(SCRIPT)
            .is_some_and(|at| scripts.get(at).bundled);
        Self {
            script,
            is_bundled,
            axes,
            scripts,
        }
    }

    async fn judge(
        &self,
        axis: &Arc<str>,
        input: Doc,
        cx: &StepContext<'_>,
    ) -> Result<Doc, StepError> {
        let config = self.axes.by_key.get(&key(axis));
        let applied = input.get("applied");
        let is_applied = applied.is_some_and(|applied| applied.get("error").is_none());
        let bundled = match is_applied && self.is_bundled {
            true => self.scripts.bundled_axis(axis),
            false => None,
        };
        if let Some(bundled) = bundled {
            let verdict = bundled.judge(&input, cx.run);
            let verdict = verdict.map_err(|message| StepError::Permanent {
                message: format!("axis {axis}: {message}"),
            })?;
            return Ok(of_axis(axis, verdict));
        }
        let is_native = NATIVE_AXES.iter().any(|native| is_same(native, axis))
            && self.scripts.axis(axis).is_none();
        // Without an applied change, the script returns the verdict for every axis.
        if !is_native || !is_applied {
            let options =
                config.map_or_else(|| Doc::object::<&str>([]), |config| config.options.clone());
            return self.script.run(with_options(input, options), cx).await;
        }
        let native = config.and_then(|config| config.native.as_ref());
        let native = native.ok_or_else(|| StepError::Permanent {
            message: format!("axis {axis}: the setting has no axis_options.{axis}, which it needs"),
        })?;
        Ok(of_axis(axis, native.run(input, cx).await?))
    }
}

/// Returns the verdict with its axis added.
fn of_axis(axis: &Arc<str>, verdict: Doc) -> Doc {
    let mut members = match verdict {
        Doc::Object(members) => Arc::unwrap_or_clone(members),
        _ => BTreeMap::new(),
    };
    members.insert("axis".into(), Doc::Str(Arc::clone(axis)));
    Doc::Object(Arc::new(members))
}

/// Returns a judge whose verdicts are stored. Its options identify it.
fn cached_judge(options: &Doc, models: &Arc<Models>) -> Result<Cached<Judge>, FlowError> {
    let judge = Judge::new(options, models)?;
    let definition = Doc::object([("kind", Doc::from(LLM_JUDGE)), ("spec", options.clone())]);
    Ok(Cached::new(judge, LLM_JUDGE, &definition))
}

fn with_options(input: Doc, options: Doc) -> Doc {
    match input {
        Doc::Object(mut members) => {
            Arc::make_mut(&mut members).insert("options".into(), options);
            Doc::Object(members)
        }
        other => other,
    }
}

#[async_trait]
impl Agent for RouterAgent {
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        let Some(Doc::Str(axis)) = input.get("axis").cloned() else {
            return self.script.run(input, cx).await;
        };
        let config = self.axes.by_key.get(&key(&axis));
        let limit = config.and_then(|config| config.limit);
        let judging = self.judge(&axis, input.clone(), cx);
        let verdict = match limit {
            None => judging.await?,
            Some(limit) => match tokio::time::timeout(limit, judging).await {
                Ok(verdict) => verdict?,
                Err(_) => {
                    return Err(StepError::Permanent {
                        message: format!(
                            "axis {axis} did not end within its {} s; raise axis_options.{axis}.ttl_secs of the setting or look at what hangs",
                            limit.as_secs()
                        ),
                    });
                }
            },
        };
        cx.run.note_verdict(&axis, &input, &verdict);
        Ok(verdict)
    }
}

/// The axis `json-schema`.
#[derive(Debug)]
struct SchemaAxis {
    schema: Arc<JsonSchema>,
    pool: Arc<Pool>,
}

impl SchemaAxis {
    fn new(options: &Doc, agent_context: &AgentContext) -> Result<Self, FlowError> {
        let fault = |problem| FlowError::AxisOptions {
            option: "json-schema.schema",
            problem,
        };
        let schema = options
            .get("schema")
            .ok_or_else(|| fault("is missing".to_owned()))?;
        let schema = JsonSchema::compile(schema).map_err(|error| fault(error.to_string()))?;
        Ok(Self {
            schema: Arc::new(schema),
            pool: Arc::clone(&agent_context.pool),
        })
    }
}

#[async_trait]
impl Agent for SchemaAxis {
    async fn run(&self, input: Doc, _: &StepContext<'_>) -> Result<Doc, StepError> {
        let document = input
            .get("applied")
            .and_then(|applied| applied.get("new_bp_json"));
        let document = document.cloned().unwrap_or_default();
        let schema = Arc::clone(&self.schema);
        // Runs on a separate thread, because a validation cannot be interrupted, like a pattern in
        // a script.
        let judging = self
            .pool
            .run_native(JSON_SCHEMA, move || schema.problems(&document));
        let problems = judging.await?.map_err(|error| {
            let message = format!("axis {JSON_SCHEMA}: {error}");
            match error {
                JudgementError::Panicked => StepError::Permanent { message },
                JudgementError::Shortage => StepError::Transient {
                    message,
                    retry_after: None,
                },
            }
        })?;
        if problems.is_empty() {
            let evidence = Doc::object([("schema_hash", Doc::from(self.schema.hash()))]);
            return Ok(Doc::object([
                ("status", Doc::from("pass")),
                ("evidence", evidence),
            ]));
        }
        let reason = format!(
            "the document does not match the schema: {}",
            problems.join("; ")
        );
        Ok(Doc::object([
            ("status", Doc::from("deny")),
            ("reason", Doc::from(reason)),
        ]))
    }
}
