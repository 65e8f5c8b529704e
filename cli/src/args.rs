//! What can be typed after `draftsman`.

mod settings;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shared::config;

mod put;

pub(crate) use self::settings::SettingPutArgs;
pub(crate) use put::{DocumentFormat, PutArgs};

/// Where a running intake is looked for if nothing says otherwise.
pub(crate) const DEFAULT_ADDR: &str = "http://127.0.0.1:50051";

/// Draftsman turns a plain-language issue against a Blueprint into a verified, versioned commit, or into a rejection that
/// says why.
///
/// `draftsman up` runs everything on this machine. Every other verb talks to a running intake over gRPC.
#[derive(Debug, Parser)]
#[command(name = "draftsman", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Where and how to talk.
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
    /// The address of intake.
    #[arg(long, global = true, env = "DRAFTSMAN_ADDR", default_value = DEFAULT_ADDR, value_name = "URL")]
    pub(crate) addr: String,
    /// The token to call with, if intake wants one; better in the environment than on a command line that others can see.
    #[arg(
        long,
        global = true,
        env = "DRAFTSMAN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
    /// Who must have signed intake's certificate, a PEM file, for an https:// address; the system's own list if not given.
    #[arg(long, global = true, env = "DRAFTSMAN_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The certificate to show to an intake that wants one, a PEM file.
    #[arg(
        long,
        global = true,
        env = "DRAFTSMAN_CLIENT_CERT",
        value_name = "FILE",
        requires = "client_key"
    )]
    pub(crate) client_cert: Option<PathBuf>,
    /// The key of that certificate, a PEM file.
    #[arg(
        long,
        global = true,
        env = "DRAFTSMAN_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert"
    )]
    pub(crate) client_key: Option<PathBuf>,
    /// Text for people, or JSON: the answer of the gRPC call with its field names (a stream: one line for each message).
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token.
        f.debug_struct("Common")
            .field("addr", &self.addr)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// How answers are printed.
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
    /// Run everything on this machine: a private redis-server, intake and workers; one Ctrl-C ends them.
    Up(UpArgs),
    /// Write a Blueprint (YAML or JSON) as it is.
    Put(PutArgs),
    /// Print a Blueprint, or list them all.
    Get(GetArgs),
    /// Ask for a change of a Blueprint in plain words, and wait until it is decided.
    Submit(SubmitArgs),
    /// Try a change out: what it would come to, without changing anything.
    Preview(PreviewArgs),
    /// Follow an issue until it is decided.
    Watch(IssueArg),
    /// List issues, newest first, or show one.
    Issues(IssuesArgs),
    /// Call an issue off.
    Cancel(IssueArg),
    /// File a rejected issue again as a new one, and wait until that is decided.
    Retry(RetryArgs),
    /// Hold issues back: they are accepted and wait; nothing in flight is touched.
    Pause(QueueArg),
    /// End a pause.
    Resume(QueueArg),
    /// Show what was decided and why: one issue's log entry, or the latest entries.
    Log(LogArgs),
    /// List the commits of a Blueprint, newest first.
    History(HistoryArgs),
    /// Show what changed between two versions of a Blueprint.
    Diff(DiffArgs),
    /// Try a verifier script out on two documents, without intake.
    Verify(VerifyArgs),
    /// Make the content of an earlier version the head again, as a new commit.
    Revert(RevertArgs),
    /// Put a Blueprint away: kept, hidden from lists, not writable; what is queued for it fails.
    Archive(BlueprintArg),
    /// Take an archived Blueprint back into use.
    Unarchive(BlueprintArg),
    /// Write the whole history of a Blueprint to a file.
    Export(ExportArgs),
    /// Recreate a Blueprint with its whole history from such a file.
    Import(ImportArgs),
    /// Write, show, list or delete the settings by which issues are worked on.
    #[command(subcommand)]
    Setting(SettingVerb),
    /// Show the queue: what waits, what is worked on, and by which workers.
    Stats,
    /// Look the whole deployment over: what is wrong with it, and what to do about that.
    Doctor,
    /// Ask the intake or worker on this machine whether it is well, as the healthcheck of a container does.
    Probe(ProbeArgs),
    /// Print the completions of this program for a shell.
    Completions(CompletionsArgs),
    /// Write the manual pages of this program, one per verb, into a directory.
    Man(ManArgs),
}

