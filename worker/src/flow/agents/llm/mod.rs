//! Kind `llm`: one chat completion.
//!
//! The profile's system prompt is the system message. The step's input as JSON is the user message.
//! The reply contains one JSON object. A reply without one, or without a patch where one is
//! required, goes back to the model with its problem, a bounded number of times. Prompts, replies
//! and keys are never logged.
//!
//! ```text
//! provider.rs   the providers and their addresses    client.rs     one request
//! protocol.rs   formats of requests and answers      body.rs       the bytes of an answer, bounded
//! reply.rs      the object in a reply                unusable.rs   kinds of unusable replies
//! dialogue.rs   repeated requests                    fault.rs      temporary and permanent errors
//! bill.rs       the cost                             quote.rs      untrusted text in messages
//! ```

mod bill;
mod body;
pub(crate) mod client;
mod dialogue;
mod fault;
pub(crate) mod judge;
pub(crate) mod kind;
mod limits;
mod protocol;
pub(crate) mod provider;
mod quote;
mod reply;
mod unusable;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::blueprint::call_spec::JsonMode;
use shared::blueprint::{Doc, json};

use crate::flow::agents::Agent;
use crate::flow::agents::llm::bill::Bill;
use crate::flow::agents::llm::client::{AskOptions, Models};
use crate::flow::agents::llm::dialogue::Dialogue;
use crate::flow::agents::llm::protocol::Conversation;
use crate::flow::agents::llm::provider::Model;
use crate::flow::error::StepError;
use crate::flow::past_denials;
use crate::flow::run_state::SPAWNER;
use crate::flow::step_context::StepContext;

/// Sends requests to one model.
#[derive(Debug)]
pub(in crate::flow) struct LlmAgent {
    models: Arc<Models>,
    model: Model,
    system_prompt: String,
    past_denials: usize,
    options: AskOptions,
}

impl LlmAgent {
    /// Returns an agent for `model` with `system_prompt` and at most `past_denials` earlier denials
    /// in its input.
    pub(in crate::flow) fn new(
        models: Arc<Models>,
        model: Model,
        system_prompt: &str,
        past_denials: usize,
    ) -> Self {
        let mut system_prompt = system_prompt.to_owned();
        // In JSON mode, providers reject a conversation that does not mention JSON.
        if !system_prompt.to_ascii_lowercase().contains("json") {
            system_prompt.push_str("\n\nAnswer with exactly one JSON object and nothing else.");
        }
        Self {
            models,
            model,
            system_prompt,
            past_denials,
            options: AskOptions::default(),
        }
    }

    /// Returns the same agent with a JSON mode and a time limit for each request.
    pub(in crate::flow) fn with_options(
        self,
        json_mode: JsonMode,
        timeout: Option<Duration>,
    ) -> Self {
        let options = AskOptions { json_mode, timeout };
        Self { options, ..self }
    }
}

#[async_trait]
impl Agent for LlmAgent {
    async fn run(&self, mut input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        self.add_past_denials(&mut input, cx).await?;
        let is_spawner = cx.step == SPAWNER;
        let question = Conversation::new(&self.system_prompt, json::emit(&input));
        drop(input);
        let bill = Bill::start(cx.meter, &self.model);
        let dialogue = Dialogue {
            models: &self.models,
            model: &self.model,
            options: self.options,
            bill: &bill,
        };
        let judge = |object: Doc| match reply::no_patch(&object) {
            Some(problem) if is_spawner => Err((problem, object)),
            _ => Ok(object),
        };
        match dialogue.ask(question, judge, cx).await? {
            Ok(object) => Ok(object),
            Err(gave_up) => match gave_up.object {
                // The applier denies an object that is not a patch, as from any spawner.
                Some(object) => Ok(object),
                None => Err(StepError::Permanent {
                    message: format!(
                        "model {} gave no JSON object in {} replies; the last one was {}. Try another model, or look at the agent's system prompt",
                        self.model, gave_up.n_replies, gave_up.last
                    ),
                }),
            },
        }
    }
}

impl LlmAgent {
    /// Adds `past_denials` to the input, if this agent uses them and the list is not empty.
    async fn add_past_denials(
        &self,
        input: &mut Doc,
        cx: &StepContext<'_>,
    ) -> Result<(), StepError> {
        if let (Some(memory), Doc::Object(members), 1..) =
            (cx.run.memory(), input, self.past_denials)
        {
            let denials = past_denials::read(memory, self.past_denials).await?;
            if !denials.is_empty() {
                Arc::make_mut(members).insert("past_denials".into(), Doc::array(denials));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use shared::blueprint::Blueprint;

    use crate::flow::agents::llm::bill::Bill;
    use crate::flow::agents::llm::provider::Model;
    use crate::flow::meter::Meter;
    use crate::flow::run_state::RunState;

    /// Runs `work` with a bill for a step that calls `model`.
    pub(super) async fn with_bill<T>(model: &Model, work: impl AsyncFnOnce(&Bill<'_>) -> T) -> T {
        let text = "id: t\nflow: {kind: seq, children: []}\nagents: []\n";
        let target = Arc::new(Blueprint::parse(text).unwrap());
        let deadline = Instant::now() + Duration::from_secs(600);
        let run = RunState::new(&target, shared::blueprint::Doc::Null, deadline, None);
        let meter = Meter::of("a", &run);
        work(&Bill::start(&meter, model)).await
    }
}
