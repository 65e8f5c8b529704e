//! Configuration: the names of the variables, their defaults, and the parsers of their values.
//!
//! This crate does not read the environment. Each program has a `clap` struct of raw texts. It
//! parses them through a [`Problems`](crate::config::problem::Problems) collector, which reports
//! all invalid values at once:
//! ```
//! use shared::config::parse::parse_whole;
//! use shared::config::problem::{InvalidConfig, Problems};
//! use shared::config::{self, RedisUrl};
//!
//! fn check(url: &str, lease: &str) -> Result<(RedisUrl, u64), InvalidConfig> {
//!     let mut problems = Problems::default();
//!     let url = problems.check(config::REDIS_URL, config::parse_redis_url(url));
//!     let lease = parse_whole(lease, config::LEASE_SECS_RANGE);
//!     let lease = problems.check(config::LEASE_SECS, lease);
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

/// The exit status for an invalid configuration or command line (`EX_USAGE` of sysexits).
pub const EXIT_BAD_CONFIG: u8 = 64;

/// The URL of Redis.
pub const REDIS_URL: &str = "DRAFTSMAN_REDIS_URL";
/// The default address of a Redis installation.
pub const DEFAULT_REDIS_URL: &str = "redis://127.0.0.1:6379";
/// The number of shards in the store.
pub const SHARDS: &str = "DRAFTSMAN_SHARDS";
/// One shard on one node handles thousands of issues per second.
pub const DEFAULT_SHARDS: &str = "1";
/// The number of replicas that must acknowledge a write before intake does.
pub const WAIT_REPLICAS: &str = "DRAFTSMAN_WAIT_REPLICAS";
/// No wait: an installation may have no replicas.
pub const DEFAULT_WAIT_REPLICAS: &str = "0";
/// The address that intake listens on.
pub const LISTEN: &str = "DRAFTSMAN_LISTEN";
/// Loopback only, because gRPC is plain text by default.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:50051";
/// The certificate of intake in PEM form. If set, gRPC uses TLS.
pub const TLS_CERT: &str = "DRAFTSMAN_TLS_CERT";
/// The private key of [`TLS_CERT`] in PEM form.
pub const TLS_KEY: &str = "DRAFTSMAN_TLS_KEY";
/// The CA of client certificates in PEM form. If set, clients must present a certificate.
pub const TLS_CLIENT_CA: &str = "DRAFTSMAN_TLS_CLIENT_CA";
/// The file of tokens. Without it, every client that reaches intake has all rights.
pub const TOKENS_FILE: &str = "DRAFTSMAN_TOKENS_FILE";
/// Enables gRPC server reflection in intake.
pub const REFLECTION: &str = "DRAFTSMAN_REFLECTION";
/// The default of [`REFLECTION`].
pub const DEFAULT_REFLECTION: &str = "on";
/// The maximum number of concurrent connections to intake.
pub const MAX_CONNECTIONS: &str = "DRAFTSMAN_MAX_CONNECTIONS";
/// Below 1024, the usual limit of open files for a process.
pub const DEFAULT_MAX_CONNECTIONS: &str = "900";
/// The maximum number of concurrent watches in one intake.
pub const MAX_WATCHES: &str = "DRAFTSMAN_MAX_WATCHES";
/// Each watch uses some kilobytes here and an occasional read in Redis.
pub const DEFAULT_MAX_WATCHES: &str = "10000";
/// The maximum duration of one watch, in seconds. A client can start another watch afterwards.
pub const MAX_WATCH_SECS: &str = "DRAFTSMAN_MAX_WATCH_SECS";
/// Long enough for every flow. A forgotten client occupies a watch for one hour at most.
pub const DEFAULT_MAX_WATCH_SECS: &str = "3600";
/// The OTLP/gRPC endpoint for traces. OpenTelemetry defines the name of the variable.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The address that serves metrics and probes.
pub const METRICS_LISTEN: &str = "DRAFTSMAN_METRICS_LISTEN";
/// Metrics and probes are off.
pub const DEFAULT_METRICS_LISTEN: &str = "off";
/// The maximum number of issues that a worker runs at once. Default: [`default_concurrency`].
pub const CONCURRENCY: &str = "DRAFTSMAN_CONCURRENCY";
/// The prefix of a worker's id. Default: the host name.
pub const WORKER_NAME: &str = "DRAFTSMAN_WORKER_NAME";
/// The EnhanceSetting that workers use.
pub const SETTING: &str = "DRAFTSMAN_SETTING";
/// The seeded setting.
pub const DEFAULT_SETTING: &str = crate::domain::bundled::DEFAULT_SETTING;
/// The duration of a lease without a heartbeat, in seconds.
pub const LEASE_SECS: &str = "DRAFTSMAN_LEASE_SECS";
/// A lease survives a stalled disk, and a dead worker's issues become available soon.
pub const DEFAULT_LEASE_SECS: &str = "15";
/// The maximum number of claims of an issue before it counts as poison.
pub const MAX_ATTEMPTS: &str = "DRAFTSMAN_MAX_ATTEMPTS";
/// The default of [`MAX_ATTEMPTS`].
pub const DEFAULT_MAX_ATTEMPTS: &str = "5";
/// The maximum number of retries after transient faults, separate from the attempts.
pub const MAX_RETRIES: &str = "DRAFTSMAN_MAX_RETRIES";
/// With a back-off of up to 60 s each, this covers about 15 minutes of provider errors.
pub const DEFAULT_MAX_RETRIES: &str = "20";
/// The grace period for open work after a stop signal, in seconds.
pub const GRACE_SECS: &str = "DRAFTSMAN_GRACE_SECS";
/// Below 30 s, the usual kill timeout of orchestrators.
pub const DEFAULT_GRACE_SECS: &str = "20";
/// The number of days that a decided issue is kept; 0 keeps it forever.
pub const RETENTION_DAYS: &str = "DRAFTSMAN_RETENTION_DAYS";
/// Long enough to look up and retry an issue weeks later.
pub const DEFAULT_RETENTION_DAYS: &str = "30";
/// A directory of scripts that extend or override the embedded ones.
pub const LUA_DIR: &str = "DRAFTSMAN_LUA_DIR";
/// The programs that an agent of kind `subprocess` can run.
pub const SUBPROCESS_ALLOW: &str = "DRAFTSMAN_SUBPROCESS_ALLOW";
/// The base URL for the requests to every provider of language models.
pub const LLM_BASE_URL: &str = "DRAFTSMAN_LLM_BASE_URL";
/// The environment variables of the worker that subprocesses receive.
pub const SUBPROCESS_ENV: &str = "DRAFTSMAN_SUBPROCESS_ENV";
/// The filter of log lines.
pub const LOG: &str = "DRAFTSMAN_LOG";
/// The default of [`LOG`].
pub const DEFAULT_LOG: &str = "info";
/// The format of log lines.
pub const LOG_FORMAT: &str = "DRAFTSMAN_LOG_FORMAT";
/// The default of [`LOG_FORMAT`].
pub const DEFAULT_LOG_FORMAT: &str = "text";

