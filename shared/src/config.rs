//! Configuration: the names of the variables, their defaults, and the parsers that check a value.
//!
//! This crate reads no environment. Each program has a `clap` struct of raw texts and hands them
//! to the parsers here through a [`Problems`] collector, so that a person with three mistakes
//! reads about all three at once:
//!
//! ```
//! use shared::config::{self, Problems};
//!
//! fn check(url: &str, lease: &str) -> Result<(config::RedisUrl, u64), config::InvalidConfig> {
//!     let mut problems = Problems::default();
//!     let url = problems.check(config::REDIS_URL, config::parse_redis_url(url));
//!     let lease = problems.check(config::LEASE_SECS, config::parse_whole(lease, config::LEASE_SECS_RANGE));
//!     let (Some(url), Some(lease)) = (url, lease) else { return Err(problems.into()) };
//!     Ok((url, lease))
//! }
//!
//! let problems = check("http://x", "0").unwrap_err();
//! assert_eq!(problems.variables(), ["DRAFTSMAN_REDIS_URL", "DRAFTSMAN_LEASE_SECS"]);
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use thiserror::Error;

use crate::ids::SettingId;
pub use crate::redis_url::{RedisUrl, parse_redis_url};
use crate::telemetry;

/// Exit status of a program whose configuration or command line is wrong (`EX_USAGE` of sysexits).
pub const EXIT_BAD_CONFIG: u8 = 64;

