//! A scripted test double of a model provider. It speaks the Anthropic Messages and the OpenAI chat
//! completions protocols, streamed or not, and misbehaves on request.
//!
//! It implements plain HTTP/1.1 on a socket, because its faults (stalls, interrupted streams,
//! detection of disconnected callers) are cases that an HTTP library hides.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::eventually::eventually_now;
pub use crate::model_shapes::{End, TOKENS};
use crate::model_shapes::{Said, Shape};

/// The header of a JSON body.
const JSON: &str = "content-type: application/json\r\n";
/// The size of each chunk of a flood.
const FLOOD_PIECE: usize = 16 * 1024;
/// The maximum number of chunks of a flood: above any limit, but finite for callers without a
/// limit.
const FLOOD_PIECES: usize = 4_096;

/// The reaction to a call.
#[derive(Debug, Clone)]
pub enum Act {
    /// Streams this text.
    Say(String),
    /// Sends this text as one JSON document, although a stream was requested.
    SayWhole(String),
    /// Sends this text once the test allows one such answer.
    SayWhenLetGo(String),
    /// Sends this text with the given end.
    EndWith(String, End),
    /// Calls the tool of this name.
    CallTool(&'static str),
    /// Rejects JSON mode; sends this text otherwise.
    SayWithoutJsonMode(String),
    /// Sends this status, content type and body.
    Body(u16, &'static str, &'static str),
    /// Sends this status and, if given, this `retry-after`. The body repeats the caller's key.
    Refuse(u16, Option<&'static str>),
    /// Sends nothing until the caller disconnects.
    Stall,
    /// Sends text without an end.
    Flood,
    /// Sends one line without an end and with this status, so that no part of it can be parsed.
    EndlessLine(u16),
    /// Sends the first chunk of a text, then closes the connection.
    HangUp,
}

/// A received call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The path of the request.
    pub path: String,
    /// The requested host, if the caller used the double as a proxy.
    pub proxied_to: Option<String>,
    /// The API key of the caller.
    pub key: String,
    /// The body of the request.
    pub body: Value,
    /// Whether the caller disconnected before it had an answer.
    pub hung_up: bool,
}

impl Call {
    /// The messages of the conversation as `(role, text)`, the system message first.
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
    /// One permit for each allowed answer.
    let_go: Semaphore,
    /// Calls without a complete answer: the present and the maximum number.
    open: Mutex<(usize, usize)>,
}

/// The running double, which stops when it is dropped.
#[derive(Debug)]
pub struct ModelDouble {
    inside: Arc<Inside>,
    address: String,
    listening: JoinHandle<()>,
}

impl ModelDouble {
    /// Reacts to the n-th call with the n-th of `acts`. The last one applies to all further calls.
    ///
    /// # Panics
    /// If `acts` is empty or no port is free.
    pub async fn start(acts: Vec<Act>) -> Self {
        assert!(!acts.is_empty(), "a double needs something to do");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address").to_string();
        let inside = Arc::new(Inside {
            acts,
            calls: Mutex::default(),
            let_go: Semaphore::new(0),
            open: Mutex::default(),
        });
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

    /// The URL for `DRAFTSMAN_LLM_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.inside.calls().clone()
    }

    /// Allows `n` answers of [`Act::SayWhenLetGo`].
    pub fn let_go(&self, n: usize) {
        self.inside.let_go.add_permits(n);
    }

    /// The maximum number of concurrent calls.
    pub fn most_open(&self) -> usize {
        self.inside.open().1
    }

    /// Waits until the double has received `n` calls.
    ///
    /// # Panics
    /// If this does not happen within the wait limit.
    pub async fn until_called(&self, n: usize) {
        eventually_now(&format!("the model was called {n} times"), || {
            let calls = self.calls();
            let there = calls.len() == n;
            there.then_some(()).ok_or_else(|| format!("{calls:?}"))
        })
        .await;
    }

    /// Waits until the caller of the last call has disconnected before it had an answer.
    ///
    /// # Panics
    /// If the caller does not disconnect within the wait limit.
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

