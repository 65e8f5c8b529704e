//! Telemetry of a program: log lines on stderr (text or JSON), HTTP [`probes`] with
//! [`metrics`](crate::telemetry::prometheus), and optional [`trace`]s.

pub mod colours;
pub mod filter;
mod json_lines;
pub mod probes;
pub mod prometheus;
pub mod trace;

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::parse::LogFormat;
use crate::telemetry::json_lines::JsonLines;

/// The options of logging. [`Default`] has the documented defaults: `info`, text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// A level or directives in the syntax of `tracing_subscriber::EnvFilter`, for example `info`
    /// or `warn,intake=debug`.
    pub filter: String,
    /// The format of a line.
    pub format: LogFormat,
    /// True for colours in text on a terminal; see [`colours::are_wanted`].
    pub has_colours: bool,
    /// The OTLP/gRPC endpoint for traces; `None` disables traces.
    pub otlp_endpoint: Option<String>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            filter: crate::config::DEFAULT_LOG.to_owned(),
            format: LogFormat::Text,
            has_colours: true,
            otlp_endpoint: None,
        }
    }
}

/// An error of the telemetry setup.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("log filter {filter:?} is not valid")]
    Filter {
        /// The given filter.
        filter: String,
        /// The error of the parser.
        source: tracing_subscriber::filter::ParseError,
    },
    /// This process already has a subscriber.
    #[error("logging is set up already")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
    /// The endpoint for traces is not usable.
    #[error("traces cannot be sent (OTEL_EXPORTER_OTLP_ENDPOINT)")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The active telemetry. Keep it until the program ends.
#[must_use = "the last spans are sent by `end`"]
pub struct Telemetry {
    traces: Option<trace::Traces>,
}

impl Telemetry {
    /// Sends the remaining spans, for two seconds at most. Blocks; the runtime must still run.
    pub fn end(self) {
        if let Some(traces) = self.traces {
            traces.end();
        }
    }
}

/// Sets up logging for the whole process, and traces under the name `program` if an endpoint is
/// configured. Call it once, before anything else, inside a runtime.
///
/// # Errors
/// * [`TelemetryError::Filter`] for a filter that does not parse.
/// * [`TelemetryError::Traces`] for an endpoint that is not usable.
/// * [`TelemetryError::AlreadySet`] on a second call.
pub fn init(config: &TelemetryConfig, program: &'static str) -> Result<Telemetry, TelemetryError> {
    let filter = parse_filter(&config.filter)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // Escape codes only on a terminal: a pipe needs `address=…` as one plain word.
        .with_ansi(config.has_colours && std::io::stderr().is_terminal());
    let lines = match config.format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => {
            let format = tracing_subscriber::fmt::format().json().flatten_event(true);
            lines
                .with_ansi(false)
                .fmt_fields(JsonFields::new())
                .event_format(JsonLines(format))
                .with_filter(filter)
                .boxed()
        }
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

/// Parses a log filter.
///
/// # Errors
/// [`TelemetryError::Filter`] if the filter does not parse.
pub fn parse_filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    // The LLM client logs the models' output, even as warnings.
    EnvFilter::builder()
        .parse(format!("{text},genai=off"))
        .map_err(|source| TelemetryError::Filter {
            filter: text.to_owned(),
            source,
        })
}