/// Where Redis is.
pub const REDIS_URL: &str = "DRAFTSMAN_REDIS_URL";
/// Redis as a package installs it.
pub const DEFAULT_REDIS_URL: &str = "redis://127.0.0.1:6379";
/// How many shards the store has.
pub const SHARDS: &str = "DRAFTSMAN_SHARDS";
/// All on one node, which carries thousands of issues a second.
pub const DEFAULT_SHARDS: &str = "1";
/// How many replicas are to have a write before intake acknowledges it.
pub const WAIT_REPLICAS: &str = "DRAFTSMAN_WAIT_REPLICAS";
/// Not to be waited for: there may be none.
pub const DEFAULT_WAIT_REPLICAS: &str = "0";
/// Where intake listens.
pub const LISTEN: &str = "DRAFTSMAN_LISTEN";
/// This machine only: gRPC is plain text here.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:50051";
/// The certificate that intake shows, in PEM form; with it gRPC is TLS.
pub const TLS_CERT: &str = "DRAFTSMAN_TLS_CERT";
/// The key that belongs to [`TLS_CERT`], in PEM form.
pub const TLS_KEY: &str = "DRAFTSMAN_TLS_KEY";
/// Who must have signed the certificates of clients, in PEM form; with it clients must show one.
pub const TLS_CLIENT_CA: &str = "DRAFTSMAN_TLS_CLIENT_CA";
/// The file of tokens; without one everybody who reaches intake may do everything.
pub const TOKENS_FILE: &str = "DRAFTSMAN_TOKENS_FILE";
/// Whether intake describes its services to who asks.
pub const REFLECTION: &str = "DRAFTSMAN_REFLECTION";
/// See [`REFLECTION`].
pub const DEFAULT_REFLECTION: &str = "on";
/// How many connections intake takes at once.
pub const MAX_CONNECTIONS: &str = "DRAFTSMAN_MAX_CONNECTIONS";
/// Below the 1024 files that a process may have open where nobody has raised that.
pub const DEFAULT_MAX_CONNECTIONS: &str = "900";
/// How many issues may be watched through one intake at once.
pub const MAX_WATCHES: &str = "DRAFTSMAN_MAX_WATCHES";
/// Each costs some kilobytes here, and Redis a read now and then.
pub const DEFAULT_MAX_WATCHES: &str = "10000";
/// How long one issue is watched at most, in seconds; a client that wants more watches again.
pub const MAX_WATCH_SECS: &str = "DRAFTSMAN_MAX_WATCH_SECS";
/// Long enough for every flow, short enough that a forgotten client holds its place for an hour only.
pub const DEFAULT_MAX_WATCH_SECS: &str = "3600";
/// Where traces are sent (OTLP over gRPC). The name that OpenTelemetry has given it.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Where metrics and probes are served.
pub const METRICS_LISTEN: &str = "DRAFTSMAN_METRICS_LISTEN";
/// Not at all.
pub const DEFAULT_METRICS_LISTEN: &str = "off";
/// How many issues a worker has at once. Default: [`default_concurrency`].
pub const CONCURRENCY: &str = "DRAFTSMAN_CONCURRENCY";
/// The first part of a worker's id. Default: the host name.
pub const WORKER_NAME: &str = "DRAFTSMAN_WORKER_NAME";
/// Which EnhanceSetting workers use.
pub const SETTING: &str = "DRAFTSMAN_SETTING";
/// The seeded one.
pub const DEFAULT_SETTING: &str = crate::setting::DEFAULT_SETTING;
/// How long a lease lives without a heartbeat, in seconds.
pub const LEASE_SECS: &str = "DRAFTSMAN_LEASE_SECS";
/// Long enough for a stalled disk, short enough that a dead worker's issues move on soon.
pub const DEFAULT_LEASE_SECS: &str = "15";
/// How often an issue is claimed before it counts as poison.
pub const MAX_ATTEMPTS: &str = "DRAFTSMAN_MAX_ATTEMPTS";
/// See [`MAX_ATTEMPTS`].
pub const DEFAULT_MAX_ATTEMPTS: &str = "5";
/// How often a fault that may pass is retried; a budget apart from the attempts.
pub const MAX_RETRIES: &str = "DRAFTSMAN_MAX_RETRIES";
/// With a back-off up to 60 s each, a provider's bad quarter of an hour.
pub const DEFAULT_MAX_RETRIES: &str = "20";
/// How long a program that was asked to stop lets open work finish, in seconds.
pub const GRACE_SECS: &str = "DRAFTSMAN_GRACE_SECS";
/// Below the 30 s after which orchestrators kill.
pub const DEFAULT_GRACE_SECS: &str = "20";
/// How many days a decided issue is kept; 0: for ever.
pub const RETENTION_DAYS: &str = "DRAFTSMAN_RETENTION_DAYS";
/// Long enough to look something up, and to retry it, a good while later.
pub const DEFAULT_RETENTION_DAYS: &str = "30";
/// A directory of scripts that add to or override the embedded ones.
pub const LUA_DIR: &str = "DRAFTSMAN_LUA_DIR";
/// The programs that an agent of kind `subprocess` may run.
pub const SUBPROCESS_ALLOW: &str = "DRAFTSMAN_SUBPROCESS_ALLOW";
/// Where every provider of language models is asked.
pub const LLM_BASE_URL: &str = "DRAFTSMAN_LLM_BASE_URL";
/// The variables of the worker that those programs are given.
pub const SUBPROCESS_ENV: &str = "DRAFTSMAN_SUBPROCESS_ENV";
/// What is logged.
pub const LOG: &str = "DRAFTSMAN_LOG";
/// See [`LOG`].
pub const DEFAULT_LOG: &str = "info";
/// In which form.
pub const LOG_FORMAT: &str = "DRAFTSMAN_LOG_FORMAT";
/// See [`LOG_FORMAT`].
pub const DEFAULT_LOG_FORMAT: &str = "text";

