//! The models that a worker can ask, and one question to one of them.
//!
//! Which provider speaks which protocol is the business of `genai`. What is decided here: keys
//! come from the worker's environment, addresses from its configuration, an answer is read as a
//! stream so that a flood is cut short (see [`wire`](super::wire)), and no redirect carries a key elsewhere.

use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use futures::StreamExt;
use genai::adapter::AdapterKind;
use genai::chat::{
    ChatOptions, ChatRequest, ChatResponseFormat, ChatStreamEvent, StopReason, Usage,
};
use genai::resolver::{Endpoint, ServiceTargetResolver};
use genai::{Client, ModelIden, ServiceTarget};
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt;

use super::super::super::error::{FlowError, StepError};
use super::fault;
use super::wire::{Cut, Loose, Wire};

/// The longest answer that is read: what a document may be long.
pub(super) const MAX_REPLY_BYTES: usize = 1 << 20;
/// How long TLS may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a model may say nothing, before its answer and within it. Below the default ceiling,
/// and long: a model that thinks for minutes and is then asked again is paid for twice.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(240);

/// A model of a provider.
#[derive(Debug, Clone)]
pub(in crate::flow) struct Model {
    /// The provider.
    pub(super) provider: AdapterKind,
    /// The model's name there.
    pub(super) name: String,
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider.as_lower_str(), self.name)
    }
}

/// The names of the providers that an agent may name.
pub fn providers() -> Vec<String> {
    let names = AdapterKind::all().iter().map(|kind| kind.as_lower_str());
    names.map(str::to_owned).collect()
}

impl Model {
    /// The model `name` of `provider`, which may be left out where the name tells it (`claude-…`).
    ///
    /// # Errors
    /// [`FlowError`] that names the agent and lists the providers there are.
    pub(in crate::flow) fn find(
        agent: &str,
        provider: Option<&str>,
        name: &str,
    ) -> Result<Model, FlowError> {
        let named = |kind: AdapterKind| AdapterKind::all().contains(&kind).then_some(kind);
        let found = match provider {
            Some(provider) => AdapterKind::from_lower_str(provider)
                .and_then(named)
                .ok_or_else(|| FlowError::UnknownProvider {
                    agent: agent.to_owned(),
                    provider: provider.to_owned(),
                    known: providers(),
                }),
            // What genai does not know it takes for a local model; a name with a slip in it is none.
            None => AdapterKind::from_model(name)
                .ok()
                .and_then(named)
                .filter(|kind| *kind != AdapterKind::Ollama || name.starts_with("ollama::"))
                .ok_or_else(|| FlowError::AgentField {
                    agent: agent.to_owned(),
                    field: "spec.provider",
                    problem: format!(
                        "is missing, and the model {name:?} does not tell it; providers are {}",
                        providers().join(", ")
                    ),
                }),
        };
        Ok(Model {
            provider: found?,
            name: name.to_owned(),
        })
    }

    /// The variable that has the provider's key, if it needs one.
    pub(super) fn key_variable(&self) -> Option<&'static str> {
        self.provider.default_key_env_name()
    }
}

/// What a model said.
pub(super) struct Answer {
    /// Its text.
    pub(super) text: String,
    /// What it cost.
    pub(super) usage: Usage,
    /// It ended because the model could say no more.
    pub(super) is_cut: bool,
}

/// Asks models. One for a worker.
#[derive(Debug)]
pub(in crate::flow) struct Models {
    base_url: Option<String>,
    silence: Duration,
    /// Made with the first question: a worker without models needs no certificates.
    tls: OnceLock<Result<ClientConfig, String>>,
}

impl Models {
    /// Asks every provider at `base_url` (ending in `/`), or each where it is at home.
    pub(in crate::flow) fn new(base_url: Option<String>) -> Self {
        Self {
            base_url,
            silence: SILENCE_TIMEOUT,
            tls: OnceLock::new(),
        }
    }

    /// One question.
    ///
    /// # Errors
    /// [`StepError`], passing or for good.
    ///
    /// Cancel safety: dropping the future closes the connection.
    pub(super) async fn ask(
        &self,
        model: &Model,
        request: ChatRequest,
    ) -> Result<Answer, StepError> {
        if let Some(variable) = model.key_variable()
            && std::env::var_os(variable).is_none_or(|key| key.is_empty())
        {
            return Err(StepError::Permanent {
                message: format!(
                    "model {model} needs a key: set {variable} in the worker's environment"
                ),
            });
        }
        let (client, wire) = self.connect(model).await?;
        let answer = self.listen(model, request, &client, &wire).await;
        // Where this side has cut the wire, what the client says of that is beside the point.
        answer.map_err(|error| match wire.cut() {
            None => error,
            Some(Cut::Flooded) => fault::too_long(model),
            Some(Cut::Unreachable(error)) => fault::unreachable(model, error),
        })
    }