/// The valid range of [`WAIT_REPLICAS`].
pub const WAIT_REPLICAS_RANGE: RangeInclusive<u64> = 0..=16;
/// The valid range of [`SHARDS`]. A worker keeps two connections for each shard.
pub const SHARDS_RANGE: RangeInclusive<u64> = 1..=256;
/// The valid range of [`MAX_CONNECTIONS`].
pub const MAX_CONNECTIONS_RANGE: RangeInclusive<u64> = 1..=1_000_000;
/// The valid range of [`MAX_WATCHES`]; 0 disables watches.
pub const MAX_WATCHES_RANGE: RangeInclusive<u64> = 0..=1_000_000;
/// The valid range of [`MAX_WATCH_SECS`]: one second to one week.
pub const MAX_WATCH_SECS_RANGE: RangeInclusive<u64> = 1..=604_800;
/// The valid range of [`CONCURRENCY`].
pub const CONCURRENCY_RANGE: RangeInclusive<u64> = 1..=10_000;
/// The valid range of [`LEASE_SECS`]: one second to one hour.
pub const LEASE_SECS_RANGE: RangeInclusive<u64> = 1..=3_600;
/// The valid range of [`MAX_ATTEMPTS`].
pub const MAX_ATTEMPTS_RANGE: RangeInclusive<u64> = 1..=1_000;
/// The valid range of [`MAX_RETRIES`]; 0 disables retries.
pub const MAX_RETRIES_RANGE: RangeInclusive<u64> = 0..=10_000;
/// The valid range of [`RETENTION_DAYS`]: up to a hundred years.
pub const RETENTION_DAYS_RANGE: RangeInclusive<u64> = 0..=36_500;
/// The valid range of [`GRACE_SECS`]; 0 drops open work at once.
pub const GRACE_SECS_RANGE: RangeInclusive<u64> = 0..=86_400;

/// Returns 4 for each CPU core: an issue spends most of its time waiting for a model.
pub fn default_concurrency() -> u64 {
    4 * std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}