/// What [`WAIT_REPLICAS`] may be.
pub const WAIT_REPLICAS_RANGE: RangeInclusive<u64> = 0..=16;
/// What [`SHARDS`] may be: a worker keeps two connections for each.
pub const SHARDS_RANGE: RangeInclusive<u64> = 1..=256;
/// What [`MAX_CONNECTIONS`] may be.
pub const MAX_CONNECTIONS_RANGE: RangeInclusive<u64> = 1..=1_000_000;
/// What [`MAX_WATCHES`] may be; 0 means that nobody can watch.
pub const MAX_WATCHES_RANGE: RangeInclusive<u64> = 0..=1_000_000;
/// What [`MAX_WATCH_SECS`] may be: up to a week.
pub const MAX_WATCH_SECS_RANGE: RangeInclusive<u64> = 1..=604_800;
/// What [`CONCURRENCY`] may be.
pub const CONCURRENCY_RANGE: RangeInclusive<u64> = 1..=10_000;
/// What [`LEASE_SECS`] may be: at least a second, at most an hour.
pub const LEASE_SECS_RANGE: RangeInclusive<u64> = 1..=3_600;
/// What [`MAX_ATTEMPTS`] may be.
pub const MAX_ATTEMPTS_RANGE: RangeInclusive<u64> = 1..=1_000;
/// What [`MAX_RETRIES`] may be; 0 means that no fault is retried.
pub const MAX_RETRIES_RANGE: RangeInclusive<u64> = 0..=10_000;
/// What [`RETENTION_DAYS`] may be: up to a hundred years.
pub const RETENTION_DAYS_RANGE: RangeInclusive<u64> = 0..=36_500;
/// What [`GRACE_SECS`] may be; 0 means that open work is dropped at once.
pub const GRACE_SECS_RANGE: RangeInclusive<u64> = 0..=86_400;

/// 4 for each core of this machine: most of an issue's time is waiting for a model.
pub fn default_concurrency() -> u64 {
    4 * std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// One variable with a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable, e.g. `DRAFTSMAN_LISTEN`.
    pub variable: &'static str,
    /// What was given and what is expected.
    pub message: String,
}

/// Collects what is wrong while values are parsed one by one.
#[derive(Debug, Clone, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The value, or `None` after noting what is wrong with it.
    pub fn check<T>(&mut self, variable: &'static str, parsed: Result<T, BadValue>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(bad) => {
                self.0.push(Problem {
                    variable,
                    message: bad.to_string(),
                });
                None
            }
        }
    }

    /// Notes a problem that a single parser cannot see, e.g. between two values.
    pub fn note(&mut self, variable: &'static str, message: impl Into<String>) {
        self.0.push(Problem {
            variable,
            message: message.into(),
        });
    }

    /// Ends the collection.
    ///
    /// # Errors
    /// [`InvalidConfig`] with everything that was noted, if anything was.
    pub fn finish(self) -> Result<(), InvalidConfig> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into())
        }
    }
}

/// A configuration that cannot be used. Displays one line for each variable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct InvalidConfig(Vec<Problem>);

impl InvalidConfig {
    /// Every problem, in the order in which the values were checked.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }

    /// The variables with a problem, in the same order.
    pub fn variables(&self) -> Vec<&'static str> {
        self.0.iter().map(|problem| problem.variable).collect()
    }
}

impl From<Problems> for InvalidConfig {
    fn from(problems: Problems) -> Self {
        Self(problems.0)
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        for Problem { variable, message } in &self.0 {
            write!(f, "\n  {variable}: {message}")?;
        }
        Ok(())
    }
}

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is not valid: expected {expected}")]
pub struct BadValue {
    given: String,
    expected: String,
}

impl BadValue {
    /// `given` (cut to 200 characters) is not what is `expected`.
    pub fn new(given: &str, expected: impl Into<String>) -> Self {
        Self {
            given: given.chars().take(200).collect(),
            expected: expected.into(),
        }
    }
}

/// An address to listen on: `IP:port` or `localhost:port`; port 0 picks a free one.
///
/// # Errors
/// [`BadValue`] for anything else; other host names would have to be looked up first.
pub fn parse_listen(text: &str) -> Result<SocketAddr, BadValue> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        BadValue::new(
            text,
            "IP:port like 127.0.0.1:50051, 0.0.0.0:50051 or [::]:50051 (port 0 picks a free one)",
        )
    })
}

/// As [`parse_listen`]; empty or `off` is `None`.
///
/// # Errors
/// As [`parse_listen`].
pub fn parse_optional_listen(text: &str) -> Result<Option<SocketAddr>, BadValue> {
    match text {
        "" | "off" => Ok(None),
        address => parse_listen(address).map(Some),
    }
}

/// `on` or `off`.
///
/// # Errors
/// [`BadValue`] for anything else.
pub fn parse_switch(text: &str) -> Result<bool, BadValue> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(BadValue::new(text, "on or off")),
    }
}

