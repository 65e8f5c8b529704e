//! What a program tells about itself: log lines (stderr, as text or as JSON, through a filter),
//! and over HTTP its [`probes`].

pub mod probes;

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// How a program logs. [`Default`] is what the configuration page names: `info`, text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// A level or directives in the syntax of `tracing_subscriber::EnvFilter`,
    /// e.g. `info` or `warn,intake=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            filter: crate::config::DEFAULT_LOG.to_owned(),
            format: LogFormat::Text,
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
}

/// Sets up logging for this whole process. Call once, first thing.
///
/// # Errors
/// [`TelemetryError::Filter`] for a filter that does not parse; [`TelemetryError::AlreadySet`]
/// on a second call.
pub fn init(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let builder = tracing_subscriber::fmt()
        .with_env_filter(parse_filter(&config.filter)?)
        .with_writer(std::io::stderr)
        // Escape codes only where a person reads: `address=…` must stay one plain word in a pipe.
        .with_ansi(std::io::stderr().is_terminal());
    let set = match config.format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    set.map_err(TelemetryError::AlreadySet)
}

/// The filter that `text` describes.
///
/// # Errors
/// [`TelemetryError::Filter`] if it does not parse.
pub fn parse_filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder()
        .parse(text)
        .map_err(|source| TelemetryError::Filter {
            filter: text.to_owned(),
            source,
        })
}
