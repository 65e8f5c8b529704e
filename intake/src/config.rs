//! Configuration of intake: the command line and the environment.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use shared::config::problem::{InvalidConfig, Problems};
use shared::config::{self, RedisUrl};
use shared::telemetry::{TelemetryConfig, colours, filter};

use crate::edge::tls::Tls;
use crate::edge::tokens::TokensFile;

/// The unchecked command line. [`Args::into_config`] checks all values together.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "intake",
    version,
    about = "The gRPC server of Draftsman: accepts issues and returns their decisions",
    long_about = "The gRPC server of Draftsman: accepts issues and returns their decisions.\n\n\
        It needs a Redis 7.0 or later and waits while it is unavailable: until then it listens and answers \
        UNAVAILABLE. SIGTERM or SIGINT stops it: open calls finish, watch streams end. Every flag can be \
        given as an environment variable instead; the flag wins. Exit status: 0 stopped when asked, \
        1 could not start or go on, 64 the configuration is wrong."
)]
pub struct Args {
    /// Address of Redis; rediss:// for TLS, user and password in the URL
    #[arg(long, value_name = "URL", env = config::REDIS_URL, default_value = config::DEFAULT_REDIS_URL, hide_env_values = true)]
    pub redis_url: String,

    /// Number of shards of the store; fixed at the first start. More than one for a Redis Cluster
    #[arg(long, value_name = "N", env = config::SHARDS, default_value = config::DEFAULT_SHARDS)]
    pub shards: String,

    /// Number of Redis replicas that must have a write before it is acknowledged (WAIT); 0: none
    #[arg(long, value_name = "N", env = config::WAIT_REPLICAS, default_value = config::DEFAULT_WAIT_REPLICAS)]
    pub wait_replicas: String,

    /// Address to listen on; port 0 picks a free port. The first log line shows it
    #[arg(long, value_name = "IP:PORT", env = config::LISTEN, default_value = config::DEFAULT_LISTEN)]
    pub listen: String,

    /// PEM file of the server certificate; with it gRPC uses TLS
    #[arg(long, value_name = "FILE", env = config::TLS_CERT, default_value = "", hide_default_value = true)]
    pub tls_cert: String,

    /// PEM file of the key of that certificate
    #[arg(long, value_name = "FILE", env = config::TLS_KEY, default_value = "", hide_default_value = true)]
    pub tls_key: String,

    /// PEM file of the CA for client certificates; with it every client must present one
    #[arg(long, value_name = "FILE", env = config::TLS_CLIENT_CA, default_value = "", hide_default_value = true)]
    pub tls_client_ca: String,

    /// File of tokens, one `<scope> <token>` or `<scope> <name> <token>` a line. Scopes: read,
    /// submit (and read), admin (everything). Read again when it changes. Without it no token is
    /// needed
    #[arg(long, value_name = "FILE", env = config::TOKENS_FILE, default_value = "", hide_default_value = true)]
    pub tokens_file: String,

    /// Server reflection: on or off
    #[arg(long, value_name = "SWITCH", env = config::REFLECTION, default_value = config::DEFAULT_REFLECTION)]
    pub reflection: String,

    /// Maximum number of open connections; one more is closed
    #[arg(long, value_name = "N", env = config::MAX_CONNECTIONS, default_value = config::DEFAULT_MAX_CONNECTIONS)]
    pub max_connections: String,

    /// Maximum number of concurrent watches
    #[arg(long, value_name = "N", env = config::MAX_WATCHES, default_value = config::DEFAULT_MAX_WATCHES)]
    pub max_watches: String,

    /// Maximum duration of a watch, in seconds; the client then watches again
    #[arg(long, value_name = "SECONDS", env = config::MAX_WATCH_SECS, default_value = config::DEFAULT_MAX_WATCH_SECS)]
    pub max_watch_secs: String,

    /// Address for traces (OTLP over gRPC), e.g. http://127.0.0.1:4317; without it none are sent
    #[arg(long, value_name = "URL", env = config::OTLP_ENDPOINT, default_value = "", hide_default_value = true)]
    pub otlp_endpoint: String,

    /// Address of /metrics (Prometheus text), /livez and /readyz; `off` disables them
    #[arg(long, value_name = "IP:PORT", env = config::METRICS_LISTEN, default_value = config::DEFAULT_METRICS_LISTEN)]
    pub metrics_listen: String,

    /// Seconds for open calls to finish after a signal
    #[arg(long, value_name = "SECONDS", env = config::GRACE_SECS, default_value = config::DEFAULT_GRACE_SECS, allow_hyphen_values = true)]
    pub grace_secs: String,

    /// Log filter for stderr: a level, or directives like warn,intake=debug
    #[arg(long, value_name = "FILTER", env = config::LOG, default_value = config::DEFAULT_LOG)]
    pub log: String,

    /// Format of a log line: text or json
    #[arg(long, value_name = "FORMAT", env = config::LOG_FORMAT, default_value = config::DEFAULT_LOG_FORMAT)]
    pub log_format: String,
}