/// Options of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The directory, for example ~/.local/share/man/man1; created if missing.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Options of `probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// Ready: would work that comes now get done? Live: is the program alive?
    #[arg(value_enum, default_value_t = Question::Readyz)]
    pub(crate) question: Question,
    /// Where that program serves its probes.
    #[arg(long, env = config::METRICS_LISTEN, default_value = config::DEFAULT_METRICS_LISTEN, value_name = "ADDRESS")]
    pub(crate) metrics_listen: String,
}

/// What `probe` asks.
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
    /// The script, as it would lie in DRAFTSMAN_LUA_DIR/verifiers, or the name of a bundled axis.
    #[arg(value_name = "SCRIPT")]
    pub(crate) script: PathBuf,
    /// The Blueprint as it was.
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,
    /// The Blueprint as it would be.
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,
    /// The options of the axis, as in a setting's axis_options (YAML or JSON).
    #[arg(long, value_name = "FILE")]
    pub(crate) options: Option<PathBuf>,
    /// The language of the Blueprints and the options; if not given, each is JSON if it begins with `{` or `[`, else
    /// YAML.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<DocumentFormat>,
    /// Where every provider of models is asked, for llm-judge; as the worker's variable.
    #[arg(long, value_name = "URL", env = shared::config::LLM_BASE_URL, value_parser = http_url)]
    pub(crate) llm_base_url: Option<String>,
}

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where intake listens; port 0 picks a free one.
    #[arg(
        long,
        env = "DRAFTSMAN_LISTEN",
        default_value = "127.0.0.1:50051",
        value_name = "ADDRESS"
    )]
    pub(crate) listen: String,
    /// How many workers run in this process.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
    /// Where the data is kept; made if it is not there.
    #[arg(long, default_value = ".draftsman", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// The redis-server to start; looked for on the PATH if not given.
    #[arg(long, env = "DRAFTSMAN_REDIS_SERVER", value_name = "PROGRAM")]
    pub(crate) redis_server: Option<PathBuf>,
}

/// Options of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Which Blueprint; none lists them all.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: Option<String>,
    /// This version: in full, the beginning of one, or the number of its commit.
    #[arg(
        long,
        value_name = "VERSION",
        requires = "blueprint_id",
        conflicts_with = "semver"
    )]
    pub(crate) version: Option<String>,
    /// The highest version label that satisfies this requirement, such as `^1.2`.
    #[arg(long, value_name = "REQUIREMENT", requires = "blueprint_id")]
    pub(crate) semver: Option<String>,
    /// List archived ones too.
    #[arg(long, conflicts_with = "blueprint_id")]
    pub(crate) archived: bool,
}

/// Options of `submit`.
#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The Blueprint to change.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// What should change; `-` reads standard input. Several words need no quotes.
    #[arg(value_name = "INTENT", required = true, num_args = 1.., allow_hyphen_values = false)]
    pub(crate) intent: Vec<String>,
    /// The id to file it under; submitting the same again under the same id is safe.
    #[arg(long, value_name = "ID")]
    pub(crate) issue_id: Option<String>,
    /// Only file it; do not wait.
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Options of `preview`.
#[derive(Debug, Args)]
pub(crate) struct PreviewArgs {
    /// The Blueprint to change.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// What should change; `-` reads standard input. Several words need no quotes.
    #[arg(value_name = "INTENT", required = true, num_args = 1.., allow_hyphen_values = false)]
    pub(crate) intent: Vec<String>,
}

/// Options of `retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The rejected issue.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
    /// The id to file the new issue under; retrying again under the same id is safe.
    #[arg(long, value_name = "ID")]
    pub(crate) new_issue_id: Option<String>,
    /// Only file it; do not wait.
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Names a queue.
#[derive(Debug, Args)]
pub(crate) struct QueueArg {
    /// Only the issues against this Blueprint; none: all issues.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: Option<String>,
}

/// Names an issue.
#[derive(Debug, Args)]
pub(crate) struct IssueArg {
    /// Which issue.
    #[arg(value_name = "ISSUE")]
    pub(crate) issue_id: String,
}

