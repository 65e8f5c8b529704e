//! The two protocols, Anthropic Messages and OpenAI chat completions: writes requests and reads
//! answers.

use serde_json::{Value, json};

use crate::flow::agents::llm::provider::{Model, Protocol};

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The model.
    Assistant,
    /// The worker.
    User,
}

/// A conversation with a model.
#[derive(Debug, Clone)]
pub(super) struct Conversation {
    system: String,
    messages: Vec<(Role, String)>,
}

impl Conversation {
    /// Returns a conversation with one message.
    pub(super) fn new(system: &str, message: String) -> Conversation {
        Conversation {
            system: system.to_owned(),
            messages: vec![(Role::User, message)],
        }
    }

    /// Adds a message, which must not be empty because providers reject empty messages.
    pub(super) fn say(&mut self, role: Role, text: String) {
        self.messages.push((role, text));
    }

    /// Returns the body of a request to `model` with a streamed answer.
    pub(super) fn request(&self, model: &Model, json_mode: bool) -> Value {
        let said = self.messages.iter().map(|(role, text)| {
            let role = match role {
                Role::Assistant => "assistant",
                Role::User => "user",
            };
            json!({"role": role, "content": text})
        });
        match model.provider.protocol {
            Protocol::Anthropic => json!({
                "model": model.name,
                "max_tokens": max_tokens(&model.name),
                "stream": true,
                "system": self.system,
                "messages": said.collect::<Vec<_>>(),
            }),
            Protocol::OpenAi => {
                let system = json!({"role": "system", "content": self.system});
                let messages: Vec<Value> = std::iter::once(system).chain(said).collect();
                let mut request = json!({
                    "model": model.name,
                    "stream": true,
                    "stream_options": {"include_usage": true},
                    "messages": messages,
                });
                if json_mode {
                    // Not a JSON Schema: a patch contains values of any type, which the strict
                    // schemas of providers cannot express.
                    request["response_format"] = json!({"type": "json_object"});
                }
                request
            }
        }
    }
}

/// Returns the maximum number of tokens in an answer of an Anthropic model; the API requires this
/// number.
fn max_tokens(model: &str) -> u32 {
    if model.contains("3-opus") || model.contains("3-haiku") || model.contains("3-sonnet") {
        return 4_096;
    }
    if model.contains("claude-3-5") {
        return 8_192;
    }
    let version = model.strip_prefix("claude-opus-4");
    let version = version.map(|rest| rest.trim_start_matches('-').split('-').next());
    match version.flatten() {
        // Versions 4.0 and 4.1. In names of 4.0 the date may follow directly.
        Some("" | "0" | "1") => 32_000,
        Some(date) if date.len() == 8 => 32_000,
        _ => 64_000,
    }
}

/// The end of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The answer is complete.
    Complete,
    /// The answer reached the maximum length of the model.
    Cut,
    /// The model, or a filter of the provider, refused.
    Refused,
}

/// The tokens of one request that the provider has reported so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Tokens sent.
    pub(super) input: u64,
    /// Tokens received.
    pub(super) output: u64,
}

/// The answer of a model, as received so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The text.
    pub(super) text: String,
    /// The text of a refusal.
    pub(super) refusal: String,
    /// The name of the first tool call; the name may be empty.
    pub(super) tool_call: Option<String>,
    /// True if the answer has reasoning apart from its text.
    pub(super) has_thought: bool,
    /// The end; `None` if the provider has not reported it.
    pub(super) end: Option<End>,
    /// The tokens of the request.
    pub(super) tokens: Tokens,
    /// The size of everything in the answer, including reasoning, in bytes.
    pub(super) n_bytes: usize,
}

/// The reason why an event is not usable.
#[derive(Debug)]
pub(super) enum EventError {
    /// The event does not follow the protocol.
    Malformed,
    /// The provider reported an error after the start of the answer.
    Failed(Value),
}

impl Answer {
    /// Reads one event, or the whole document. Returns true at the end of the answer.
    ///
    /// # Errors
    /// [`EventError`].
    pub(super) fn read(&mut self, protocol: Protocol, data: &str) -> Result<bool, EventError> {
        if data == "[DONE]" {
            return Ok(true);
        }
        let event: Value = serde_json::from_str(data).map_err(|_| EventError::Malformed)?;
        if !event.is_object() {
            return Err(EventError::Malformed);
        }
        if event.get("error").is_some_and(|error| !error.is_null()) {
            return Err(EventError::Failed(event));
        }
        match protocol {
            Protocol::Anthropic => self.read_anthropic(&event),
            Protocol::OpenAi => self.read_openai(&event),
        }
    }

