//! The answers of [`crate::model_double`] in the protocols of the providers.

use serde_json::{Value, json};

/// The tokens that every answer reports: input and output.
pub const TOKENS: (u64, u64) = (11, 7);

/// The end of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A normal end.
    Stop,
    /// The maximum length.
    Cut,
    /// A refusal; the text is part of it.
    Refused,
}

/// The content of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// Its text.
    pub(crate) text: String,
    /// The tool that it calls.
    pub(crate) tool: Option<&'static str>,
    /// How it ends.
    pub(crate) end: End,
}

impl Said {
    /// An answer with this text and a normal end.
    pub(crate) fn text(text: &str) -> Said {
        Said {
            text: text.to_owned(),
            tool: None,
            end: End::Stop,
        }
    }
}

/// A protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI chat completions.
    OpenAi,
}

impl Shape {
    /// The protocol that a path belongs to.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/messages" => Shape::Anthropic,
            "/v1/chat/completions" => Shape::OpenAi,
            other => panic!("a path of no known provider: {other}"),
        }
    }

    /// The start of a stream.
    pub(crate) fn start(self) -> String {
        match self {
            Shape::Anthropic => {
                let usage = json!({"input_tokens": TOKENS.0, "output_tokens": 1});
                [
                    json!({"type": "message_start", "message": {"role": "assistant", "content": [], "usage": usage}}),
                    json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                ]
                .iter()
                .map(event)
                .collect()
            }
            Shape::OpenAi => data(
                &json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
            ),
        }
    }

    /// A chunk of text.
    pub(crate) fn piece(self, text: &str) -> String {
        match self {
            Shape::Anthropic => event(
                &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
            ),
            Shape::OpenAi => data(&json!({"choices": [{"index": 0, "delta": {"content": text}}]})),
        }
    }

    /// Everything after the text.
    pub(crate) fn end(self, said: &Said) -> String {
        match self {
            Shape::Anthropic => {
                let usage = json!({"output_tokens": TOKENS.1});
                let stop = event(&json!({"type": "content_block_stop", "index": 0}));
                let tool = said.tool.map(|name| {
                    let block = json!({"type": "tool_use", "id": "t", "name": name, "input": {}});
                    let start =
                        json!({"type": "content_block_start", "index": 1, "content_block": block});
                    let stop = json!({"type": "content_block_stop", "index": 1});
                    [event(&start), event(&stop)].concat()
                });
                let delta = json!({"type": "message_delta", "delta": {"stop_reason": self.reason(said)}, "usage": usage});
                let end = event(&json!({"type": "message_stop"}));
                [stop, tool.unwrap_or_default(), event(&delta), end].concat()
            }
            Shape::OpenAi => {
                let mut delta = json!({});
                if let Some(name) = said.tool {
                    let function = json!({"name": name, "arguments": "{}"});
                    delta["tool_calls"] = json!([{"index": 0, "id": "t", "function": function}]);
                }
                let choice =
                    json!({"index": 0, "delta": delta, "finish_reason": self.reason(said)});
                let usage = json!({"choices": [], "usage": openai_usage()});
                let done = "data: [DONE]\n\n".to_owned();
                [data(&json!({"choices": [choice]})), data(&usage), done].concat()
            }
        }
    }

    /// The whole answer as one document.
    pub(crate) fn whole(self, said: &Said) -> Value {
        let text = &said.text;
        match self {
            Shape::Anthropic => json!({
                "type": "message", "role": "assistant", "content": [{"type": "text", "text": text}],
                "stop_reason": self.reason(said),
                "usage": {"input_tokens": TOKENS.0, "output_tokens": TOKENS.1},
            }),
            Shape::OpenAi => json!({
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": self.reason(said)}],
                "usage": openai_usage(),
            }),
        }
    }

    fn reason(self, said: &Said) -> &'static str {
        match (self, said.end, said.tool) {
            (Shape::Anthropic, End::Cut, _) => "max_tokens",
            (Shape::Anthropic, End::Refused, _) => "refusal",
            (Shape::Anthropic, End::Stop, Some(_)) => "tool_use",
            (Shape::Anthropic, End::Stop, None) => "end_turn",
            (Shape::OpenAi, End::Cut, _) => "length",
            (Shape::OpenAi, End::Refused, _) => "content_filter",
            (Shape::OpenAi, End::Stop, Some(_)) => "tool_calls",
            (Shape::OpenAi, End::Stop, None) => "stop",
        }
    }
}

fn openai_usage() -> Value {
    json!({"prompt_tokens": TOKENS.0, "completion_tokens": TOKENS.1, "total_tokens": TOKENS.0 + TOKENS.1})
}

fn event(value: &Value) -> String {
    let name = value["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {value}\n\n")
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}