    /// A client for one question, and the wire that it goes over.
    async fn connect(&self, model: &Model) -> Result<(Client, Wire), StepError> {
        let failed = |problem: String| StepError::Permanent {
            message: format!("no provider can be called: {problem}"),
        };
        let tls = self.tls.get_or_init(tls).clone().map_err(failed)?;
        let loose = Loose::bind().map_err(|error| fault::unreachable(model, &error))?;
        let client = build(self.base_url.clone(), tls, loose.path().to_owned()).map_err(failed)?;
        let target = ModelIden::new(model.provider, model.name.as_str());
        let target = client.resolve_service_target(target).await;
        let target = target.map_err(|error| fault::of(&error, model))?;
        let url: reqwest::Url = target
            .endpoint
            .base_url()
            .parse()
            .map_err(|_| failed(format!("the address of {model} is no URL")))?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(failed(format!("the address of {model} has no host")));
        };
        // An address of IPv6 stands in brackets in a URL, and nowhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok((client, loose.join(host.to_owned(), port)))
    }

    async fn listen(
        &self,
        model: &Model,
        request: ChatRequest,
        client: &Client,
        wire: &Wire,
    ) -> Result<Answer, StepError> {
        // A patch holds values of every shape, which no provider's strict schema can say.
        let options = ChatOptions::default()
            .with_capture_usage(true)
            .with_response_format(ChatResponseFormat::JsonMode);
        let target = ModelIden::new(model.provider, model.name.as_str());
        let failed = |error: genai::Error| fault::of(&error, model);
        let answering = client
            .exec_chat_stream(target, request, Some(&options))
            .await;
        let mut stream = answering.map_err(failed)?.stream;
        let (mut text, mut n_bytes) = (String::new(), 0);
        loop {
            let event = tokio::time::timeout(self.silence, stream.next()).await;
            let event = event.map_err(|_| fault::silent(model, self.silence))?;
            wire.heard();
            match event
                .ok_or_else(|| fault::cut_off(model))?
                .map_err(failed)?
            {
                ChatStreamEvent::Chunk(chunk) => {
                    n_bytes += chunk.content.len();
                    text.push_str(&chunk.content);
                }
                ChatStreamEvent::ReasoningChunk(chunk)
                | ChatStreamEvent::ThoughtSignatureChunk(chunk) => n_bytes += chunk.content.len(),
                // For some protocols the end of the connection is the end of the answer.
                ChatStreamEvent::End(end)
                    if end.captured_stop_reason.is_none() && end.captured_usage.is_none() =>
                {
                    return Err(fault::cut_off(model));
                }
                ChatStreamEvent::End(end) => {
                    return Ok(Answer {
                        text,
                        usage: end.captured_usage.unwrap_or_default(),
                        is_cut: matches!(end.captured_stop_reason, Some(StopReason::MaxTokens(_))),
                    });
                }
                ChatStreamEvent::Start
                | ChatStreamEvent::Heartbeat
                | ChatStreamEvent::ToolCallChunk(_) => {}
            }
            if n_bytes > MAX_REPLY_BYTES {
                return Err(fault::too_long(model));
            }
        }
    }
}

fn tls() -> Result<ClientConfig, String> {
    // Whoever was first has chosen the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientConfig::with_platform_verifier().map_err(|error| {
        format!(
            "{} (are the system's CA certificates installed?)",
            shared::error::chain(&error)
        )
    })
}

fn build(base_url: Option<String>, tls: ClientConfig, socket: PathBuf) -> Result<Client, String> {
    let http = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls)
        .unix_socket(socket)
        .build()
        .map_err(|error| shared::error::chain(&error).to_string())?;
    let mut builder = Client::builder().with_reqwest(http);
    if let Some(base_url) = base_url {
        let endpoint = Endpoint::from_owned(base_url);
        builder = builder.with_service_target_resolver(ServiceTargetResolver::from_resolver_fn(
            move |target: ServiceTarget| Ok(ServiceTarget { endpoint, ..target }),
        ));
    }
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use genai::chat::ChatMessage;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What becomes of a question to a server that takes it and answers `bytes`, if anything.
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
            base_url: Some(format!("{scheme}://{address}/")),
            // The one that says nothing must not be waited for; the others answer at once.
            silence: Duration::from_secs(if bytes.is_some() { 240 } else { 1 }),
            tls: OnceLock::new(),
        };
        let model = Model::find("a", Some("ollama"), "m").unwrap();
        let request = ChatRequest::new(vec![ChatMessage::user("json")]);
        let Err(error) = models.ask(&model, request).await else {
            panic!("that is no answer");
        };
        serving.abort();
        error
    }

    #[tokio::test]
    async fn silence_and_a_server_without_tls_may_pass() {
        for (scheme, bytes, word) in [
            ("http", None, "nothing for 1 s"),
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
                "ended",
            ),
        ] {
            let error = ask(scheme, bytes).await;
            let passing = matches!(
                error,
                StepError::Passing {
                    retry_after: None,
                    ..
                }
            );
            let words = error.to_string();
            assert!(passing && words.contains(word), "{word}: {words}");
        }
    }

    #[test]
    fn a_provider_is_named_or_told_by_the_model() {
        let find = |provider, name| Model::find("a", provider, name).map(|m| m.to_string());
        assert_eq!(
            find(None, "claude-sonnet-4-5").unwrap(),
            "anthropic/claude-sonnet-4-5"
        );
        assert_eq!(find(Some("openai"), "my/model").unwrap(), "openai/my/model");
        assert_eq!(find(Some("ollama"), "llama3").unwrap(), "ollama/llama3");
        for (provider, name, words) in [
            (Some("opanai"), "gpt-4o", "unknown provider \"opanai\""),
            (Some("genai_1"), "m", "unknown provider \"genai_1\""),
            (None, "cluade", "\"cluade\" does not tell it"),
        ] {
            let problem = find(provider, name).unwrap_err().to_string();
            assert!(
                problem.contains(words) && problem.contains("anthropic"),
                "{problem}"
            );
        }
    }
}
