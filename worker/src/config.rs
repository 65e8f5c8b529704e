//! The worker's configuration: command-line flags, each with an environment variable.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use shared::config::problem::{InvalidConfig, Problems};
use shared::config::{self, RedisUrl};
use shared::ids::SettingId;
use shared::telemetry::{TelemetryConfig, colours, filter};

use crate::flow::Programs;

/// One Draftsman worker: takes issues from the queue, runs the enhance flow, settles the outcome.
///
/// Any number of workers on any number of machines can share one Redis. On SIGTERM or Ctrl-C a
/// worker takes no new issues, finishes open issues within its grace period, and hands the rest
/// back. A killed worker loses nothing: its issues go to other workers.
#[derive(Debug, Parser)]
#[command(name = "worker", version)]
pub struct Args {
    /// URL of Redis: redis://, or rediss:// for TLS; it may contain a user and a password.
    #[arg(long, env = config::REDIS_URL, default_value = config::DEFAULT_REDIS_URL, hide_env_values = true)]
    redis_url: String,
    /// Number of shards of the store; fixed at the first use. More than one requires a Redis
    /// Cluster.
    #[arg(long, env = config::SHARDS, default_value = config::DEFAULT_SHARDS)]
    shards: String,
    /// Number of issues that the worker runs at the same time.
    #[arg(long, env = config::CONCURRENCY, default_value_t = config::default_concurrency().to_string())]
    concurrency: String,
    /// First part of the worker's id; a random part follows.
    #[arg(long, env = config::WORKER_NAME, default_value_t = host_name())]
    worker_name: String,
    /// EnhanceSetting that applies to issues which no other setting matches.
    #[arg(long, env = config::SETTING, default_value = config::DEFAULT_SETTING)]
    setting: String,
    /// Duration of a lease without a heartbeat, in seconds.
    #[arg(long, env = config::LEASE_SECS, default_value = config::DEFAULT_LEASE_SECS)]
    lease_secs: String,
    /// Number of worker deaths after which an issue is given up.
    #[arg(long, env = config::MAX_ATTEMPTS, default_value = config::DEFAULT_MAX_ATTEMPTS)]
    max_attempts: String,
    /// Number of retries after a temporary fault before an issue is given up.
    #[arg(long, env = config::MAX_RETRIES, default_value = config::DEFAULT_MAX_RETRIES)]
    max_retries: String,
    /// Time that open issues have to finish at shutdown, in seconds.
    #[arg(long, env = config::GRACE_SECS, default_value = config::DEFAULT_GRACE_SECS)]
    grace_secs: String,
    /// Days until decided issues are removed; 0 keeps them for ever. Log entries and commits are
    /// never removed.
    #[arg(long, env = config::RETENTION_DAYS, default_value = config::DEFAULT_RETENTION_DAYS)]
    retention_days: String,
    /// Directory of Lua scripts that add to and override the embedded ones.
    #[arg(long, env = config::LUA_DIR, default_value = "")]
    lua_dir: String,
    /// Programs that agents of kind subprocess may run: absolute paths, comma-separated.
    #[arg(long, env = config::SUBPROCESS_ALLOW, default_value = "")]
    subprocess_allow: String,
    /// Base URL for all providers of language models (a gateway), instead of the URL of each
    /// provider; it includes the API version, as in https://gateway.example/v1. Keys:
    /// `ANTHROPIC_API_KEY`, `OPENAI_API_KEY` and so on.
    #[arg(long, env = config::LLM_BASE_URL, default_value = "")]
    llm_base_url: String,
    /// Environment variables of this worker that subprocesses inherit: names, comma-separated. All
    /// other variables are removed.
    #[arg(long, env = config::SUBPROCESS_ENV, default_value = "")]
    subprocess_env: String,
    /// Address that serves /metrics (Prometheus text), /livez and /readyz; `off` disables it.
    #[arg(long, env = config::METRICS_LISTEN, default_value = config::DEFAULT_METRICS_LISTEN)]
    metrics_listen: String,
    /// Endpoint for traces (OTLP over gRPC), e.g. http://127.0.0.1:4317; tracing is off by default.
    #[arg(long, env = config::OTLP_ENDPOINT, default_value = "", hide_default_value = true)]
    otlp_endpoint: String,
    /// Log filter: a level, or directives such as `info,worker=debug`.
    #[arg(long, env = config::LOG, default_value = config::DEFAULT_LOG)]
    log: String,
    /// Log format: text or json.
    #[arg(long, env = config::LOG_FORMAT, default_value = config::DEFAULT_LOG_FORMAT)]
    log_format: String,
    /// Check the configuration, compile every script, and end.
    #[arg(long)]
    check: bool,
}

