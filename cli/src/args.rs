//! Command-line arguments of `draftsman`.

mod settings;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shared::config;

mod channels;
mod put;

pub(crate) use self::channels::{ChannelsArgs, ConsumersArgs, PromoteArgs, RollbackArgs};
pub(crate) use self::settings::SettingPutArgs;
pub(crate) use put::{DocumentFormat, PutArgs};

/// The default address of intake.
pub(crate) const DEFAULT_ADDR: &str = "http://127.0.0.1:50051";

/// Draftsman turns a plain-language issue against a Blueprint into a verified, versioned commit, or
/// into a rejection with its reasons.
///
/// `draftsman up` runs everything on this machine. Most other verbs call a running intake over
/// gRPC.
#[derive(Debug, Parser)]
#[command(name = "draftsman", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// The verb.
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Connection and output options.
    #[command(flatten)]
    pub(crate) common: Common,
}

const EXIT_CODES: &str = "Exit status:
  submit, watch, retry  0 applied, 2 denied, 3 failed, 4 cancelled
  preview               0 would be applied, 2 denied, 3 failed
  verify                0 pass, 2 deny
  doctor                0 nothing is bad, 1 something is
  probe                 0 well, 1 not
  every verb            0 done, 1 error, 64 wrong arguments";

/// Options of every verb.
#[derive(Clone, Args)]
pub(crate) struct Common {
    /// Address of intake.
    #[arg(long, global = true, env = "DRAFTSMAN_ADDR", default_value = DEFAULT_ADDR, value_name = "URL")]
    pub(crate) addr: String,
    /// Token of the caller, if intake requires one. Prefer the environment: other users can see
    /// command lines.
    #[arg(
        long,
        global = true,
        env = "DRAFTSMAN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
    /// PEM file of the CA that signed intake's certificate, for an https:// address. Default: the
    /// CAs of the system.
    #[arg(long, global = true, env = "DRAFTSMAN_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// PEM file of the client certificate, if intake requires one.
    #[arg(
        long,
        global = true,
        env = "DRAFTSMAN_CLIENT_CERT",
        value_name = "FILE",
        requires = "client_key"
    )]
    pub(crate) client_cert: Option<PathBuf>,
    /// PEM file of the key of that certificate.
    #[arg(
        long,
        global = true,
        env = "DRAFTSMAN_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert"
    )]
    pub(crate) client_key: Option<PathBuf>,
    /// Text for people, or JSON with the field names of the gRPC response. A stream prints one line
    /// per message.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Omits the token.
        f.debug_struct("Common")
            .field("addr", &self.addr)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables and sentences.
    Text,
    /// JSON.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything on this machine: a private redis-server, intake and workers. Ctrl-C ends all
    /// of them.
    Up(UpArgs),
    /// Write a Blueprint (YAML or JSON) without verification.
    Put(PutArgs),
    /// Print a Blueprint, or list all Blueprints.
    Get(GetArgs),
    /// Submit an issue, a change in plain words, and wait for its decision.
    Submit(SubmitArgs),
    /// Show what an issue would change, without changing anything.
    Preview(PreviewArgs),
    /// Watch an issue until it is decided.
    Watch(IssueArg),
    /// List issues, newest first, or show one.
    Issues(IssuesArgs),
    /// Cancel an issue.
    Cancel(IssueArg),
    /// Submit a rejected issue again as a new one, and wait for its decision.
    Retry(RetryArgs),
    /// Pause the queue or one Blueprint. New issues are accepted and wait; issues in flight
    /// continue.
    Pause(QueueArg),
    /// Resume the queue or one Blueprint.
    Resume(QueueArg),
    /// Show decisions and their reasons: the log entry of one issue, or the latest entries.
    Log(LogArgs),
    /// List the commits of a Blueprint, newest first.
    History(HistoryArgs),
    /// Show the difference between two versions of a Blueprint.
    Diff(DiffArgs),
    /// Run a verifier script on two documents, without intake.
    Verify(VerifyArgs),
    /// Make the content of an earlier version the head again, as a new commit.
    Revert(RevertArgs),
    /// Archive a Blueprint: it is kept, hidden from lists and not writable. Its queued issues fail.
    Archive(BlueprintArg),
    /// Unarchive a Blueprint.
    Unarchive(BlueprintArg),
    /// List the channels of a Blueprint, such as production and staging, or their moves.
    Channels(ChannelsArgs),
    /// Move a channel to a version. Shows the difference and asks first.
    Promote(PromoteArgs),
    /// Move a channel back to the version before its last move.
    Rollback(RollbackArgs),
    /// List the instances that run Blueprints, with their last reports.
    Consumers(ConsumersArgs),
    /// Export the whole history of a Blueprint to a file.
    Export(ExportArgs),
    /// Import a Blueprint with its whole history from an exported file.
    Import(ImportArgs),
    /// Write, show, list or delete settings, which define how issues are worked on.
    #[command(subcommand)]
    Setting(SettingVerb),
    /// Show the queue: waiting issues, issues in flight, and workers.
    Stats,
    /// Check a deployment, and show each problem with its remedy.
    Doctor,
    /// Ask the intake or worker on this machine for its health. Meant for container health checks.
    Probe(ProbeArgs),
    /// Print shell completions.
    Completions(CompletionsArgs),
    /// Write the manual pages, one per verb, to a directory.
    Man(ManArgs),
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