/// An `http://` or `https://` address of a collector; empty is `None`.
///
/// # Errors
/// [`BadValue`] for anything else.
pub fn parse_otlp_endpoint(text: &str) -> Result<Option<String>, BadValue> {
    let host = text
        .strip_prefix("http://")
        .or(text.strip_prefix("https://"));
    match host {
        _ if text.is_empty() => Ok(None),
        Some(host) if !host.is_empty() => Ok(Some(text.to_owned())),
        _ => Err(BadValue::new(text, "a URL like http://127.0.0.1:4317")),
    }
}

/// A whole number within `range`, decimal digits only.
///
/// # Errors
/// [`BadValue`] that names the range.
pub fn parse_whole(text: &str, range: RangeInclusive<u64>) -> Result<u64, BadValue> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && range.contains(&number) => Ok(number),
        _ => Err(BadValue::new(
            text,
            format!("a whole number from {} to {}", range.start(), range.end()),
        )),
    }
}

/// As [`parse_whole`], for a variable whose range fits 32 bits.
///
/// # Errors
/// As [`parse_whole`].
pub fn parse_whole_u32(text: &str, range: RangeInclusive<u64>) -> Result<u32, BadValue> {
    let narrow = *range.start()..=(*range.end()).min(u64::from(u32::MAX));
    let number = parse_whole(text, narrow)?;
    u32::try_from(number).map_err(|_| BadValue::new(text, "a number of 32 bits"))
}

/// The id of an EnhanceSetting.
///
/// # Errors
/// [`BadValue`] that says what an id looks like.
pub fn parse_setting_id(text: &str) -> Result<SettingId, BadValue> {
    SettingId::parse(text).map_err(|_| {
        BadValue::new(
            text,
            "an id: 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
        )
    })
}

/// The first part of a worker's id: any text with a letter or digit in it; what an id cannot hold
/// is replaced later.
///
/// # Errors
/// [`BadValue`] for a text that would leave nothing.
pub fn parse_worker_name(text: &str) -> Result<String, BadValue> {
    if text.chars().any(|c| c.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err(BadValue::new(
            text,
            "a name with at least one letter or digit",
        ))
    }
}

/// A directory that exists; empty is `None`.
///
/// # Errors
/// [`BadValue`] if it is not there or is no directory.
pub fn parse_optional_dir(text: &str) -> Result<Option<PathBuf>, BadValue> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = PathBuf::from(text);
    if path.is_dir() {
        Ok(Some(path))
    } else {
        Err(BadValue::new(text, "a directory that exists"))
    }
}

/// The address of an HTTP service, with a slash at its end; empty is `None`.
///
/// # Errors
/// [`BadValue`], without a user part, for anything else.
pub fn parse_optional_http_url(text: &str) -> Result<Option<String>, BadValue> {
    if text.is_empty() {
        return Ok(None);
    }
    let host = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .filter(|rest| !rest.starts_with(['/', ':']) && !rest.is_empty())
        .filter(|rest| !rest.contains(|c: char| c.is_whitespace() || "?#@".contains(c)));
    match host {
        Some(_) => Ok(Some(format!("{}/", text.trim_end_matches('/')))),
        None => Err(BadValue::new(
            &crate::redis_url::without_credentials(text),
            "a URL like https://gateway.example/v1, without user, query and fragment",
        )),
    }
}

/// Absolute paths separated by commas; blanks around each and empty ones are ignored.
///
/// # Errors
/// [`BadValue`] that shows the first path that is not absolute.
pub fn parse_absolute_paths(text: &str) -> Result<Vec<PathBuf>, BadValue> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let path = PathBuf::from(part);
            if path.is_absolute() {
                Ok(path)
            } else {
                Err(BadValue::new(part, "absolute paths separated by commas"))
            }
        })
        .collect()
}

