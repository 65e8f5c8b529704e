//! Kind `llm`: one chat completion. The profile's system prompt is the system message, the step's
//! input as JSON the user's; the reply is one JSON object.
//!
//! A reply that is none, or is no patch where one is due, goes back to the model with what is
//! wrong with it, a bounded number of times. Prompts, replies and keys are never logged.

pub(in crate::flow) mod client;
mod fault;
pub(in crate::flow) mod judge;
mod reply;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use genai::chat::{ChatMessage, ChatRequest, Usage};
use shared::blueprint::{Doc, json};

use super::super::error::StepError;
use super::super::meter::Meter;
use super::super::past_denials;
use super::super::run_state::SPAWNER;
use super::{Agent, StepContext};
use client::{Answer, Model, Models};

/// The kind's name in documents.
pub(in crate::flow) const KIND: &str = "llm";

/// How often a reply that cannot be used is asked for again.
const MAX_REPAIRS: u32 = 2;

/// Asks one model.
#[derive(Debug)]
pub(in crate::flow) struct LlmAgent {
    models: Arc<Models>,
    model: Model,
    system_prompt: String,
    past_denials: usize,
}

impl LlmAgent {
    /// An agent that asks `model` under `system_prompt`, and tells it of so many past denials.
    pub(in crate::flow) fn new(
        models: Arc<Models>,
        model: Model,
        system_prompt: &str,
        past_denials: usize,
    ) -> Self {
        let mut system_prompt = system_prompt.to_owned();
        // A provider's JSON mode refuses a conversation that does not speak of JSON.
        if !system_prompt.to_ascii_lowercase().contains("json") {
            system_prompt.push_str("\n\nAnswer with exactly one JSON object and nothing else.");
        }
        Self {
            models,
            model,
            system_prompt,
            past_denials,
        }
    }
}

#[async_trait]
impl Agent for LlmAgent {
    async fn run(&self, mut input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        self.tell_past_denials(&mut input, cx).await?;
        let is_spawner = cx.step == SPAWNER;
        let timer = Timer::start(cx.meter, &self.model);
        let mut request = ChatRequest::from_system(self.system_prompt.as_str())
            .append_message(ChatMessage::user(json::emit(&input)));
        drop(input);
        let mut repairs = 0;
        loop {
            timer.calls();
            let answer = self.models.ask(&self.model, request.clone()).await?;
            timer.tokens(&answer.usage);
            let read = reply::read(&answer.text);
            let problem = match &read {
                Err(problem) => Some(problem.clone()),
                Ok(reply) if is_spawner => reply::no_patch(reply),
                Ok(_) => None,
            };
            let Some(problem) = problem else {
                return read.map_err(|problem| self.no_object(repairs, &problem));
            };
            if repairs == MAX_REPAIRS {
                // What is an object but no patch is for the applier to deny, as from any spawner.
                return read.map_err(|problem| self.no_object(repairs, &problem));
            }
            repairs += 1;
            tracing::info!(
                step = cx.step,
                repairs,
                "the model's reply cannot be used; asking again"
            );
            request = asked_again(request, answer, problem);
        }
    }
}

/// The conversation with an answer that cannot be used, and what is wrong with it.
fn asked_again(request: ChatRequest, answer: Answer, mut problem: String) -> ChatRequest {
    if answer.is_cut {
        problem.push_str("; it was cut off at the longest answer that you can give");
    }
    request
        .append_message(ChatMessage::assistant(reply::quoted(answer.text)))
        .append_message(ChatMessage::user(format!(
            "That answer cannot be used: {problem}. Answer again, in full, with exactly one JSON object and nothing else."
        )))
}

impl LlmAgent {
    /// Adds `past_denials` to the input, if this agent asks for them and there are some.
    async fn tell_past_denials(
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

    fn no_object(&self, repairs: u32, problem: &str) -> StepError {
        StepError::Permanent {
            message: format!(
                "model {} gave no JSON object in {} replies; the last one {problem}. Try another model, or look at the agent's system prompt",
                self.model,
                repairs + 1
            ),
        }
    }
}

/// Writes down what the step costs, also if it is dropped half-way.
struct Timer<'a> {
    meter: &'a Meter<'a>,
    started: Instant,
}

impl<'a> Timer<'a> {
    fn start(meter: &'a Meter<'a>, model: &Model) -> Self {
        meter.record(|usage| {
            usage.agent_kind = KIND.to_owned();
            usage.model = model.name.clone();
        });
        Self {
            meter,
            started: Instant::now(),
        }
    }

    fn calls(&self) {
        self.meter.record(|usage| usage.calls += 1);
    }

    fn tokens(&self, of_call: &Usage) {
        let count = |tokens: Option<i32>| tokens.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        self.meter.record(|usage| {
            usage.input_tokens += count(of_call.prompt_tokens);
            usage.output_tokens += count(of_call.completion_tokens);
        });
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let ms = self.started.elapsed().as_millis() as u64;
        self.meter.record(|usage| usage.duration_ms += ms);
    }
}