/// The checked configuration of a worker.
#[derive(Debug, Clone)]
pub struct Config {
    /// URL of Redis.
    pub redis_url: RedisUrl,
    /// Number of shards of the store.
    pub shards: usize,
    /// Number of issues that run at the same time.
    pub concurrency: usize,
    /// Number of threads that run flows: one for each core.
    pub flow_threads: usize,
    /// First part of the worker's id.
    pub worker_name: String,
    /// The setting that applies to issues which no other setting matches.
    pub setting: SettingId,
    /// Duration of a lease without a heartbeat.
    pub lease: Duration,
    /// Number of worker deaths after which an issue is given up.
    pub max_attempts: u32,
    /// Number of retries after a temporary fault.
    pub max_retries: u32,
    /// Time that issues have to finish at shutdown.
    pub grace: Duration,
    /// Time that decided issues are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// Directory of scripts that add to and override the embedded ones.
    pub lua_dir: Option<PathBuf>,
    /// Base URL for all model providers; `None`: each provider's own URL.
    pub llm_base_url: Option<String>,
    /// The programs that agents may run, and the environment variables of these programs.
    pub programs: Programs,
    /// Address of metrics and probes; `None`: disabled.
    pub metrics_listen: Option<SocketAddr>,
    /// True if the worker only checks its configuration and exits.
    pub check: bool,
}

impl Args {
    /// Checks all values.
    ///
    /// # Errors
    /// [`InvalidConfig`] lists every invalid value.
    pub fn into_config(self) -> Result<(Config, TelemetryConfig), InvalidConfig> {
        let mut problems = Problems::default();
        let redis_url = problems.check(config::REDIS_URL, config::parse_redis_url(&self.redis_url));
        let shards = problems.check(
            config::SHARDS,
            config::parse::parse_whole(&self.shards, config::SHARDS_RANGE),
        );
        let concurrency = problems.check(
            config::CONCURRENCY,
            config::parse::parse_whole(&self.concurrency, config::CONCURRENCY_RANGE),
        );
        let worker_name = problems.check(
            config::WORKER_NAME,
            config::parse::parse_worker_name(&self.worker_name),
        );
        let setting = problems.check(
            config::SETTING,
            config::parse::parse_setting_id(&self.setting),
        );
        let lease_secs = problems.check(
            config::LEASE_SECS,
            config::parse::parse_whole(&self.lease_secs, config::LEASE_SECS_RANGE),
        );
        let max_attempts = problems.check(
            config::MAX_ATTEMPTS,
            config::parse::parse_whole_u32(&self.max_attempts, config::MAX_ATTEMPTS_RANGE),
        );
        let max_retries = problems.check(
            config::MAX_RETRIES,
            config::parse::parse_whole_u32(&self.max_retries, config::MAX_RETRIES_RANGE),
        );
        let grace_secs = problems.check(
            config::GRACE_SECS,
            config::parse::parse_whole(&self.grace_secs, config::GRACE_SECS_RANGE),
        );
        let retention_days = problems.check(
            config::RETENTION_DAYS,
            config::parse::parse_whole(&self.retention_days, config::RETENTION_DAYS_RANGE),
        );
        let lua_dir = problems.check(
            config::LUA_DIR,
            config::parse::parse_optional_dir(&self.lua_dir),
        );
        let allowed = problems.check(
            config::SUBPROCESS_ALLOW,
            config::parse::parse_absolute_paths(&self.subprocess_allow),
        );
        let llm_base_url = problems.check(
            config::LLM_BASE_URL,
            config::parse::parse_optional_http_url(&self.llm_base_url),
        );
        let env = problems.check(
            config::SUBPROCESS_ENV,
            config::parse::parse_variable_names(&self.subprocess_env),
        );
        let metrics_listen = problems.check(
            config::METRICS_LISTEN,
            config::parse::parse_optional_listen(&self.metrics_listen),
        );
        let filter = problems.check(config::LOG, filter::parse_log_filter(&self.log));
        let format = problems.check(
            config::LOG_FORMAT,
            config::parse::parse_log_format(&self.log_format),
        );
        let otlp_endpoint = problems.check(
            config::OTLP_ENDPOINT,
            config::parse::parse_otlp_endpoint(&self.otlp_endpoint),
        );
        problems.finish()?;
        let sound = "every value was checked";
        let telemetry = TelemetryConfig {
            filter: filter.expect(sound),
            format: format.expect(sound),
            has_colours: colours::are_wanted(std::env::var_os),
            otlp_endpoint: otlp_endpoint.expect(sound),
        };
        let config = Config {
            redis_url: redis_url.expect(sound),
            shards: whole(shards.expect(sound)),
            concurrency: whole(concurrency.expect(sound)),
            flow_threads: std::thread::available_parallelism().map_or(1, NonZero::get),
            worker_name: worker_name.expect(sound),
            setting: setting.expect(sound),
            lease: Duration::from_secs(lease_secs.expect(sound)),
            max_attempts: max_attempts.expect(sound),
            max_retries: max_retries.expect(sound),
            grace: Duration::from_secs(grace_secs.expect(sound)),
            retention: Some(retention_days.expect(sound))
                .filter(|days| *days > 0)
                .map(|days| Duration::from_secs(days * 24 * 3_600)),
            lua_dir: lua_dir.expect(sound),
            llm_base_url: llm_base_url.expect(sound),
            programs: Programs {
                allowed: allowed.expect(sound),
                env: env.expect(sound),
            },
            metrics_listen: metrics_listen.expect(sound),
            check: self.check,
        };
        Ok((config, telemetry))
    }
}

/// Returns the host name from the kernel, or `worker` if it is unavailable.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "worker".to_owned()
    } else {
        name.to_owned()
    }
}

/// Converts a number; its configured range is far below `usize::MAX`.
fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
