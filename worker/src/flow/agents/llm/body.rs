//! Reads the body of an answer with bounded memory.
//!
//! An answer is a stream of server-sent events (WHATWG HTML, section 9.2), or one JSON document
//! from a provider that does not stream. A line longer than [`MAX_LINE_BYTES`] is an error.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use crate::flow::agents::llm::limits::MAX_REPLY_BYTES;

/// The maximum size of a line, or of a body that is one document: an escaped reply with its
/// protocol envelope.
const MAX_LINE_BYTES: usize = 2 * MAX_REPLY_BYTES;

/// An error while reading a body.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The provider sent no data within the timeout.
    Idle,
    /// A line, or the body, exceeds the limit.
    TooLong,
    /// The connection failed.
    Broken(reqwest::Error),
}

/// A reader of the data of successive events.
#[derive(Debug)]
pub(super) struct Body {
    response: Response,
    idle_timeout: Duration,
    is_stream: bool,
    /// Received bytes.
    buffer: Vec<u8>,
    /// The number of bytes of `buffer` that are consumed.
    n_read: usize,
    has_ended: bool,
    has_bytes: bool,
}

impl Body {
    /// Returns a reader for `response`. It fails if no data arrives within `idle_timeout`.
    pub(super) fn new(response: Response, idle_timeout: Duration) -> Body {
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        Body {
            is_stream: !kind.trim_start().starts_with("application/json"),
            response,
            idle_timeout,
            buffer: Vec::new(),
            n_read: 0,
            has_ended: false,
            has_bytes: false,
        }
    }

    /// True for a stream of events, false for a single document.
    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// True if any byte was received.
    pub(super) fn has_bytes(&self) -> bool {
        self.has_bytes
    }

    /// Returns the data of the next event without its field name, or the whole document. Returns
    /// `None` at the end.
    ///
    /// Each data line counts as an event, because no provider splits its JSON over several lines.
    ///
    /// # Errors
    /// [`BodyError`].
    pub(super) async fn next(&mut self) -> Result<Option<String>, BodyError> {
        if !self.is_stream {
            return self.document().await;
        }
        while let Some(line) = self.line().await? {
            if let Some(data) = line.strip_prefix("data:") {
                return Ok(Some(data.trim().to_owned()));
            }
        }
        Ok(None)
    }

    async fn document(&mut self) -> Result<Option<String>, BodyError> {
        if self.has_ended {
            return Ok(None);
        }
        while self.more().await? {}
        let bytes = std::mem::take(&mut self.buffer);
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn line(&mut self) -> Result<Option<String>, BodyError> {
        let mut n_searched = self.n_read;
        loop {
            let rest = &self.buffer[n_searched..];
            if let Some(at) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') {
                let end = n_searched + at;
                let line = String::from_utf8_lossy(&self.buffer[self.n_read..end]).into_owned();
                // In `\r\n`, the second byte ends an empty line, which is not data.
                self.n_read = end + 1;
                return Ok(Some(line));
            }
            self.buffer.drain(..self.n_read);
            self.n_read = 0;
            n_searched = self.buffer.len();
            if !self.more().await? {
                // An event without its line end is incomplete.
                return Ok(None);
            }
        }
    }

    /// Waits for more data; returns false at the end.
    async fn more(&mut self) -> Result<bool, BodyError> {
        let chunk = tokio::time::timeout(self.idle_timeout, self.response.chunk()).await;
        let chunk = chunk.map_err(|_| BodyError::Idle)?;
        let Some(chunk) = chunk.map_err(BodyError::Broken)? else {
            self.has_ended = true;
            return Ok(false);
        };
        if self.buffer.len() + chunk.len() > MAX_LINE_BYTES {
            return Err(BodyError::TooLong);
        }
        self.has_bytes |= !chunk.is_empty();
        self.buffer.extend_from_slice(&chunk);
        Ok(true)
    }
}

/// Returns the first `limit` bytes of a body, for error messages.
pub(super) async fn beginning(
    mut response: Response,
    limit: usize,
    idle_timeout: Duration,
) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let n = chunk.len().min(limit - bytes.len());
            bytes.extend_from_slice(&chunk[..n]);
            if bytes.len() == limit {
                break;
            }
        }
    };
    // A timeout is not an error here; the bytes received so far are returned.
    let _ = tokio::time::timeout(idle_timeout, reading).await;
    String::from_utf8_lossy(&bytes).into_owned()
}
