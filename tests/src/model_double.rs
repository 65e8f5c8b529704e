//! A provider of language models that does as it is told: it speaks the Anthropic Messages and the
//! OpenAI chat completions shapes, streamed or whole, and misbehaves on request.
//!
//! Plain HTTP/1.1 over a socket of its own, because half of what it is for (to stall, to break
//! off, to see the caller hang up) is what an HTTP library would take care of.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::eventually::eventually_now;
pub use crate::model_shapes::{End, TOKENS};
use crate::model_shapes::{Said, Shape};

/// The header of a body in JSON.
const JSON: &str = "content-type: application/json\r\n";
/// Bytes of each piece of a flood.
const FLOOD_PIECE: usize = 16 * 1024;
/// Most pieces of a flood: far beyond any cap, and an end for one that has none.
const FLOOD_PIECES: usize = 4_096;

/// How a call is met.
#[derive(Debug, Clone)]
pub enum Act {
    /// With this text, in pieces.
    Say(String),
    /// With this text, as one JSON document, although a stream was asked for.
    SayWhole(String),
    /// With this text, once the test lets one such answer go.
    SayWhenLetGo(String),
    /// With this text, which ends as given.
    EndWith(String, End),
    /// With a call of the tool of this name.
    CallTool(&'static str),
    /// Not, if JSON mode is asked for; with this text otherwise.
    SayWithoutJsonMode(String),
    /// With this status, type of content and body.
    Body(u16, &'static str, &'static str),
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
    /// The host that it was meant for, if the caller took the double for a proxy.
    pub proxied_to: Option<String>,
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
    /// One permit for each answer that is let go.
    let_go: Semaphore,
    /// Calls that have no whole answer yet: now, and the most there were.
    open: Mutex<(usize, usize)>,
}

/// The running double; gone when dropped.
#[derive(Debug)]
pub struct ModelDouble {
    inside: Arc<Inside>,
    address: String,
    listening: JoinHandle<()>,
}

impl ModelDouble {
    /// Meets the first call with the first of `acts`, and so on; the last one is for all further
    /// calls.
    ///
    /// # Panics
    /// If there is no act or no free port.
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

    /// Where it is, for `DRAFTSMAN_LLM_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.inside.calls().clone()
    }

    /// Lets so many answers of [`Act::SayWhenLetGo`] go.
    pub fn let_go(&self, n: usize) {
        self.inside.let_go.add_permits(n);
    }

    /// The most calls that were open at once.
    pub fn most_open(&self) -> usize {
        self.inside.open().1
    }

    /// Waits until there were `n` calls.
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

    fn open(&self) -> std::sync::MutexGuard<'_, (usize, usize)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is open until this is dropped.
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

/// A caller that is gone.
struct Gone;

/// One call on each connection.
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
            // A proxy is asked for a whole URL (RFC 9112, section 3.2.2).
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
            // The caller has said all it has to say: what comes now is its leaving.
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
