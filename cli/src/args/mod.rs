//! Command-line arguments of `draftsman`: the verbs, and the options of every verb.

mod blueprints;
mod channels;
mod consumers;
mod contexts;
mod document_format;
mod duration;
mod groups;
mod issues;
mod lists;
mod local;
mod review;
mod settings;
mod stores;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::blueprints::{
    BlueprintArg, DiffArgs, EditArgs, ExportArgs, ForkArgs, GetArgs, HistoryArgs, ImportArgs,
    PutArgs, RevertArgs,
};
pub(crate) use self::channels::{ChannelsArgs, ConsumersArgs, PromoteArgs, RollbackArgs};
pub(crate) use self::consumers::{FollowArgs, SyncArgs};
pub(crate) use self::contexts::{ContextAddArgs, ContextUseArgs, ContextVerb};
pub(crate) use self::document_format::DocumentFormat;
pub(crate) use self::groups::command;
#[cfg(test)]
pub(crate) use self::groups::listing;
pub(crate) use self::issues::{
    IssueArg, IssuesArgs, LogArgs, PreviewArgs, QueueArg, RetryArgs, StateArg, SubmitArgs, TopArgs,
    WatchArgs,
};
pub(crate) use self::local::{
    CertsArgs, CompletionsArgs, ConsoleArgs, DEFAULT_CONSOLE, ManArgs, ProbeArgs, Question, UpArgs,
    VerifyArgs,
};
pub(crate) use self::review::{ApproveArgs, DeclineArgs, ReviewArgs};
pub(crate) use self::settings::{
    SettingEditArgs, SettingPutArgs, SettingVerb, UseModelArgs, UseOrbitArgs,
};
pub(crate) use self::stores::{BackupArgs, RestoreArgs};

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
  submit, watch, retry  0 applied, 2 denied or declined, 3 failed, 4 cancelled,
                        5 in review (only with --detach-on-review)
  preview               0 would be applied, 2 denied, 3 failed, 5 would need a review
  diff --exit-code      0 no difference, 1 a difference, 2 error
  verify                0 pass, 2 deny, 5 review
  doctor                0 no problem, 1 a problem
  probe                 0 healthy, 1 unhealthy
  submit, watch, retry, preview  130 after Ctrl-C
  every verb            0 done, 1 error, 64 wrong arguments";

/// Options of every verb.
#[derive(Clone, Args)]
pub(crate) struct Common {
    /// Address of intake. Without `http://` or `https://`: plain text to this machine, TLS to any
    /// other, and TLS with --ca or --client-cert; without a port: 50051.
    #[arg(long, global = true, env = "DRAFTSMAN_ADDR", default_value = DEFAULT_ADDR, value_name = "URL")]
    pub(crate) addr: String,
    /// Use this context instead of the current one, and ignore the DRAFTSMAN_ variables of the
    /// connection. See `draftsman context`.
    #[arg(long, global = true, env = "DRAFTSMAN_CONTEXT", value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
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
    /// Time limit of a call, such as 30s or 2m; 0 for none. Also ends the wait of `submit`,
    /// `retry`, `watch` and `preview`, which is not limited otherwise. [default: 10s for a call]
    #[arg(long, global = true, env = "DRAFTSMAN_TIMEOUT", value_name = "TIME", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
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
    /// Serve the console, the web page, for the intake of --addr. People sign in there with their
    /// own tokens; --token is not used.
    Console(ConsoleArgs),
    /// Write a Blueprint (YAML or JSON) without verification.
    Put(PutArgs),
    /// Print a Blueprint, or list all Blueprints.
    Get(GetArgs),
    /// Change a Blueprint in your editor, and write it without verification.
    Edit(EditArgs),
    /// Submit an issue, a change in plain words, and wait for its decision.
    Submit(SubmitArgs),
    /// Show what an issue would change, without changing anything.
    Preview(PreviewArgs),
    /// Watch an issue until it is decided.
    Watch(WatchArgs),
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
    /// List the issues that wait for a review, or show one with its diff and take a decision.
    Review(ReviewArgs),
    /// Approve what an issue in review proposes. Shows it and asks first.
    Approve(ApproveArgs),
    /// Decline what an issue in review proposes.
    Decline(DeclineArgs),
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
    /// Make a new Blueprint from another one, with its history.
    Fork(ForkArgs),
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
    /// Copy the whole store to a file: Blueprints, channels, settings, log entries and issues.
    Backup(BackupArgs),
    /// Write a backup into an empty store.
    Restore(RestoreArgs),
    /// Print each move of the Blueprints that match. Prints the present versions first.
    Follow(FollowArgs),
    /// Keep a folder of files up to date with the Blueprints that match.
    Sync(SyncArgs),
    /// Write, show, list or delete settings, which define how issues are processed.
    #[command(subcommand)]
    Setting(SettingVerb),
    /// Show the queue: waiting issues, issues in flight, and workers.
    Stats,
    /// Show the queue, the workers and the issues that they run, and keep the picture up to date.
    Top(TopArgs),
    /// Check a deployment, and show each problem with its remedy.
    Doctor,
    /// Ask the intake or worker on this machine for its health. Meant for container health checks.
    Probe(ProbeArgs),
    /// Write certificates to try TLS with: a CA, a server and a client, each with its key.
    Certs(CertsArgs),
    /// Name the intakes that you use, and choose one of them.
    #[command(subcommand)]
    Context(ContextVerb),
    /// Print a script for the shell that completes verbs, options, and the ids that intake has.
    Completions(CompletionsArgs),
    /// Write the manual pages, one per verb, to a directory.
    Man(ManArgs),
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
