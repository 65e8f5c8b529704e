//! What a program tells about itself: log lines (stderr, as text or as JSON, through a filter), over HTTP its [`probes`]
//! with its [`numbers`](crate::telemetry::prometheus), and, if asked to, [`trace`]s.

pub mod filter;
pub mod probes;
pub mod prometheus;
pub mod trace;

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::parse::LogFormat;

/// How a program logs. [`Default`] is what the configuration page names: `info`, text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// A level or directives in the syntax of `tracing_subscriber::EnvFilter`,
    /// e.g. `info` or `warn,intake=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
    /// Where traces are sent, if anywhere: OTLP over gRPC.
    pub otlp_endpoint: Option<String>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            filter: crate::config::DEFAULT_LOG.to_owned(),
            format: LogFormat::Text,
            otlp_endpoint: None,
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log filter {filter:?} is not valid")]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// This process has a subscriber already.
    #[error("logging is set up already")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
    /// The endpoint for traces cannot be used.
    #[error("traces cannot be sent (OTEL_EXPORTER_OTLP_ENDPOINT)")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// What was set up. To be kept until the program ends.
#[must_use = "the last spans are sent by `end`"]
pub struct Telemetry {
    traces: Option<trace::Traces>,
}

impl Telemetry {
    /// Sends the spans that are left, for two seconds at most. Blocks; the runtime must still run.
    pub fn end(self) {
        if let Some(traces) = self.traces {
            traces.end();
        }
    }
}

/// Sets up logging for this whole process, and traces under the name `program` if there is an endpoint for them. Call once,
/// first thing, inside a runtime.
///
/// # Errors
/// [`TelemetryError::Filter`] for a filter that does not parse; [`TelemetryError::Traces`] for an endpoint that cannot be
/// used; [`TelemetryError::AlreadySet`] on a second call.
pub fn init(config: &TelemetryConfig, program: &'static str) -> Result<Telemetry, TelemetryError> {
    let filter = parse_filter(&config.filter)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // Escape codes only where a person reads: `address=…` must stay one plain word in a pipe.
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match config.format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let traces = match &config.otlp_endpoint {
        None => None,
        Some(endpoint) => Some(trace::Traces::start(endpoint, program)?),
    };
    tracing_subscriber::registry()
        .with(lines)
        .with(traces.as_ref().map(trace::Traces::layer))
        .try_init()
        .map_err(TelemetryError::AlreadySet)?;
    Ok(Telemetry { traces })
}

/// The filter that `text` describes.
///
/// # Errors
/// [`TelemetryError::Filter`] if it does not parse.
pub fn parse_filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    // The client of the models logs what they say, even as warnings.
    EnvFilter::builder()
        .parse(format!("{text},genai=off"))
        .map_err(|source| TelemetryError::Filter {
            filter: text.to_owned(),
            source,
        })
}
