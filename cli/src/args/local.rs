//! Arguments of the verbs that call no intake.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use shared::config;

use super::{DocumentFormat, duration};

/// The default address of the console.
pub(crate) const DEFAULT_CONSOLE: &str = "127.0.0.1:50080";

/// Options of `console`.
#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    /// Address on which the console listens. Port 0 picks a free port.
    #[arg(long, env = "DRAFTSMAN_CONSOLE_LISTEN", default_value = DEFAULT_CONSOLE, value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Names under which browsers reach the console, besides those of this machine. Write
    /// https://NAME if they use HTTPS, so that cookies are sent by HTTPS only. Repeat it, or
    /// separate names by commas.
    #[arg(
        long,
        env = "DRAFTSMAN_CONSOLE_PUBLIC_HOST",
        value_name = "HOST",
        value_delimiter = ','
    )]
    pub(crate) public_host: Vec<String>,
}

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Address on which intake listens. Port 0 picks a free port.
    #[arg(
        long,
        env = "DRAFTSMAN_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "ADDRESS"
    )]
    pub(crate) listen: String,
    /// Address on which the console, the web page, listens; `off`: no console. Default:
    /// 127.0.0.1:50080, or a free port if that is in use.
    #[arg(long, env = "DRAFTSMAN_CONSOLE_LISTEN", value_name = "ADDRESS")]
    pub(crate) console_listen: Option<String>,
    /// Number of workers.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
    /// Directory of the data. Created if missing.
    #[arg(long, default_value = ".draftsman", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// The redis-server program. Default: the first one on the PATH.
    #[arg(long, env = "DRAFTSMAN_REDIS_SERVER", value_name = "PROGRAM")]
    pub(crate) redis_server: Option<PathBuf>,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// File of the script, as in DRAFTSMAN_LUA_DIR/verifiers, or name of a bundled axis.
    #[arg(value_name = "SCRIPT")]
    pub(crate) script: PathBuf,
    /// File of the Blueprint before the change.
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,
    /// File of the Blueprint after the change.
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,
    /// The text of the issue, for axes that compare it with the change, such as llm-judge.
    #[arg(long, value_name = "TEXT", default_value = "to try a verifier")]
    pub(crate) intent: String,
    /// Time limit of the verifier, such as 30s or 5m.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(crate) time_limit: Duration,
    /// File of the options of the axis, as in a setting's axis_options (YAML or JSON).
    #[arg(long, value_name = "FILE")]
    pub(crate) options: Option<PathBuf>,
    /// Format of the Blueprints and the options. Default: a file is JSON if it begins with `{` or
    /// `[`, else YAML.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<DocumentFormat>,
    /// Address of every model provider, for llm-judge, as for the worker.
    #[arg(long, value_name = "URL", env = config::LLM_BASE_URL, value_parser = http_url)]
    pub(crate) llm_base_url: Option<String>,
}

fn http_url(text: &str) -> Result<String, String> {
    match config::parse::parse_optional_http_url(text) {
        Ok(url) => Ok(url.unwrap_or_default()),
        Err(problem) => Err(problem.to_string()),
    }
}

/// Options of `probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// readyz: can the program do new work? livez: is the program alive?
    #[arg(value_enum, default_value_t = Question::Readyz)]
    pub(crate) question: Question,
    /// Address of the program's probes.
    #[arg(long, env = config::METRICS_LISTEN, default_value = config::DEFAULT_METRICS_LISTEN, value_name = "ADDRESS")]
    pub(crate) metrics_listen: String,
}

/// The questions of `probe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Question {
    /// `/livez`.
    Livez,
    /// `/readyz`.
    Readyz,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory for the pages, for example ~/.local/share/man/man1. Created if missing.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Options of `certs`.
#[derive(Debug, Args)]
pub(crate) struct CertsArgs {
    /// Directory for the files. Created if missing. Existing files are not overwritten.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// A name or an address of the server. Can be given several times.
    #[arg(long, value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    pub(crate) name: Vec<String>,
    /// The name of the client.
    #[arg(long, value_name = "NAME", default_value = "client")]
    pub(crate) client: String,
    /// Validity in days.
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3650))]
    pub(crate) days: u64,
}