    fn read_openai(&mut self, event: &Value) -> Result<bool, EventError> {
        let usage = match &event["usage"] {
            Value::Null => &event["x_groq"]["usage"],
            usage => usage,
        };
        let n_input = usage["prompt_tokens"].as_u64();
        self.count(n_input, usage["completion_tokens"].as_u64());
        let Some(choices) = event["choices"].as_array() else {
            // An event with usage only may omit the choices.
            return match usage {
                Value::Null => Err(EventError::Malformed),
                _ => Ok(false),
            };
        };
        let Some(choice) = choices.first() else {
            return Ok(false);
        };
        let said = match &choice["delta"] {
            Value::Null => &choice["message"],
            delta => delta,
        };
        match &said["content"] {
            Value::String(text) => self.say(text),
            // Mistral sends a list of parts, some of which are reasoning.
            Value::Array(parts) => {
                for part in parts {
                    match part["text"].as_str() {
                        Some(text) if part["type"] == "text" => self.say(text),
                        _ => self.think(&part.to_string()),
                    }
                }
            }
            _ => {}
        }
        for thought in ["reasoning_content", "reasoning"] {
            self.think(said[thought].as_str().unwrap_or_default());
        }
        self.refuse(said["refusal"].as_str().unwrap_or_default());
        for call in said["tool_calls"].as_array().into_iter().flatten() {
            self.call(&call["function"], "arguments");
        }
        match choice["finish_reason"].as_str() {
            None => {}
            Some("length") => self.end = Some(End::Cut),
            Some("content_filter") => self.end = Some(End::Refused),
            Some(_) => self.end = Some(End::Complete),
        }
        Ok(false)
    }

    fn read_anthropic(&mut self, event: &Value) -> Result<bool, EventError> {
        match event["type"].as_str() {
            Some("message_start") => self.count_anthropic(&event["message"]["usage"]),
            Some("content_block_start") => self.block(&event["content_block"]),
            Some("content_block_delta") => {
                let delta = &event["delta"];
                self.say(delta["text"].as_str().unwrap_or_default());
                self.think(delta["thinking"].as_str().unwrap_or_default());
                let arguments = delta["partial_json"].as_str().unwrap_or_default();
                self.n_bytes += arguments.len();
            }
            Some("message_delta") => {
                self.stop(&event["delta"]);
                self.count_anthropic(&event["usage"]);
            }
            Some("message_stop") => return Ok(true),
            // The whole answer, from a provider that does not stream.
            Some("message") => {
                for block in event["content"].as_array().into_iter().flatten() {
                    self.block(block);
                }
                self.stop(event);
                self.count_anthropic(&event["usage"]);
            }
            // Later versions of the API may add types of events.
            Some(_) => {}
            None => return Err(EventError::Malformed),
        }
        Ok(false)
    }

    fn block(&mut self, block: &Value) {
        match block["type"].as_str() {
            Some("tool_use" | "server_tool_use") => self.call(block, "input"),
            Some("thinking" | "redacted_thinking") => {
                self.has_thought = true;
                self.think(block["thinking"].as_str().unwrap_or_default());
            }
            _ => self.say(block["text"].as_str().unwrap_or_default()),
        }
    }

    fn stop(&mut self, said: &Value) {
        match said["stop_reason"].as_str() {
            None => {}
            Some("max_tokens" | "model_context_window_exceeded") => self.end = Some(End::Cut),
            Some("refusal") => self.end = Some(End::Refused),
            Some(_) => self.end = Some(End::Complete),
        }
    }

    fn count_anthropic(&mut self, usage: &Value) {
        let input = [
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
        ];
        let input = input.iter().filter_map(|name| usage[*name].as_u64());
        let sum = input.fold(0, u64::saturating_add);
        self.count(Some(sum), usage["output_tokens"].as_u64());
    }

    /// Records the reported tokens. They are totals of the request, so a later number replaces an
    /// earlier one.
    fn count(&mut self, input: Option<u64>, output: Option<u64>) {
        self.tokens.input = self.tokens.input.max(input.unwrap_or(0));
        self.tokens.output = self.tokens.output.max(output.unwrap_or(0));
    }

