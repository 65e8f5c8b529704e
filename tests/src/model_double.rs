//! A provider of language models that does as it is told: it speaks the Anthropic Messages, the
//! OpenAI chat completions and the Ollama chat shapes, streamed or whole as the caller asks, and misbehaves on request.
//!
//! Plain HTTP/1.1 over a socket of its own, because half of what it is for (to stall, to break
//! off, to see the caller hang up) is what an HTTP library would take care of.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::eventually::eventually_now;

/// Tokens that every answer is said to have cost: sent and received.
pub const TOKENS: (u64, u64) = (11, 7);
/// Bytes of each piece of a flood.
const FLOOD_PIECE: usize = 16 * 1024;
/// Most pieces of a flood: far beyond any cap, and an end for one that has none.
const FLOOD_PIECES: usize = 4_096;

/// How a call is met.
#[derive(Debug, Clone)]
pub enum Act {
    /// With this text, in pieces.
    Say(String),
    /// With this status and, if given, this `retry-after`. The body repeats the caller's key.
    Refuse(u16, Option<&'static str>),
    /// Not at all, until the caller hangs up.
    Stall,
    /// With text that does not end.
    Flood,
    /// With one piece that does not end, so that nothing of it can be read; its status is this one.
    EndlessLine(u16),
    /// With the first piece of a text; then the connection is closed.
    HangUp,
}

/// A call, as it came.
#[derive(Debug, Clone)]
pub struct Call {
    /// The path of the request.
    pub path: String,
    /// The key that it brought.
    pub key: String,
    /// Its body.
    pub body: Value,
    /// The caller was gone before it had an answer.
    pub hung_up: bool,
}

impl Call {
    /// The messages of the conversation as `(role, text)`, the system's first.
    pub fn messages(&self) -> Vec<(String, String)> {
        let text = |content: &Value| match content {
            Value::String(text) => text.clone(),
            parts => {
                let parts = parts.as_array().map(Vec::as_slice).unwrap_or_default();
                parts.iter().filter_map(|p| p["text"].as_str()).collect()
            }
        };
        let system = self.body.get("system");
        let messages = self.body["messages"].as_array();
        system
            .map(|system| ("system".to_owned(), text(system)))
            .into_iter()
            .chain(messages.into_iter().flatten().map(|message| {
                let role = message["role"].as_str().unwrap_or_default();
                (role.to_owned(), text(&message["content"]))
            }))
            .collect()
    }
}

#[derive(Debug)]
struct Inside {
    acts: Vec<Act>,
    calls: Mutex<Vec<Call>>,
}

/// The running double; gone when dropped.
#[derive(Debug)]
pub struct ModelDouble {
    inside: Arc<Inside>,
    address: String,
    listening: JoinHandle<()>,
}

impl ModelDouble {
    /// Meets the first call with the first of `acts`, and so on; the last one is for all further calls.
    ///
    /// # Panics
    /// If there is no act or no free port.
    pub async fn start(acts: Vec<Act>) -> Self {
        assert!(!acts.is_empty(), "a double needs something to do");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address").to_string();
        let calls = Mutex::default();
        let inside = Arc::new(Inside { acts, calls });
        let shared = Arc::clone(&inside);
        let listening = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&shared)));
            }
        });
        Self {
            inside,
            address,
            listening,
        }
    }

    /// Where it is, for `DRAFTSMAN_LLM_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.inside.calls().clone()
    }

    /// Waits until there were `n` calls.
    ///
    /// # Panics
    /// If that does not come to be.
    pub async fn until_called(&self, n: usize) {
        eventually_now(&format!("the model was called {n} times"), || {
            let calls = self.calls();
            let there = calls.len() == n;
            there.then_some(()).ok_or_else(|| format!("{calls:?}"))
        })
        .await;
    }

    /// Waits until the caller of the last call has hung up before it had an answer.
    ///
    /// # Panics
    /// If it does not.
    pub async fn until_hung_up(&self) {
        eventually_now("the caller hangs up", || {
            let last = self.calls().pop();
            match last {
                Some(call) if call.hung_up => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

impl Drop for ModelDouble {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Inside {
    fn calls(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that is gone.
struct Gone;

/// One call on each connection.
async fn serve(mut socket: TcpStream, inside: Arc<Inside>) {
    let Some(call) = read(&mut socket).await else {
        return;
    };
    let (index, act) = {
        let mut calls = inside.calls();
        calls.push(call.clone());
        let index = calls.len() - 1;
        let last = inside.acts.len() - 1;
        (index, inside.acts[index.min(last)].clone())
    };
    if answer(&mut socket, &call, act).await.is_err() {
        inside.calls()[index].hung_up = true;
    }
}

async fn read(socket: &mut TcpStream) -> Option<Call> {
    let mut bytes = Vec::new();
    loop {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        let length: usize = header("content-length")?.parse().ok()?;
        let body = &bytes[end + 4..];
        if body.len() < length {
            continue;
        }
        let bearer = header("authorization").map(|h| h.replace("Bearer ", ""));
        return Some(Call {
            path: head.split(' ').nth(1)?.to_owned(),
            key: header("x-api-key").or(bearer).unwrap_or_default(),
            body: serde_json::from_slice(&body[..length]).ok()?,
            hung_up: false,
        });
    }
}

async fn answer(socket: &mut TcpStream, call: &Call, act: Act) -> Result<(), Gone> {
    let shape = Shape::of(&call.path);
    let (text, breaks_off) = match act {
        Act::Refuse(status, retry_after) => {
            let retry = retry_after.map(|wait| format!("retry-after: {wait}\r\n"));
            let words = format!("no, {}", call.key);
            let body = json!({"type": "error", "error": {"type": "e", "message": words}});
            return whole(socket, status, &retry.unwrap_or_default(), &body).await;
        }
        Act::Stall => {
            let mut nothing = [0; 1];
            // The caller has said all it has to say: what comes now is its leaving.
            let _ = socket.read(&mut nothing).await;
            return Err(Gone);
        }
        Act::Say(text) if !shape.streams(&call.body) => {
            return whole(socket, 200, "", &shape.whole(&text)).await;
        }
        Act::Say(text) => (Some(text), false),
        Act::HangUp => (None, true),
        Act::Flood => (None, false),
        Act::EndlessLine(status) => return endless_line(socket, status, shape).await,
    };
    let kind = shape.content_type();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    send(socket, head.as_bytes()).await?;
    chunk(socket, &shape.start()).await?;
    match text {
        Some(text) => {
            let letters: Vec<char> = text.chars().collect();
            for piece in letters.chunks(40) {
                let piece: String = piece.iter().collect();
                chunk(socket, &shape.piece(&piece)).await?;
            }
            chunk(socket, &shape.end()).await?;
            send(socket, b"0\r\n\r\n").await
        }
        None if breaks_off => chunk(socket, &shape.piece("{\"ops\":")).await,
        None => {
            let piece = shape.piece(&"x".repeat(FLOOD_PIECE));
            for _ in 0..FLOOD_PIECES {
                chunk(socket, &piece).await?;
            }
            Ok(())
        }
    }
}

async fn endless_line(socket: &mut TcpStream, status: u16, shape: Shape) -> Result<(), Gone> {
    let kind = shape.content_type();
    let head = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    send(socket, head.as_bytes()).await?;
    let piece = "x".repeat(FLOOD_PIECE);
    for _ in 0..FLOOD_PIECES {
        chunk(socket, &piece).await?;
    }
    Ok(())
}

async fn whole(
    socket: &mut TcpStream,
    status: u16,
    headers: &str,
    body: &Value,
) -> Result<(), Gone> {
    let body = body.to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    send(socket, answer.as_bytes()).await
}

async fn chunk(socket: &mut TcpStream, data: &str) -> Result<(), Gone> {
    let chunk = format!("{:x}\r\n{data}\r\n", data.len());
    send(socket, chunk.as_bytes()).await
}

async fn send(socket: &mut TcpStream, bytes: &[u8]) -> Result<(), Gone> {
    socket.write_all(bytes).await.map_err(|_| Gone)
}

/// How a provider speaks.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Anthropic,
    OpenAi,
    Ollama,
}

impl Shape {
    fn of(path: &str) -> Self {
        match path {
            "/v1/messages" => Shape::Anthropic,
            "/v1/chat/completions" => Shape::OpenAi,
            "/v1/api/chat" => Shape::Ollama,
            other => panic!("a path of no known provider: {other}"),
        }
    }

    fn streams(self, body: &Value) -> bool {
        // Ollama streams unless it is told not to.
        let default = matches!(self, Shape::Ollama);
        body["stream"].as_bool().unwrap_or(default)
    }

    fn content_type(self) -> &'static str {
        match self {
            Shape::Ollama => "application/x-ndjson",
            _ => "text/event-stream",
        }
    }

    fn start(self) -> String {
        match self {
            Shape::Anthropic => {
                let usage = json!({"input_tokens": TOKENS.0, "output_tokens": 1});
                event(
                    &json!({"type": "message_start", "message": {"role": "assistant", "content": [], "usage": usage}}),
                ) + &event(
                    &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                )
            }
            Shape::OpenAi => data(
                &json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
            ),
            Shape::Ollama => {
                line(&json!({"message": {"role": "assistant", "content": ""}, "done": false}))
            }
        }
    }

    fn piece(self, text: &str) -> String {
        match self {
            Shape::Anthropic => event(
                &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
            ),
            Shape::OpenAi => data(&json!({"choices": [{"index": 0, "delta": {"content": text}}]})),
            Shape::Ollama => {
                line(&json!({"message": {"role": "assistant", "content": text}, "done": false}))
            }
        }
    }

    fn end(self) -> String {
        match self {
            Shape::Anthropic => {
                let usage = json!({"output_tokens": TOKENS.1});
                event(&json!({"type": "content_block_stop", "index": 0}))
                    + &event(
                        &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}),
                    )
                    + &event(&json!({"type": "message_stop"}))
            }
            Shape::OpenAi => {
                data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
                    + &data(&json!({"choices": [], "usage": openai_usage()}))
                    + "data: [DONE]\n\n"
            }
            Shape::Ollama => line(
                &json!({"message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": TOKENS.0, "eval_count": TOKENS.1}),
            ),
        }
    }

    fn whole(self, text: &str) -> Value {
        match self {
            Shape::Anthropic => json!({
                "role": "assistant", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
                "usage": {"input_tokens": TOKENS.0, "output_tokens": TOKENS.1},
            }),
            Shape::OpenAi => json!({
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": openai_usage(),
            }),
            Shape::Ollama => json!({
                "message": {"role": "assistant", "content": text}, "done": true, "done_reason": "stop",
                "prompt_eval_count": TOKENS.0, "eval_count": TOKENS.1,
            }),
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

fn line(value: &Value) -> String {
    format!("{value}\n")
}
