//! `history`, `diff` and `revert`.

use std::env;
use std::io::{self, IsTerminal};

use proto::v1::version_selector::Selector;
use proto::v1::{Commit, DiffBlueprintRequest, ListCommitsRequest, RevertBlueprintRequest};
use serde_json::json;

use super::version_lookup::{fetch, resolve};
use super::{page_size, trial};
use crate::args::{DiffArgs, HistoryArgs, Output, RevertArgs};
use crate::client::{CliError, Client};
use crate::output;

/// Prints the commits of a Blueprint, newest first.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn history(
    mut client: Client,
    args: HistoryArgs,
    format: Output,
) -> Result<(), CliError> {
    let commits = commits(&mut client, &args.blueprint_id, args.actor, args.limit).await?;
    if format == Output::Json {
        let commits: Vec<_> = commits.iter().map(output::commit_json).collect();
        return Ok(output::json_document(&json!({ "commits": commits }))?);
    }
    let rows = commits.iter().map(|commit| {
        [
            commit.seq.to_string(),
            output::short(&commit.version).to_owned(),
            commit.version_label.clone(),
            output::time(commit.committed_at.as_ref()),
            commit.author.clone(),
            commit.issue_id.clone(),
            output::brief(&commit.rationale),
        ]
    });
    let header = [
        "SEQ",
        "VERSION",
        "LABEL",
        "COMMITTED",
        "BY",
        "ISSUE",
        "RATIONALE",
    ];
    Ok(output::line(output::table(header, rows))?)
}

/// Prints the difference between two versions. Returns true if they differ.
///
/// # Errors
/// Errors of intake or standard output. An argument matches no version, or several.
pub(crate) async fn diff(
    mut client: Client,
    args: DiffArgs,
    format: Output,
) -> Result<bool, CliError> {
    let id = &args.blueprint_id;
    let (from, to) = match (args.from, args.to) {
        (Some(from), Some(to)) => (
            resolve(&mut client, id, &from).await?,
            resolve(&mut client, id, &to).await?,
        ),
        (Some(from), None) => {
            let from = resolve(&mut client, id, &from).await?;
            (from, newest(&mut client, id).await?.version)
        }
        (None, to) => {
            let to = match to {
                Some(given) => {
                    let version = resolve(&mut client, id, &given).await?;
                    let found = fetch(&mut client, id, Selector::Fixed(version)).await?;
                    found.commit.ok_or(CliError::Answer { field: "commit" })?
                }
                None => newest(&mut client, id).await?,
            };
            // The first version has no parent, so it is compared with itself.
            let before = to.parents.first().unwrap_or(&to.version).clone();
            (before, to.version)
        }
    };
    let is_different = from != to;
    let request = DiffBlueprintRequest {
        blueprint_id: id.clone(),
        from_version: from,
        to_version: to,
    };
    let answer = client.blueprints.diff_blueprint(request).await?;
    let answer = answer.into_inner();
    match (format, args.patch) {
        (Output::Json, _) => output::json_document(&json!({
            "json_patch": answer.json_patch,
            "unified_diff": answer.unified_diff,
        }))?,
        (Output::Text, true) => output::line(answer.json_patch)?,
        (Output::Text, false) => show_diff(&answer.unified_diff)?,
    }
    Ok(is_different)
}

/// Prints a unified diff, coloured on a terminal.
///
/// # Errors
/// The error of the operating system.
pub(super) fn show_diff(diff: &str) -> io::Result<()> {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if diff.is_empty() {
        output::line("no difference")
    } else if io::stdout().is_terminal() && !no_color {
        output::exact(&coloured(diff))
    } else {
        output::exact(diff)
    }
}

/// Colours a unified diff for a terminal: deletions red, insertions green, positions cyan.
fn coloured(diff: &str) -> String {
    let mut text = String::with_capacity(diff.len() * 2);
    let mut in_header = true;
    for line in diff.lines() {
        in_header &= !line.starts_with("@@");
        let code = match line.as_bytes().first() {
            _ if in_header => "1",
            Some(b'-') => "31",
            Some(b'+') => "32",
            Some(b'@') => "36",
            _ => "",
        };
        match code {
            "" => text.push_str(line),
            code => text.push_str(&format!("\x1b[{code}m{line}\x1b[0m")),
        }
        text.push('\n');
    }
    text
}

/// Makes the content of an earlier version the head again.
///
/// # Errors
/// Errors of intake or standard output. The argument matches no version, or several.
pub(crate) async fn revert(
    mut client: Client,
    args: RevertArgs,
    format: Output,
) -> Result<(), CliError> {
    let version = resolve(&mut client, &args.blueprint_id, &args.version).await?;
    let request = RevertBlueprintRequest {
        blueprint_id: args.blueprint_id,
        version,
        rationale: args.rationale,
    };
    let answer = client.blueprints.revert_blueprint(request).await?;
    let answer = answer.into_inner();
    let commit = answer.commit.ok_or(CliError::Answer { field: "commit" })?;
    if format == Output::Json {
        let trial = trial::json(answer.trial, &answer.trial_detail);
        let value = json!({ "commit": output::commit_json(&commit), "trial": trial });
        return Ok(output::json_document(&value)?);
    }
    output::line(format_args!(
        "{}: the head is commit {}, version {}",
        commit.blueprint_id, commit.seq, commit.version
    ))?;
    Ok(trial::show(answer.trial, &answer.trial_detail)?)
}

/// Returns the newest commit.
///
/// # Errors
/// Errors of intake.
pub(super) async fn newest(client: &mut Client, blueprint_id: &str) -> Result<Commit, CliError> {
    let commits = commits(client, blueprint_id, None, 1).await?;
    let newest = commits.into_iter().next();
    newest.ok_or(CliError::Answer { field: "commits" })
}

/// Returns the newest commits, or those of one author, at most `limit`.
async fn commits(
    client: &mut Client,
    blueprint_id: &str,
    author: Option<String>,
    limit: usize,
) -> Result<Vec<Commit>, CliError> {
    let mut commits = Vec::new();
    let mut page_token = String::new();
    while commits.len() < limit {
        let request = ListCommitsRequest {
            blueprint_id: blueprint_id.to_owned(),
            page_size: page_size(limit - commits.len()),
            page_token,
            author: author.clone(),
            ..Default::default()
        };
        let page = client.blueprints.list_commits(request).await?.into_inner();
        commits.extend(page.commits);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    commits.truncate(limit);
    Ok(commits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_is_coloured_line_by_line() {
        let diff = "--- a\n+++ b\n@@ -1,2 +1,2 @@\n same\n--- gone\n+new\n";
        assert_eq!(
            coloured(diff),
            "\x1b[1m--- a\x1b[0m\n\x1b[1m+++ b\x1b[0m\n\x1b[36m@@ -1,2 +1,2 @@\x1b[0m\n same\n\
             \x1b[31m--- gone\x1b[0m\n\x1b[32m+new\x1b[0m\n"
        );
    }
}