    fn say(&mut self, text: &str) {
        self.n_bytes += text.len();
        self.text.push_str(text);
    }

    fn think(&mut self, text: &str) {
        self.n_bytes += text.len();
        self.has_thought |= !text.is_empty();
    }

    fn refuse(&mut self, text: &str) {
        self.n_bytes += text.len();
        self.refusal.push_str(text);
    }

    fn call(&mut self, call: &Value, arguments: &str) {
        self.n_bytes += call[arguments].as_str().unwrap_or_default().len();
        let name = call["name"].as_str().unwrap_or_default();
        let first = self.tool_call.get_or_insert_default();
        if first.is_empty() {
            name.clone_into(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(protocol: Protocol, events: &[Value]) -> Answer {
        let mut answer = Answer::default();
        for event in events {
            answer.read(protocol, &event.to_string()).unwrap();
        }
        answer
    }

    #[test]
    fn the_longest_answer_depends_on_the_model() {
        for (model, n) in [
            ("claude-3-haiku-20240307", 4_096),
            ("claude-3-5-sonnet-latest", 8_192),
            ("claude-opus-4-20250514", 32_000),
            ("claude-opus-4-1-20250805", 32_000),
            ("claude-opus-4-0", 32_000),
            ("claude-opus-4-5", 64_000),
            ("claude-sonnet-4-5", 64_000),
            ("MiniMax-M2", 64_000),
        ] {
            assert_eq!(max_tokens(model), n, "{model}");
        }
    }

    #[test]
    fn both_protocols_tell_text_thought_refusal_and_tools_apart() {
        let openai = |delta: Value, finish: Option<&str>| {
            let event = json!({"choices": [{"delta": delta, "finish_reason": finish}]});
            read(Protocol::OpenAi, &[event])
        };
        let said = openai(json!({"content": "x", "reasoning": "hm"}), Some("length"));
        assert_eq!((said.text.as_str(), said.end), ("x", Some(End::Cut)));
        assert!(said.has_thought && said.n_bytes == 3);
        let parts = json!([{"type": "thinking", "thinking": []}, {"type": "text", "text": "y"}]);
        let parts = openai(json!({"content": parts}), Some("stop"));
        assert!(parts.text == "y" && parts.has_thought);
        assert_eq!(openai(json!({"refusal": "no"}), None).refusal, "no");
        let filtered = openai(json!({}), Some("content_filter"));
        assert_eq!(filtered.end, Some(End::Refused));
        let call = json!({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]});
        assert_eq!(openai(call, None).tool_call.as_deref(), Some("f"));

        let start = |block: Value| json!({"type": "content_block_start", "content_block": block});
        let said = read(
            Protocol::Anthropic,
            &[
                start(json!({"type": "redacted_thinking", "data": "x"})),
                start(json!({"type": "tool_use", "name": "g", "input": {}})),
                json!({"type": "message_delta", "delta": {"stop_reason": "refusal"}}),
            ],
        );
        assert!(said.has_thought && said.text.is_empty());
        assert_eq!(said.tool_call.as_deref(), Some("g"));
        assert_eq!(said.end, Some(End::Refused));
    }

    #[test]
    fn tokens_are_those_of_the_whole_request() {
        let started = json!({"type": "message_start", "message": {"usage":
            {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1}}});
        let ended = json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 9}});
        let tokens = read(Protocol::Anthropic, &[started, ended]).tokens;
        assert_eq!((tokens.input, tokens.output), (7, 9));
        let usage = json!({"prompt_tokens": 5, "completion_tokens": 2});
        for event in [
            json!({"choices": [], "usage": usage}),
            json!({"usage": usage}),
            json!({"choices": [{"delta": {}}], "x_groq": {"usage": usage}}),
        ] {
            let tokens = read(Protocol::OpenAi, &[event]).tokens;
            assert_eq!((tokens.input, tokens.output), (5, 2));
        }
    }

    #[test]
    fn what_is_no_event_is_told_from_an_error() {
        let mut answer = Answer::default();
        let mut read = |text: &str| answer.read(Protocol::OpenAi, text);
        assert!(matches!(read("[DONE]"), Ok(true)));
        assert!(matches!(read("<html>"), Err(EventError::Malformed)));
        assert!(matches!(read("{}"), Err(EventError::Malformed)));
        assert!(matches!(
            read(r#"{"error": "e"}"#),
            Err(EventError::Failed(_))
        ));
    }
}