/// Names of environment variables, separated by commas; empty is none.
///
/// # Errors
/// [`BadValue`] for what is no such name: letters, digits and `_`, not beginning with a digit.
pub fn parse_variable_names(text: &str) -> Result<Vec<String>, BadValue> {
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| match is_name(name) {
            true => Ok(name.to_owned()),
            false => Err(BadValue::new(
                name,
                "names of variables separated by commas",
            )),
        })
        .collect()
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object for each line.
    Json,
}

/// `text` or `json`.
///
/// # Errors
/// [`BadValue`] for anything else.
pub fn parse_log_format(text: &str) -> Result<LogFormat, BadValue> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(BadValue::new(text, "text or json")),
    }
}

/// A log filter that [`telemetry::init`] takes.
///
/// # Errors
/// [`BadValue`] if it is empty or does not parse.
pub fn parse_log_filter(text: &str) -> Result<String, BadValue> {
    let expected =
        "a level (error, warn, info, debug, trace, off) or directives like warn,intake=debug";
    if text.trim().is_empty() {
        return Err(BadValue::new(text, expected));
    }
    match telemetry::parse_filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(BadValue::new(text, expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        assert_eq!(
            parse_listen("localhost:0").unwrap().to_string(),
            "127.0.0.1:0"
        );
        assert_eq!(parse_listen("[::]:1").unwrap().port(), 1);
        for bad in ["", "50051", "127.0.0.1", "127.0.0.1:70000", "example.com:1"] {
            assert!(parse_listen(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_optional_listen("off").unwrap(), None);
        assert!(parse_optional_listen("on").is_err());
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(parse_whole("15", LEASE_SECS_RANGE).unwrap(), 15);
        for bad in [
            "",
            "0",
            "-1",
            "+1",
            "1.5",
            " 1",
            "x",
            "99999999999999999999999",
        ] {
            assert!(parse_whole(bad, LEASE_SECS_RANGE).is_err(), "{bad}");
        }
        assert!(parse_whole_u32("4294967296", 0..=u64::MAX).is_err());
    }

    #[test]
    fn paths_and_names() {
        assert_eq!(parse_absolute_paths("").unwrap(), Vec::<PathBuf>::new());
        assert_eq!(parse_absolute_paths("/bin/a, /bin/b,").unwrap().len(), 2);
        assert!(parse_absolute_paths("/bin/a,b").is_err());
        assert!(parse_optional_dir("/no/such/dir").is_err());
        assert!(parse_worker_name("--").is_err());
        assert!(parse_setting_id("no spaces").is_err());
    }

    #[test]
    fn addresses_of_services() {
        assert_eq!(parse_optional_http_url("").unwrap(), None);
        for given in ["http://h:1/v1", "http://h:1/v1/"] {
            let read = parse_optional_http_url(given).unwrap();
            assert_eq!(read.as_deref(), Some("http://h:1/v1/"));
        }
        for bad in [
            "h",
            "ftp://h",
            "https://",
            "http:///v1",
            "http://h?k=v",
            "http://h h",
        ] {
            assert!(parse_optional_http_url(bad).is_err(), "{bad}");
        }
        let refused = parse_optional_http_url("https://u:hunter2@h").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"));
    }

    #[test]
    fn log_settings() {
        assert_eq!(parse_log_format("json").unwrap(), LogFormat::Json);
        assert!(parse_log_format("xml").is_err());
        assert!(parse_log_filter("warn,intake=debug").is_ok());
        assert!(parse_log_filter("intake=loud").is_err());
        assert!(parse_log_filter("").is_err());
    }

    #[test]
    fn every_problem_is_reported_by_name() {
        let mut problems = Problems::default();
        assert_eq!(problems.check(LISTEN, parse_listen("x")), None);
        assert!(
            problems
                .check(LOG_FORMAT, parse_log_format("text"))
                .is_some()
        );
        problems.check(GRACE_SECS, parse_whole("never", GRACE_SECS_RANGE));
        let invalid = problems.finish().unwrap_err();
        assert_eq!(invalid.variables(), [LISTEN, GRACE_SECS]);
        let text = invalid.to_string();
        assert!(
            text.contains("DRAFTSMAN_LISTEN: \"x\"") && text.contains("DRAFTSMAN_GRACE_SECS"),
            "{text}"
        );
    }
}
