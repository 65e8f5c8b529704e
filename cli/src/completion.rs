//! Completion in a shell: verbs, options, and the ids that intake has.
//!
//! The script of `draftsman completions` calls this program with the words of the line. Intake is
//! asked once, within [`DEADLINE`]. If it does not answer, only its ids are missing: a completion
//! prints no errors.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};
use proto::v1::{
    Issue, IssueState, ListBlueprintsRequest, ListChannelsRequest, ListCommitsRequest,
    ListIssuesRequest, ListSettingsRequest,
};
use shared::ids::BlueprintId;

use crate::args::{Cli, Common};
use crate::client::{CliError, Client};
use crate::contexts;
use crate::output;

/// The variable by which a shell asks for candidates. Its value names the shell.
const VARIABLE: &str = "DRAFTSMAN_COMPLETE";
/// The end of the script for zsh: a file of this script in `fpath` is run as a function at the
/// first completion, which must have candidates too.
const ZSH_AUTOLOAD: &str =
    "[ \"${funcstack[1]}\" = _draftsman ] && _clap_dynamic_completer_draftsman \"$@\"\ntrue\n";
/// The time for all candidates. A person waits for them.
const DEADLINE: Duration = Duration::from_millis(800);
/// The most candidates of a kind that has no natural limit.
const MAX_CANDIDATES: i32 = 100;
/// The width of a description.
const ABOUT_WIDTH: usize = 60;
/// The largest page of a list.
const MAX_PAGE: i32 = 1000;

/// Prints candidates and ends the process, if a shell asks for them.
pub(crate) fn answer_if_asked() {
    CompleteEnv::with_factory(|| with_completers(Cli::command()))
        .var(VARIABLE)
        .complete();
}

/// Prints the script of a shell.
///
/// # Errors
/// Errors of standard output.
pub(crate) fn print_script(shell: clap_complete::Shell) -> io::Result<()> {
    let completer: &dyn EnvCompleter = match shell {
        clap_complete::Shell::Elvish => &Elvish,
        clap_complete::Shell::Fish => &Fish,
        clap_complete::Shell::PowerShell => &Powershell,
        clap_complete::Shell::Zsh => &Zsh,
        _ => &Bash,
    };
    let mut script = Vec::new();
    // The program is found on the PATH, so that the script stays valid when it is moved.
    completer.write_registration(VARIABLE, "draftsman", "draftsman", "draftsman", &mut script)?;
    if shell == clap_complete::Shell::Zsh {
        script.extend_from_slice(ZSH_AUTOLOAD.as_bytes());
    }
    io::stdout().lock().write_all(&script)
}

/// A kind of value that is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Blueprints,
    Issues,
    Channels,
    Settings,
    Versions,
    Contexts,
}

/// Returns what an argument names, by the name of its value in the help.
fn subject(arg: &Arg) -> Option<Subject> {
    if arg.get_id() == "blueprint" {
        return Some(Subject::Blueprints);
    }
    let names = arg.get_value_names()?;
    match names.first()?.as_str() {
        "BLUEPRINT" | "PATTERN" => Some(Subject::Blueprints),
        "ISSUE" => Some(Subject::Issues),
        "CHANNEL" => Some(Subject::Channels),
        "SETTING" => Some(Subject::Settings),
        "VERSION" | "FROM" | "TO" => Some(Subject::Versions),
        "CONTEXT" => Some(Subject::Contexts),
        _ => None,
    }
}

/// Adds a completer to each argument whose values are known to intake.
fn with_completers(command: Command) -> Command {
    let command = command.mut_args(|arg| match subject(&arg) {
        Some(subject) => arg.add(ArgValueCompleter::new(move |current: &OsStr| {
            candidates(subject, current)
        })),
        None => arg,
    });
    command.mut_subcommands(with_completers)
}

/// Returns the candidates that begin with `current`; none after any error.
fn candidates(subject: Subject, current: &OsStr) -> Vec<CompletionCandidate> {
    let found = current.to_str().and_then(|prefix| {
        let line = Line::of(std::env::args_os())?;
        line.candidates(subject, prefix)
    });
    found.unwrap_or_default()
}

/// The words of the line so far.
struct Line {
    given: ArgMatches,
}