    fn open(&self) -> std::sync::MutexGuard<'_, (usize, usize)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a call as open until it is dropped.
struct Open<'a>(&'a Inside);

impl<'a> Open<'a> {
    fn begin(inside: &'a Inside) -> Self {
        let mut open = inside.open();
        open.0 += 1;
        open.1 = open.1.max(open.0);
        Self(inside)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open().0 -= 1;
    }
}

/// The caller has disconnected.
struct Gone;

/// Serves one call per connection.
async fn serve(mut socket: TcpStream, inside: Arc<Inside>) {
    let Some(call) = read(&mut socket).await else {
        return;
    };
    let _open = Open::begin(&inside);
    let (index, act) = {
        let mut calls = inside.calls();
        calls.push(call.clone());
        let index = calls.len() - 1;
        let last = inside.acts.len() - 1;
        (index, inside.acts[index.min(last)].clone())
    };
    if answer(&mut socket, &call, act, &inside).await.is_err() {
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
        let target = head.split(' ').nth(1)?;
        return Some(Call {
            // A proxy receives the absolute form of the URL (RFC 9112, section 3.2.2).
            proxied_to: target
                .strip_prefix("http://")
                .and_then(|rest| rest.split_once('/'))
                .map(|(host, _)| host.to_owned()),
            path: match target.strip_prefix("http://").map(|rest| rest.find('/')) {
                Some(Some(at)) => target["http://".len() + at..].to_owned(),
                _ => target.to_owned(),
            },
            key: header("x-api-key").or(bearer).unwrap_or_default(),
            body: serde_json::from_slice(&body[..length]).ok()?,
            hung_up: false,
        });
    }
}

async fn answer(
    socket: &mut TcpStream,
    call: &Call,
    act: Act,
    inside: &Inside,
) -> Result<(), Gone> {
    let shape = Shape::of(&call.path);
    let (said, breaks_off) = match act {
        Act::Refuse(status, retry_after) => {
            let retry = retry_after.map(|wait| format!("{JSON}retry-after: {wait}\r\n"));
            let words = format!("no, {}", call.key);
            let body = json!({"type": "error", "error": {"type": "e", "message": words}});
            return whole(
                socket,
                status,
                retry.as_deref().unwrap_or(JSON),
                &body.to_string(),
            )
            .await;
        }
        Act::Body(status, kind, body) => {
            let headers = format!("content-type: {kind}\r\n");
            return whole(socket, status, &headers, body).await;
        }
        Act::SayWithoutJsonMode(_) if !call.body["response_format"].is_null() => {
            let words = "'response_format' of type 'json_object' is not supported by this model";
            let body = json!({"error": {"message": words}}).to_string();
            return whole(socket, 400, JSON, &body).await;
        }
        Act::Stall => {
            let mut nothing = [0; 1];
            // The caller sends no more data, so a read returns only when it disconnects.
            let _ = socket.read(&mut nothing).await;
            return Err(Gone);
        }
        Act::SayWhole(text) => {
            let body = shape.whole(&Said::text(&text)).to_string();
            return whole(socket, 200, JSON, &body).await;
        }
        Act::SayWhenLetGo(text) => {
            let permit = inside.let_go.acquire().await.expect("never closed");
            permit.forget();
            (Some(Said::text(&text)), false)
        }
        Act::Say(text) | Act::SayWithoutJsonMode(text) => (Some(Said::text(&text)), false),
        Act::EndWith(text, end) => {
            let said = Said {
                end,
                ..Said::text(&text)
            };
            (Some(said), false)
        }
        Act::CallTool(name) => {
            let said = Said {
                tool: Some(name),
                ..Said::text("")
            };
            (Some(said), false)
        }
        Act::HangUp => (None, true),
        Act::Flood => (None, false),
        Act::EndlessLine(status) => return endless_line(socket, status).await,
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    send(socket, head.as_bytes()).await?;
    chunk(socket, &shape.start()).await?;
    match said {
        Some(said) => {
            let letters: Vec<char> = said.text.chars().collect();
            for piece in letters.chunks(40) {
                let piece: String = piece.iter().collect();
                chunk(socket, &shape.piece(&piece)).await?;
            }
            chunk(socket, &shape.end(&said)).await?;
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

async fn endless_line(socket: &mut TcpStream, status: u16) -> Result<(), Gone> {
    let head = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    send(socket, head.as_bytes()).await?;
    let piece = "x".repeat(FLOOD_PIECE);
    for _ in 0..FLOOD_PIECES {
        chunk(socket, &piece).await?;
    }
    Ok(())
}

async fn whole(socket: &mut TcpStream, status: u16, headers: &str, body: &str) -> Result<(), Gone> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Told\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
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