/// Options of `issues`.
#[derive(Debug, Args)]
pub(crate) struct IssuesArgs {
    /// Show this one in full.
    #[arg(value_name = "ISSUE", conflicts_with_all = ["blueprint", "state", "cause", "dead", "limit"])]
    pub(crate) issue_id: Option<String>,
    /// Only those against this Blueprint.
    #[arg(long, value_name = "ID")]
    pub(crate) blueprint: Option<String>,
    /// Only those in this state.
    #[arg(long, value_enum)]
    pub(crate) state: Option<StateArg>,
    /// Only those rejected for this cause.
    #[arg(long, value_enum)]
    pub(crate) cause: Option<CauseArg>,
    /// Only those on the dead-letter list.
    #[arg(long)]
    pub(crate) dead: bool,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// The states of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum StateArg {
    /// Waits for a worker.
    Pending,
    /// A worker has it.
    InFlight,
    /// Its change is a commit.
    Applied,
    /// It was turned down.
    Rejected,
}

/// The causes of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CauseArg {
    /// A verifier said no.
    Denied,
    /// It could not be decided.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

/// Options of `log`.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Show this issue's entry in full.
    #[arg(value_name = "ISSUE", conflicts_with_all = ["blueprint", "oldest_first", "limit"])]
    pub(crate) issue_id: Option<String>,
    /// Only decisions about this Blueprint.
    #[arg(long, value_name = "ID")]
    pub(crate) blueprint: Option<String>,
    /// Begin with the oldest.
    #[arg(long)]
    pub(crate) oldest_first: bool,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// Options of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Whose history.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Which Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The older version: in full, the beginning of one, or the number of its commit. None: the one before TO.
    #[arg(value_name = "FROM")]
    pub(crate) from: Option<String>,
    /// The newer version. None: the newest.
    #[arg(value_name = "TO")]
    pub(crate) to: Option<String>,
    /// Print the change as an RFC 6902 patch instead of a unified diff.
    #[arg(long)]
    pub(crate) patch: bool,
}

/// What can be done with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingVerb {
    /// Print a setting; `setting put` takes what it prints.
    Get(SettingArg),
    /// Write a setting (YAML or JSON, with the field names that `setting get` prints).
    Put(SettingPutArgs),
    /// List the settings by id.
    List,
    /// Delete a setting; not `default`.
    Delete(SettingArg),
    /// Have a language model write the patches. Its key is the worker's: `ANTHROPIC_API_KEY`,
    /// `OPENAI_API_KEY` and their like in the worker's environment.
    UseModel(UseModelArgs),
    /// Have issues worked on by another orbit, such as the bundled enhance-repair, at its latest version.
    UseOrbit(UseOrbitArgs),
}

/// Names a setting.
#[derive(Debug, Args)]
pub(crate) struct SettingArg {
    /// Which setting.
    #[arg(value_name = "SETTING")]
    pub(crate) setting_id: String,
}

/// Options of `setting use-model`.
#[derive(Debug, Args)]
pub(crate) struct UseModelArgs {
    /// Which model, such as anthropic/claude-sonnet-4-5, openai/gpt-4o or ollama/llama3.1.
    #[arg(value_name = "PROVIDER/MODEL")]
    pub(crate) model: String,
    /// In which setting.
    #[arg(long, value_name = "SETTING", default_value = "default")]
    pub(crate) setting: String,
}

/// Options of `setting use-orbit`.
#[derive(Debug, Args)]
pub(crate) struct UseOrbitArgs {
    /// Which Blueprint, such as enhance-default or enhance-repair.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) orbit: String,
    /// In which setting.
    #[arg(long, value_name = "SETTING", default_value = "default")]
    pub(crate) setting: String,
}

/// Options of `revert`.
#[derive(Debug, Args)]
pub(crate) struct RevertArgs {
    /// Which Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// The version to go back to: in full, the beginning of one, or the number of its commit.
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) rationale: Option<String>,
}

/// Names a Blueprint.
#[derive(Debug, Args)]
pub(crate) struct BlueprintArg {
    /// Which Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Which Blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub(crate) blueprint_id: String,
    /// Where to write it; must not be there yet. None: standard output.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// What `export` wrote.
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