impl Line {
    /// Reads the words after `--` in the call of the shell.
    fn of(args: impl Iterator<Item = OsString>) -> Option<Self> {
        let words = args.skip_while(|word| word != "--").skip(1);
        // The line is not complete, so most checks would fail.
        let command = Cli::command().ignore_errors(true);
        let given = command.try_get_matches_from(words).ok()?;
        Some(Self { given })
    }

    /// Returns the verb, and the Blueprint that the line names.
    fn verb(&self) -> (&str, Option<&str>) {
        let Some((verb, args)) = self.given.subcommand() else {
            return ("", None);
        };
        let id = args.try_get_one::<String>("blueprint_id").ok().flatten();
        (verb, id.map(String::as_str))
    }

    fn candidates(&self, subject: Subject, prefix: &str) -> Option<Vec<CompletionCandidate>> {
        if subject == Subject::Contexts {
            let names = contexts::read().ok()?.contexts.into_iter();
            let all = names.map(|(name, context)| (name, context.addr));
            return Some(matching(all, prefix));
        }
        let mut common = Common::from_arg_matches(&self.given).ok()?;
        contexts::apply(&mut common, &self.given).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        let answer = runtime.block_on(async {
            // The timer needs the runtime, so it is made inside.
            tokio::time::timeout(DEADLINE, self.ask(&common, subject)).await
        });
        // The name of a host may still be looked up in a thread.
        runtime.shutdown_background();
        Some(matching(answer.ok()?.ok()?, prefix))
    }

    /// Asks intake. Returns values with descriptions.
    async fn ask(
        &self,
        options: &Common,
        subject: Subject,
    ) -> Result<Vec<(String, String)>, CliError> {
        let mut client = Client::connect(options).await?;
        match (subject, self.verb()) {
            (Subject::Blueprints, (verb, _)) => blueprints(&mut client, verb).await,
            (Subject::Issues, (verb, _)) => issues(&mut client, verb).await,
            (Subject::Settings, _) => settings(&mut client).await,
            (Subject::Channels, (_, Some(id))) => channels(&mut client, id).await,
            (Subject::Versions, (_, Some(id))) => versions(&mut client, id).await,
            (Subject::Channels | Subject::Versions | Subject::Contexts, _) => Ok(Vec::new()),
        }
    }
}

fn matching(
    all: impl IntoIterator<Item = (String, String)>,
    prefix: &str,
) -> Vec<CompletionCandidate> {
    let matching = all
        .into_iter()
        .filter(|(value, _)| value.starts_with(prefix) && is_plain(value));
    let candidates = matching.enumerate().map(|(order, (value, about))| {
        // A description is one line of plain characters: the shells separate fields by others.
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let about = output::cut(&output::escape(&about), ABOUT_WIDTH);
        let about = (!about.is_empty()).then(|| about.into());
        let candidate = CompletionCandidate::new(value).help(about);
        candidate.display_order(Some(order))
    });
    candidates.collect()
}

/// Returns whether the value has only the characters of ids. A shell inserts a candidate into the
/// line as it is, so another server than intake could insert a command.
fn is_plain(value: &str) -> bool {
    BlueprintId::parse(value).is_ok()
}

async fn blueprints(client: &mut Client, verb: &str) -> Result<Vec<(String, String)>, CliError> {
    let is_unarchive = verb == "unarchive";
    let request = ListBlueprintsRequest {
        include_archived: is_unarchive,
        page_size: MAX_PAGE,
        ..Default::default()
    };
    let page = client
        .blueprints
        .list_blueprints(request)
        .await?
        .into_inner();
    let wanted = page
        .blueprints
        .into_iter()
        .filter(|found| found.archived == is_unarchive);
    Ok(wanted
        .map(|found| (found.blueprint_id, found.version_label))
        .collect())
}

async fn issues(client: &mut Client, verb: &str) -> Result<Vec<(String, String)>, CliError> {
    let state = match verb {
        "retry" => Some(IssueState::Rejected.into()),
        "review" | "approve" | "decline" => Some(IssueState::InReview.into()),
        _ => None,
    };
    let request = ListIssuesRequest {
        state,
        page_size: MAX_CANDIDATES,
        ..Default::default()
    };
    let page = client.intake.list_issues(request).await?.into_inner();
    let is_open = |issue: &Issue| {
        matches!(
            issue.state(),
            IssueState::Pending | IssueState::InFlight | IssueState::InReview
        )
    };
    let wanted = page
        .issues
        .into_iter()
        .filter(|issue| verb != "cancel" || is_open(issue));
    let described = wanted.map(|issue| {
        let about = format!(
            "{} {}: {}",
            issue.blueprint_id,
            output::state_name(&issue),
            issue.intent
        );
        (issue.issue_id, about)
    });
    Ok(described.collect())
}

