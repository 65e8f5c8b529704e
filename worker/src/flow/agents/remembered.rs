//! An agent that costs something, and what it came to before: see [`memory`](super::super::memory).

use async_trait::async_trait;
use shared::blueprint::{Doc, json};
use shared::store::PaidStep;

use super::super::error::StepError;
use super::{Agent, StepContext};

/// Runs `agent` unless the run remembers what it came to.
#[derive(Debug)]
pub(in crate::flow) struct Remembered<A> {
    agent: A,
    identity: Doc,
}

impl<A: Agent> Remembered<A> {
    /// `agent`, called `name`, as `definition` declares it.
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
impl<A: Agent> Agent for Remembered<A> {
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        let memory = cx.run.memory();
        let Some((memory, lease)) = memory.and_then(|m| Some((m, m.lease()?))) else {
            return self.agent.run(input, cx).await;
        };
        let name = memory.name(&self.identity, &input);
        if let Some((output, step)) = memory.recall(lease, &name).await? {
            tracing::info!(step = cx.step, "was paid for before; not run again");
            cx.meter.remember(&step.usage);
            return Ok(output);
        }
        let output = self.agent.run(input, cx).await?;
        let step = PaidStep {
            output: json::emit(&output),
            usage: cx.meter.usage(),
        };
        memory.keep(lease, &name, &step).await;
        Ok(output)
    }
}
