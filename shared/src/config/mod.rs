//! Configuration: the names of the variables, their defaults, and the parsers that check a value.
//!
//! This crate reads no environment. Each program has a `clap` struct of raw texts and hands them
//! to the parsers here through a [`Problems`](crate::config::problem::Problems) collector, so that a person with three mistakes
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

pub mod parse;
pub mod problem;

pub(crate) mod redis_url;

use std::ops::RangeInclusive;

pub use self::redis_url::{RedisUrl, parse_redis_url};

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
pub const DEFAULT_SETTING: &str = crate::domain::bundled::DEFAULT_SETTING;
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