fn http_url(text: &str) -> Result<String, String> {
    match shared::config::parse::parse_optional_http_url(text) {
        Ok(url) => Ok(url.unwrap_or_default()),
        Err(problem) => Err(problem.to_string()),
    }
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
    /// File of the options of the axis, as in a setting's axis_options (YAML or JSON).
    #[arg(long, value_name = "FILE")]
    pub(crate) options: Option<PathBuf>,
    /// Format of the Blueprints and the options. Default: a file is JSON if it begins with `{` or
    /// `[`, else YAML.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<DocumentFormat>,
    /// Address of every model provider, for llm-judge, as for the worker.
    #[arg(long, value_name = "URL", env = shared::config::LLM_BASE_URL, value_parser = http_url)]
    pub(crate) llm_base_url: Option<String>,
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

/// Options of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Id of the Blueprint. Default: list all.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: Option<String>,
    /// Print this version: a version, its first digits, or the number of its commit.
    #[arg(
        long,
        value_name = "VERSION",
        requires = "blueprint_id",
        conflicts_with_all = ["semver", "channel"]
    )]
    pub(crate) version: Option<String>,
    /// Print the version with the highest label that satisfies this requirement, such as `^1.2`.
    #[arg(
        long,
        value_name = "REQUIREMENT",
        requires = "blueprint_id",
        conflicts_with = "channel"
    )]
    pub(crate) semver: Option<String>,
    /// Print the version of this channel.
    #[arg(long, value_name = "CHANNEL", requires = "blueprint_id")]
    pub(crate) channel: Option<String>,
    /// Also list archived Blueprints.
    #[arg(long, conflicts_with = "blueprint_id")]
    pub(crate) archived: bool,
}

/// Options of `submit`.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// Id of the Blueprint to change.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The change in plain words. `-` reads standard input. Several words need no quotes.
    #[arg(value_name = "INTENT", required = true, num_args = 1.., allow_hyphen_values = false)]
    pub(crate) intent: Vec<String>,
    /// Id of the new issue. The same issue can be submitted again under the same id.
    #[arg(long, value_name = "ID")]
    pub(crate) issue_id: Option<String>,
    /// Submit only; do not wait for the decision.
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Options of `preview`.
#[derive(Debug, Args)]
pub(crate) struct PreviewArgs {
    /// Id of the Blueprint to change.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The change in plain words. `-` reads standard input. Several words need no quotes.
    #[arg(value_name = "INTENT", required = true, num_args = 1.., allow_hyphen_values = false)]
    pub(crate) intent: Vec<String>,
}

/// Options of `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// Id of the rejected issue.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
    /// Id of the new issue. The same issue can be retried again under the same id.
    #[arg(long, value_name = "ID")]
    pub(crate) new_issue_id: Option<String>,
    /// Submit only; do not wait for the decision.
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Selects the queue or one Blueprint.
#[derive(Debug, Args)]
pub(crate) struct QueueArg {
    /// Id of the Blueprint. Default: the whole queue.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: Option<String>,
}

/// Selects an issue.
#[derive(Debug, Args)]
pub(crate) struct IssueArg {
    /// Id of the issue.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
}

/// Options of `issues`.
#[derive(Debug, Args)]
pub(crate) struct IssuesArgs {
    /// Show this issue in full.
    #[arg(value_name = "ISSUE", conflicts_with_all = ["blueprint", "state", "cause", "dead", "limit"])]
    pub(crate) issue_id: Option<String>,
    /// List only issues of this Blueprint.
    #[arg(long, value_name = "ID")]
    pub(crate) blueprint: Option<String>,
    /// List only issues in this state.
    #[arg(long, value_enum)]
    pub(crate) state: Option<StateArg>,
    /// List only issues that were rejected for this cause.
    #[arg(long, value_enum)]
    pub(crate) cause: Option<CauseArg>,
    /// List only issues on the dead-letter list.
    #[arg(long)]
    pub(crate) dead: bool,
    /// Maximum number of issues.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// The states of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum StateArg {
    /// Waits for a worker.
    Pending,
    /// A worker runs it.
    InFlight,
    /// Its change was committed.
    Applied,
    /// It was rejected.
    Rejected,
}

