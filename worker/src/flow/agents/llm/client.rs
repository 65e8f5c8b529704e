//! Sends one request to a model.
//!
//! Keys come from the worker's environment, addresses from its configuration. Redirects are not
//! followed, because they could send the key to another host. The proxies are those in
//! `HTTPS_PROXY` and similar variables.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, Url};
use shared::blueprint::call_spec::JsonMode;

use crate::flow::agents::llm::bill::Bill;
use crate::flow::agents::llm::body::{self, Body, BodyError};
use crate::flow::agents::llm::fault::{self, Refusal};
use crate::flow::agents::llm::limits::MAX_REPLY_BYTES;
use crate::flow::agents::llm::protocol::{Answer, Conversation, EventError};
use crate::flow::agents::llm::provider::{Model, Protocol};
use crate::flow::error::StepError;
use crate::metrics::{self, ModelRequest};

/// The maximum number of bytes to read from the body of an error.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// The timeout for a new connection, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum time without data from a model, before and within its answer.
///
/// It is below the default time limit of a flow. It is long because a repeated request to a model
/// that thinks for minutes is paid for twice.
const IDLE_TIMEOUT: Duration = Duration::from_secs(240);
/// The maximum number of models without JSON mode to remember, because model names come from
/// documents.
const MAX_REMEMBERED: usize = 1_000;
/// The API version that Anthropic requires in each request.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// The options of a request to a model.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AskOptions {
    /// Whether to request JSON mode.
    pub(super) json_mode: JsonMode,
    /// The time limit of one request.
    pub(super) timeout: Option<Duration>,
}

/// Sends requests to models. Each worker has one.
#[derive(Debug)]
pub(in crate::flow) struct Models {
    base_url: Option<String>,
    idle_timeout: Duration,
    /// Created on the first request, so that a worker without models does not need CA certificates.
    client: OnceLock<Result<Client, String>>,
    /// Models whose providers rejected JSON mode, as `provider/model`.
    without_json_mode: Mutex<HashSet<String>>,
}

/// The reason why a request has no answer.
enum AskError {
    /// The provider rejected the request.
    Refused(Refusal),
    /// Any other error.
    Step(StepError),
}

impl Models {
    /// Returns a client for all providers at `base_url` (ending in `/`), or each at its own
    /// address.
    pub(in crate::flow) fn new(base_url: Option<String>) -> Self {
        Self {
            base_url,
            idle_timeout: IDLE_TIMEOUT,
            client: OnceLock::new(),
            without_json_mode: Mutex::default(),
        }
    }

    /// Sends one request and returns the answer.
    ///
    /// # Errors
    /// [`StepError`], temporary or permanent.
    ///
    /// Cancel safety: dropping the future closes the connection. The cost so far is recorded on the
    /// bill.
    pub(super) async fn ask(
        &self,
        model: &Model,
        conversation: &Conversation,
        options: AskOptions,
        bill: &Bill<'_>,
    ) -> Result<Answer, StepError> {
        let began = Instant::now();
        let asking = self.ask_in_mode(model, conversation, options.json_mode, bill);
        let answer = match options.timeout {
            None => asking.await,
            Some(limit) => match tokio::time::timeout(limit, asking).await {
                Ok(answer) => answer,
                Err(_) => Err(fault::timed_out(model, limit)),
            },
        };
        let ended = match &answer {
            Ok(_) => ModelRequest::Answered,
            Err(StepError::Transient { .. }) => ModelRequest::FailedTemporarily,
            Err(_) => ModelRequest::FailedPermanently,
        };
        metrics::asked_model(&model.name, began.elapsed(), ended);
        answer
    }

    async fn ask_in_mode(
        &self,
        model: &Model,
        conversation: &Conversation,
        json_mode: JsonMode,
        bill: &Bill<'_>,
    ) -> Result<Answer, StepError> {
        let name = model.to_string();
        let wants_json = match (model.provider.protocol, json_mode) {
            // Anthropic's API has no JSON mode.
            (Protocol::Anthropic, _) | (_, JsonMode::Off) => false,
            (_, JsonMode::On) => true,
            (_, JsonMode::Auto) => !self.lacks_json_mode(&name),
        };
        match self.request(model, conversation, wants_json, bill).await {
            Err(AskError::Refused(refusal))
                if wants_json && json_mode == JsonMode::Auto && refusal.is_of_json_mode() =>
            {
                tracing::info!(
                    model = name,
                    "the provider refuses JSON mode for this model; asking without it from now on"
                );
                self.remember(name);
                let again = self.request(model, conversation, false, bill).await;
                again.map_err(|error| error.meaning(model))
            }
            other => other.map_err(|error| error.meaning(model)),
        }
    }