async fn settings(client: &mut Client) -> Result<Vec<(String, String)>, CliError> {
    let request = ListSettingsRequest {
        page_size: MAX_PAGE,
        ..Default::default()
    };
    let page = client.settings.list_settings(request).await?.into_inner();
    let settings = page.settings.into_iter();
    Ok(settings
        .map(|setting| (setting.id, setting.blueprint_id))
        .collect())
}

async fn channels(client: &mut Client, id: &str) -> Result<Vec<(String, String)>, CliError> {
    let request = ListChannelsRequest {
        blueprint_id: id.to_owned(),
    };
    let found = client.blueprints.list_channels(request).await?.into_inner();
    let described = found.channels.into_iter().map(|channel| {
        let about = format!("commit {} {}", channel.seq, channel.version_label);
        (channel.name, about)
    });
    Ok(described.collect())
}

async fn versions(client: &mut Client, id: &str) -> Result<Vec<(String, String)>, CliError> {
    let request = ListCommitsRequest {
        blueprint_id: id.to_owned(),
        page_size: MAX_CANDIDATES,
        ..Default::default()
    };
    let page = client.blueprints.list_commits(request).await?.into_inner();
    let described = page.commits.into_iter().map(|commit| {
        let about = format!(
            "commit {} {} {}",
            commit.seq, commit.version_label, commit.rationale
        );
        (output::short_version(&commit.version).to_owned(), about)
    });
    Ok(described.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Line {
        let call = ["draftsman", "--"].iter().chain(words);
        Line::of(call.map(OsString::from)).unwrap()
    }

    #[test]
    fn an_unfinished_line_is_read() {
        let typed = line(&["draftsman", "promote", "swarm", ""]);
        assert_eq!(typed.verb(), ("promote", Some("swarm")));
        let typed = line(&[
            "draftsman",
            "--addr",
            "http://a:1",
            "get",
            "swarm",
            "--channel",
            "p",
        ]);
        assert_eq!(typed.verb(), ("get", Some("swarm")));
        let options = Common::from_arg_matches(&typed.given).unwrap();
        assert_eq!(options.addr, "http://a:1");
        let typed = line(&[
            "draftsman",
            "get",
            "swarm",
            "--addr",
            "http://a:1",
            "--version",
            "",
        ]);
        let options = Common::from_arg_matches(&typed.given).unwrap();
        assert_eq!(options.addr, "http://a:1");
        assert_eq!(line(&["draftsman", ""]).verb(), ("", None));
    }

    #[test]
    fn every_argument_that_names_a_stored_thing_is_completed() {
        let mut missing = Vec::new();
        let mut pending = vec![with_completers(Cli::command())];
        while let Some(command) = pending.pop() {
            pending.extend(command.get_subcommands().cloned());
            for arg in command.get_arguments() {
                let has_one = arg.get::<ArgValueCompleter>().is_some();
                assert_eq!(has_one, subject(arg).is_some(), "{arg}");
                let name = arg.get_id().as_str();
                let is_stored = [
                    "blueprint_id",
                    "issue_id",
                    "channel",
                    "setting",
                    "setting_id",
                    "version",
                ];
                // The id of a new issue, and the flag --version, name nothing that exists.
                if is_stored.contains(&name)
                    && !has_one
                    && arg.get_long().is_none_or(|l| l == "channel")
                {
                    missing.push(format!("{} {name}", command.get_name()));
                }
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_value_that_a_shell_would_run_is_no_candidate() {
        let values = [
            "a$(id)", "a;b", "a b", "a\nb", "a*", "a`id`", "-a", "a.b_c-1",
        ];
        let all = values.map(|value| (value.to_owned(), String::new()));
        let found = matching(all, "");
        let found: Vec<_> = found.iter().map(|one| one.get_value()).collect();
        assert_eq!(found, ["a.b_c-1"]);
    }

    #[test]
    fn descriptions_are_one_line_without_control_characters() {
        let found = matching([("a".to_owned(), "x\ty\n\u{1b}[31mz".to_owned())], "");
        let help = found[0].get_help().unwrap().ansi().to_string();
        assert!(!help.contains(['\t', '\n', '\u{1b}']), "{help:?}");
    }
}