/// The causes of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CauseArg {
    /// A verifier denied it.
    Denied,
    /// It could not be decided.
    Failed,
    /// A user cancelled it.
    Cancelled,
}

/// Options of `log`.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Show the entry of this issue in full.
    #[arg(value_name = "ISSUE", conflicts_with_all = ["blueprint", "oldest_first", "limit"])]
    pub(crate) issue_id: Option<String>,
    /// List only decisions about this Blueprint.
    #[arg(long, value_name = "ID")]
    pub(crate) blueprint: Option<String>,
    /// List the oldest entry first.
    #[arg(long)]
    pub(crate) oldest_first: bool,
    /// Maximum number of entries.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// Options of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// Maximum number of commits.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The older version: a version, its first digits, or the number of its commit. Default: the
    /// one before TO.
    #[arg(value_name = "FROM")]
    pub(crate) from: Option<String>,
    /// The newer version. Default: the newest.
    #[arg(value_name = "TO")]
    pub(crate) to: Option<String>,
    /// Print an RFC 6902 patch instead of a unified diff.
    #[arg(long)]
    pub(crate) patch: bool,
}

/// The verbs of `setting`.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingVerb {
    /// Print a setting, in the form that `setting put` reads.
    Get(SettingArg),
    /// Write a setting (YAML or JSON, with the field names of `setting get`).
    Put(SettingPutArgs),
    /// List the settings by id.
    List,
    /// Delete a setting. `default` cannot be deleted.
    Delete(SettingArg),
    /// Use a language model to write the patches. The worker needs the key of the provider in its
    /// environment, such as `ANTHROPIC_API_KEY` or `OPENAI_API_KEY`.
    UseModel(UseModelArgs),
    /// Use another orbit at its latest version, such as the bundled enhance-repair.
    UseOrbit(UseOrbitArgs),
}

/// Selects a setting.
#[derive(Debug, Args)]
pub(crate) struct SettingArg {
    /// Id of the setting.
    #[arg(value_name = "SETTING")]
    pub(crate) setting_id: String,
}

/// Options of `setting use-model`.
#[derive(Debug, Args)]
pub(crate) struct UseModelArgs {
    /// The model, such as anthropic/claude-sonnet-4-5, openai/gpt-4o or ollama/llama3.1.
    #[arg(value_name = "PROVIDER/MODEL")]
    pub(crate) model: String,
    /// Id of the setting to change.
    #[arg(long, value_name = "SETTING", default_value = "default")]
    pub(crate) setting: String,
}

/// Options of `setting use-orbit`.
#[derive(Debug, Args)]
pub(crate) struct UseOrbitArgs {
    /// Id of the orbit, such as enhance-default or enhance-repair.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) orbit: String,
    /// Id of the setting to change.
    #[arg(long, value_name = "SETTING", default_value = "default")]
    pub(crate) setting: String,
}

/// Options of `revert`.
#[derive(Debug, Args)]
pub(crate) struct RevertArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The version to restore: a version, its first digits, or the number of its commit.
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    /// Reason of the change, kept in the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) rationale: Option<String>,
}

/// Selects a Blueprint.
#[derive(Debug, Args)]
pub(crate) struct BlueprintArg {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Id of the Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The file to create; it must not exist. Default: standard output.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// A file written by `export`.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_intent_needs_no_quotes_and_options_may_follow() {
        let cli = Cli::try_parse_from([
            "draftsman",
            "submit",
            "swarm",
            "tag",
            "blue",
            "--detach",
            "--output",
            "json",
        ])
        .unwrap();
        let Verb::Submit(submit) = cli.verb else {
            panic!("submit expected")
        };
        assert_eq!(
            (submit.intent.join(" ").as_str(), submit.detach),
            ("tag blue", true)
        );
        assert_eq!(cli.common.output, Output::Json);
    }

    #[test]
    fn one_issue_and_a_filter_exclude_each_other() {
        assert!(Cli::try_parse_from(["draftsman", "issues", "some-id", "--dead"]).is_err());
        assert!(Cli::try_parse_from(["draftsman", "issues", "--state", "in_flight"]).is_ok());
    }
}
