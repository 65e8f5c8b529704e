//! The worker's configuration: flags, each with an environment variable of the same name.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use shared::config::problem::{InvalidConfig, Problems};
use shared::config::{self, RedisUrl};
use shared::ids::SettingId;
use shared::telemetry::{TelemetryConfig, filter};

use crate::flow::Programs;

/// One Draftsman worker: takes issues from the queue, runs the enhance flow, settles the outcome.
///
/// Start as many as you like, on as many machines as you like, against one Redis. A worker that
/// is asked to stop (SIGTERM, Ctrl-C) takes nothing new, finishes what it can within its grace
/// period and hands the rest back; one that is killed loses nothing, its issues go to the others.
#[derive(Debug, Parser)]
#[command(name = "worker", version)]
pub struct Args {
    /// Where Redis is: redis:// or rediss:// for TLS, user and password in the URL.
    #[arg(long, env = config::REDIS_URL, default_value = config::DEFAULT_REDIS_URL, hide_env_values = true)]
    redis_url: String,
    /// How many shards the store has; fixed when it is first used. More than one only for a Redis Cluster.
    #[arg(long, env = config::SHARDS, default_value = config::DEFAULT_SHARDS)]
    shards: String,
    /// How many issues to work on at once.
    #[arg(long, env = config::CONCURRENCY, default_value_t = config::default_concurrency().to_string())]
    concurrency: String,
    /// First part of the worker's id; a random part follows.
    #[arg(long, env = config::WORKER_NAME, default_value_t = host_name())]
    worker_name: String,
    /// Which EnhanceSetting to work by.
    #[arg(long, env = config::SETTING, default_value = config::DEFAULT_SETTING)]
    setting: String,
    /// How long a lease lives without a heartbeat, in seconds.
    #[arg(long, env = config::LEASE_SECS, default_value = config::DEFAULT_LEASE_SECS)]
    lease_secs: String,
    /// How often a worker may die over an issue before it is given up.
    #[arg(long, env = config::MAX_ATTEMPTS, default_value = config::DEFAULT_MAX_ATTEMPTS)]
    max_attempts: String,
    /// How often a fault that may pass is retried before the issue is given up.
    #[arg(long, env = config::MAX_RETRIES, default_value = config::DEFAULT_MAX_RETRIES)]
    max_retries: String,
    /// How long to let issues finish when asked to stop, in seconds.
    #[arg(long, env = config::GRACE_SECS, default_value = config::DEFAULT_GRACE_SECS)]
    grace_secs: String,
    /// How many days to keep decided issues; 0 keeps them for ever. Log entries and commits always stay.
    #[arg(long, env = config::RETENTION_DAYS, default_value = config::DEFAULT_RETENTION_DAYS)]
    retention_days: String,
    /// Directory of Lua scripts that add to and override the embedded ones.
    #[arg(long, env = config::LUA_DIR, default_value = "")]
    lua_dir: String,
    /// Programs that agents of kind subprocess may run: absolute paths, comma-separated.
    #[arg(long, env = config::SUBPROCESS_ALLOW, default_value = "")]
    subprocess_allow: String,
    /// Where to ask every provider of language models (a gateway), instead of each where it is at
    /// home; up to and with the version, as in https://gateway.example/v1. Keys: `ANTHROPIC_API_KEY`,
    /// `OPENAI_API_KEY` and their like.
    #[arg(long, env = config::LLM_BASE_URL, default_value = "")]
    llm_base_url: String,
    /// Variables of this worker that such programs are given: names, comma-separated; otherwise their environment is empty.
    #[arg(long, env = config::SUBPROCESS_ENV, default_value = "")]
    subprocess_env: String,
    /// Where to serve /metrics (Prometheus text), /livez and /readyz; `off` for not at all.
    #[arg(long, env = config::METRICS_LISTEN, default_value = config::DEFAULT_METRICS_LISTEN)]
    metrics_listen: String,
    /// Where to send traces (OTLP over gRPC), e.g. http://127.0.0.1:4317; none are made without it.
    #[arg(long, env = config::OTLP_ENDPOINT, default_value = "", hide_default_value = true)]
    otlp_endpoint: String,
    /// What to log: a level, or directives such as `info,worker=debug`.
    #[arg(long, env = config::LOG, default_value = config::DEFAULT_LOG)]
    log: String,
    /// How to log: text or json.
    #[arg(long, env = config::LOG_FORMAT, default_value = config::DEFAULT_LOG_FORMAT)]
    log_format: String,
    /// Check the configuration, compile every script, and end.
    #[arg(long)]
    check: bool,
}

/// What a worker runs by.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Redis is.
    pub redis_url: RedisUrl,
    /// How many shards the store has.
    pub shards: usize,
    /// Issues at once.
    pub concurrency: usize,
    /// Threads that flows run on: one for each core.
    pub flow_threads: usize,
    /// First part of the worker's id.
    pub worker_name: String,
    /// Which setting.
    pub setting: SettingId,
    /// How long a lease lives without a heartbeat.
    pub lease: Duration,
    /// How often a worker may die over an issue.
    pub max_attempts: u32,
    /// How often a passing fault is retried.
    pub max_retries: u32,
    /// How long issues may take to finish at shutdown.
    pub grace: Duration,
    /// How long decided issues are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// Scripts that add to the embedded ones.
    pub lua_dir: Option<PathBuf>,
    /// Where every provider of models is asked, if not each where it is at home.
    pub llm_base_url: Option<String>,
    /// Which programs agents may run, and what those are given.
    pub programs: Programs,
    /// Where metrics and probes are served, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Only check, do not run.
    pub check: bool,
}

impl Args {
    /// Checks all values.
    ///
    /// # Errors
    /// [`InvalidConfig`] names every bad value.
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

/// This machine's name, as the kernel has it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "worker".to_owned()
    } else {
        name.to_owned()
    }
}

/// A number that its range has bounded far below what does not fit.
fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
