//! An agent whose paid outputs are stored; see [`memory`](crate::flow::memory).

use async_trait::async_trait;
use shared::blueprint::{Doc, json};
use shared::domain::enhance_log::SpawnerUsage;
use shared::store::CachedStep;

use crate::flow::agents::Agent;
use crate::flow::error::StepError;
use crate::flow::run_state::{self, SPAWNER};
use crate::flow::step_context::StepContext;

/// Runs `agent` unless the memory of the run contains its output.
#[derive(Debug)]
pub(in crate::flow) struct Cached<A> {
    agent: A,
    identity: Doc,
}

impl<A: Agent> Cached<A> {
    /// Wraps `agent`, called `name`, with its `definition`.
    pub(in crate::flow) fn new(agent: A, name: &str, definition: &Doc) -> Self {
        let member = |key| definition.get(key).cloned().unwrap_or_default();
        let identity = Doc::object([
            ("name", Doc::from(name)),
            ("kind", member("kind")),
            ("spec", member("spec")),
            ("profile", member("profile")),
        ]);
        Self { agent, identity }
    }
}

#[async_trait]
impl<A: Agent> Agent for Cached<A> {
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        let memory = cx.run.memory();
        let Some((memory, lease)) = memory.and_then(|m| Some((m, m.lease()?))) else {
            return self.agent.run(input, cx).await;
        };
        let name = memory.name(&self.identity, &input);
        let is_spawner = cx.step == SPAWNER;
        let (found, cost_before) = memory.recall(lease, &name).await?;
        if let Some((output, step)) = found {
            tracing::info!(step = cx.step, "used the cached output");
            // The noted cost includes the cost of this step, unless the note failed.
            let is_noted = is_spawner && cost_before.calls >= step.usage.calls;
            if is_noted {
                cx.run.note_usage_before(cost_before);
            }
            let still_to_count = if is_noted {
                SpawnerUsage::default()
            } else {
                step.usage
            };
            cx.meter.remember(&still_to_count);
            return Ok(output);
        }
        if is_spawner {
            cx.run.note_usage_before(cost_before);
        }
        let result = self.agent.run(input, cx).await;
        if is_spawner && cx.meter.usage().calls > 0 {
            let cost = run_state::sum(&cx.run.usage(), &cx.meter.usage());
            memory.note_cost(lease, &cost).await;
        }
        let output = result?;
        let step = CachedStep {
            output: json::emit(&output),
            usage: cx.meter.usage(),
        };
        memory.keep(lease, &name, &step).await;
        Ok(output)
    }
}