/// The configuration of [`crate::server::bind`].
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of Redis.
    pub redis_url: RedisUrl,
    /// Number of shards of the store.
    pub shards: usize,
    /// Number of replicas that must have a write before it is acknowledged.
    pub wait_replicas: u32,
    /// The address to listen on; port 0 picks a free port.
    pub listen: SocketAddr,
    /// The TLS files; `None`: gRPC is plain text.
    pub(crate) tls: Option<Tls>,
    /// The tokens file; `None`: every caller may do everything.
    pub(crate) tokens: Option<TokensFile>,
    /// Whether server reflection is served.
    pub reflection: bool,
    /// Maximum number of open connections.
    pub max_connections: usize,
    /// Maximum number of concurrent watches.
    pub max_watches: usize,
    /// Maximum duration of a watch.
    pub max_watch: Duration,
    /// The address of metrics and probes, if they are served.
    pub metrics_listen: Option<SocketAddr>,
    /// Time for open calls to finish after a stop is requested.
    pub grace: Duration,
}

impl Args {
    /// Checks every value.
    ///
    /// # Errors
    /// [`InvalidConfig`] with all invalid values, each by its variable.
    pub fn into_config(self) -> Result<(Config, TelemetryConfig), InvalidConfig> {
        let mut problems = Problems::default();
        let redis_url = problems.check(config::REDIS_URL, config::parse_redis_url(&self.redis_url));
        let shards = problems.check(
            config::SHARDS,
            config::parse::parse_whole(&self.shards, config::SHARDS_RANGE),
        );
        let wait_replicas = problems.check(
            config::WAIT_REPLICAS,
            config::parse::parse_whole_u32(&self.wait_replicas, config::WAIT_REPLICAS_RANGE),
        );
        let listen = problems.check(config::LISTEN, config::parse::parse_listen(&self.listen));
        let metrics = problems.check(
            config::METRICS_LISTEN,
            config::parse::parse_optional_listen(&self.metrics_listen),
        );
        let grace = problems.check(
            config::GRACE_SECS,
            config::parse::parse_whole(&self.grace_secs, config::GRACE_SECS_RANGE),
        );
        let filter = problems.check(config::LOG, filter::parse_log_filter(&self.log));
        let format = problems.check(
            config::LOG_FORMAT,
            config::parse::parse_log_format(&self.log_format),
        );
        let reflection = problems.check(
            config::REFLECTION,
            config::parse::parse_switch(&self.reflection),
        );
        let max_connections = problems.check(
            config::MAX_CONNECTIONS,
            config::parse::parse_whole(&self.max_connections, config::MAX_CONNECTIONS_RANGE),
        );
        let max_watches = problems.check(
            config::MAX_WATCHES,
            config::parse::parse_whole(&self.max_watches, config::MAX_WATCHES_RANGE),
        );
        let max_watch = problems.check(
            config::MAX_WATCH_SECS,
            config::parse::parse_whole(&self.max_watch_secs, config::MAX_WATCH_SECS_RANGE),
        );
        let otlp_endpoint = problems.check(
            config::OTLP_ENDPOINT,
            config::parse::parse_otlp_endpoint(&self.otlp_endpoint),
        );
        let tls = Tls::read(
            &self.tls_cert,
            &self.tls_key,
            &self.tls_client_ca,
            &mut problems,
        );
        let mut tokens = None;
        if !self.tokens_file.is_empty() {
            match TokensFile::open(Path::new(&self.tokens_file)) {
                Ok(file) => tokens = Some(file),
                Err(bad) => {
                    problems.note(config::TOKENS_FILE, format!("{}: {bad}", self.tokens_file));
                }
            }
        }
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
            wait_replicas: wait_replicas.expect(sound),
            listen: listen.expect(sound),
            tls,
            tokens,
            reflection: reflection.expect(sound),
            max_connections: whole(max_connections.expect(sound)),
            max_watches: whole(max_watches.expect(sound)),
            max_watch: Duration::from_secs(max_watch.expect(sound)),
            metrics_listen: metrics.expect(sound),
            grace: Duration::from_secs(grace.expect(sound)),
        };
        Ok((config, telemetry))
    }
}

/// Converts a number whose range clap has already limited to what fits.
fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bad_values_are_reported_together() {
        let line = [
            "intake",
            "--redis-url",
            "x",
            "--listen",
            "y",
            "--grace-secs",
            "-1",
            "--log-format",
            "z",
        ];
        let invalid = Args::parse_from(line).into_config().unwrap_err();
        assert_eq!(
            invalid.variables(),
            [
                config::REDIS_URL,
                config::LISTEN,
                config::GRACE_SECS,
                config::LOG_FORMAT
            ]
        );
    }

    #[test]
    fn flags_are_taken() {
        let line = [
            "intake",
            "--listen",
            "127.0.0.1:0",
            "--grace-secs",
            "3",
            "--log",
            "warn",
            "--log-format",
            "json",
        ];
        let (config, telemetry) = Args::parse_from(line).into_config().unwrap();
        assert_eq!(config.listen.port(), 0);
        assert_eq!(config.grace, Duration::from_secs(3));
        assert_eq!(telemetry.filter, "warn");
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