    async fn request(
        &self,
        model: &Model,
        conversation: &Conversation,
        json_mode: bool,
        bill: &Bill<'_>,
    ) -> Result<Answer, AskError> {
        let request = self.prepare(model).map_err(AskError::Step)?;
        let body = conversation.request(model, json_mode).to_string();
        bill.sent();
        let sending = tokio::time::timeout(self.idle_timeout, request.body(body).send()).await;
        let sent = match sending {
            Err(_) => return Err(AskError::Step(fault::idle(model, self.idle_timeout))),
            Ok(sent) => sent,
        };
        let response = sent.map_err(|error| {
            // A request whose connection failed after it was established may have been charged.
            if error.is_connect() {
                bill.not_accepted();
            }
            AskError::Step(fault::disconnected(model, error))
        })?;
        if !response.status().is_success() {
            bill.not_accepted();
            let (status, headers) = (response.status(), response.headers().clone());
            let body = body::beginning(response, MAX_ERROR_BYTES, self.idle_timeout).await;
            return Err(AskError::Refused(Refusal {
                status,
                headers,
                body,
            }));
        }
        self.listen(model, response, bill)
            .await
            .map_err(AskError::Step)
    }

    fn prepare(&self, model: &Model) -> Result<reqwest::RequestBuilder, StepError> {
        let failed = |message: String| StepError::Permanent { message };
        let key = match (model.provider.key_variable, model.key()) {
            (Some(variable), None) => {
                return Err(failed(format!(
                    "model {model} needs a key: set {variable} in the worker's environment"
                )));
            }
            (_, key) => key,
        };
        let client = self.client.get_or_init(build).as_ref();
        let client =
            client.map_err(|problem| failed(format!("no provider can be called: {problem}")))?;
        let base = self.base_url.as_deref();
        let url = address(base.unwrap_or(model.provider.base_url), model);
        let url = url.ok_or_else(|| failed(format!("the address of {model} is not a URL")))?;
        let mut request = client.post(url).header(CONTENT_TYPE, "application/json");
        if model.provider.protocol == Protocol::Anthropic {
            request = request.header("anthropic-version", ANTHROPIC_VERSION);
        }
        if let (Some(key), Some(variable)) = (key, model.provider.key_variable) {
            let (name, text) = match model.provider.protocol {
                Protocol::Anthropic => ("x-api-key", key),
                Protocol::OpenAi => (AUTHORIZATION.as_str(), format!("Bearer {key}")),
            };
            let mut value = HeaderValue::try_from(text).map_err(|_| {
                failed(format!(
                    "model {model}: {variable} of the worker's environment has characters that no key has, such as a newline"
                ))
            })?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        Ok(request)
    }

    async fn listen(
        &self,
        model: &Model,
        response: Response,
        bill: &Bill<'_>,
    ) -> Result<Answer, StepError> {
        let mut body = Body::new(response, self.idle_timeout);
        let (mut answer, mut n_events) = (Answer::default(), 0);
        let mut is_whole = false;
        loop {
            let data = body.next().await.map_err(|error| match error {
                BodyError::Idle => fault::idle(model, self.idle_timeout),
                BodyError::TooLong => fault::too_long(model),
                BodyError::Broken(error) => fault::disconnected(model, error),
            })?;
            let Some(data) = data else { break };
            if data.is_empty() {
                continue;
            }
            n_events += 1;
            let before = answer.tokens;
            let read = answer.read(model.provider.protocol, &data);
            bill.tokens(before, answer.tokens);
            match read {
                Ok(true) => {
                    is_whole = true;
                    break;
                }
                Ok(false) => is_whole = !body.is_stream(),
                Err(EventError::Malformed) => return Err(fault::malformed(model)),
                Err(EventError::Failed(event)) => return Err(fault::error_event(model, &event)),
            }
            if answer.n_bytes > MAX_REPLY_BYTES {
                return Err(fault::too_long(model));
            }
        }
        if n_events == 0 && body.has_bytes() {
            return Err(fault::malformed(model));
        }
        // The end of the connection does not imply a complete answer.
        let is_something = answer.tokens.output > 0 || !answer.text.is_empty();
        if answer.end.is_none() && !(is_whole && is_something) {
            return Err(fault::cut_off(model));
        }
        Ok(answer)
    }

    /// True if the provider has rejected JSON mode for this model.
    fn lacks_json_mode(&self, model: &str) -> bool {
        let models = self.without_json_mode.lock();
        models
            .unwrap_or_else(PoisonError::into_inner)
            .contains(model)
    }

    /// Records that the provider has rejected JSON mode for this model.
    fn remember(&self, model: String) {
        let models = self.without_json_mode.lock();
        let mut models = models.unwrap_or_else(PoisonError::into_inner);
        if models.len() < MAX_REMEMBERED {
            models.insert(model);
        }
    }
}

impl AskError {
    fn meaning(self, model: &Model) -> StepError {
        match self {
            AskError::Refused(refusal) => refusal.meaning(model),
            AskError::Step(error) => error,
        }
    }
}

/// Returns the URL for `model` under `base`. Keeps the query of the base.
fn address(base: &str, model: &Model) -> Option<Url> {
    let base: Url = base.parse().ok()?;
    let mut url = base
        .join(match model.provider.protocol {
            Protocol::Anthropic => "messages",
            Protocol::OpenAi => "chat/completions",
        })
        .ok()?;
    url.set_query(base.query());
    Some(url)
}

fn build() -> Result<Client, String> {
    // An error means that another part of the process has already installed the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    builder.build().map_err(|error| {
        format!(
            "{} (are the system's CA certificates installed?)",
            shared::error::chain(&error)
        )
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    use crate::flow::agents::llm::tests::with_bill;

    /// Returns the error of a request to a server that answers `bytes`, or nothing.
    async fn ask(scheme: &str, bytes: Option<&'static [u8]>) -> StepError {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 16 * 1024];
            while socket.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                if let Some(bytes) = bytes {
                    return socket.write_all(bytes).await.unwrap();
                }
            }
        });
        let models = Models {
            // A short timeout for the server that sends nothing; the others answer immediately.
            idle_timeout: Duration::from_secs(if bytes.is_some() { 240 } else { 1 }),
            ..Models::new(Some(format!("{scheme}://{address}/")))
        };
        let model = Model::find("a", Some("ollama"), "m").unwrap();
        let question = Conversation::new("json", "json".to_owned());
        let options = AskOptions::default();
        let asked = with_bill(&model, async |bill| {
            models.ask(&model, &question, options, bill).await
        });
        let Err(error) = asked.await else {
            panic!("the answer was accepted");
        };
        serving.abort();
        error
    }

    #[tokio::test]
    async fn silence_and_a_server_without_tls_may_pass() {
        for (scheme, bytes, word) in [
            ("http", None, "no data for 1 s"),
            (
                "https",
                Some(&b"HTTP/1.1 400 No TLS here\r\n\r\n"[..]),
                "connection",
            ),
            ("http", Some(b"SSH-2.0-surprise\r\n"), "connection"),
            (
                "http",
                Some(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>"),
                "protocol",
            ),
            (
                "http",
                Some(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
                "incomplete",
            ),
        ] {
            let error = ask(scheme, bytes).await;
            let is_transient = matches!(
                error,
                StepError::Transient {
                    retry_after: None,
                    ..
                }
            );
            let words = error.to_string();
            assert!(is_transient && words.contains(word), "{word}: {words}");
        }
    }

    #[test]
    fn an_address_keeps_the_query_of_its_base() {
        let model = Model::find("a", Some("openai"), "m").unwrap();
        let url = address("https://gateway.example/v1/?v=2", &model).unwrap();
        assert_eq!(
            url.as_str(),
            "https://gateway.example/v1/chat/completions?v=2"
        );
        assert_eq!(address("nowhere", &model), None);
    }
}
