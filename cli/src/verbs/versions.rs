//! `history`, `diff` and `revert`.

use proto::v1::version_selector::Selector;
use proto::v1::{Commit, DiffBlueprintRequest, ListCommitsRequest, RevertBlueprintRequest};
use serde_json::json;

use super::version_lookup::{fetch, resolve};
use super::{page_size, trial};
use crate::args::{DiffArgs, HistoryArgs, Output, RevertArgs};
use crate::client::{CliError, Client};
use crate::output::{self, Cell, Column};

/// Prints the commits of a Blueprint, newest first.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn history(
    mut client: Client,
    args: HistoryArgs,
    format: Output,
) -> Result<(), CliError> {
    let by_actor = args.actor.is_some();
    let limit = args.limit.number();
    let (commits, has_more) = commits(&mut client, &args.blueprint_id, args.actor, limit).await?;
    if format == Output::Json {
        let commits: Vec<_> = commits.iter().map(output::commit_json).collect();
        let value = json!({ "commits": commits, "has_more": has_more });
        return Ok(output::json_document(&value)?);
    }
    let issue_ids: Vec<&str> = commits.iter().map(|c| c.issue_id.as_str()).collect();
    let short_ids = output::short_ids(&issue_ids);
    let rows = commits.iter().zip(short_ids).map(|(commit, short_id)| {
        [
            Cell::number(commit.seq),
            Cell::version(&commit.version),
            Cell::from(&commit.version_label),
            Cell::time(commit.committed_at.as_ref()),
            Cell::from(&commit.author),
            Cell::short(short_id, &commit.issue_id),
            Cell::from(&commit.rationale),
        ]
    });
    let columns = [
        Column::value("SEQ"),
        Column::value("VERSION"),
        Column::text("LABEL").omitted(4),
        Column::time("COMMITTED").omitted(1),
        Column::text("BY").omitted(2),
        Column::value("ISSUE").omitted(3),
        Column::text("RATIONALE"),
    ];
    output::list(columns, &rows.collect::<Vec<_>>(), "commits")?;
    if has_more {
        // The commits of a Blueprint are numbered from 1.
        let total = commits.first().map(|newest| newest.seq);
        let total = total.filter(|_| !by_actor);
        output::note(output::left_out(commits.len(), total))?;
    }
    Ok(())
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
            "json_patch": output::nested_json(&answer.json_patch),
            "unified_diff": answer.unified_diff,
        }))?,
        (Output::Text, true) => output::json_text(&answer.json_patch)?,
        (Output::Text, false) => output::show_diff(&answer.unified_diff)?,
    }
    Ok(is_different)
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
        commit.blueprint_id,
        commit.seq,
        output::version(&commit.version)
    ))?;
    Ok(trial::show(answer.trial, &answer.trial_detail)?)
}

/// Returns the newest commit.
///
/// # Errors
/// Errors of intake.
pub(super) async fn newest(client: &mut Client, blueprint_id: &str) -> Result<Commit, CliError> {
    let (commits, _) = commits(client, blueprint_id, None, 1).await?;
    let newest = commits.into_iter().next();
    newest.ok_or(CliError::Answer { field: "commits" })
}

/// Returns the newest commits, or those of one author, at most `limit`, and whether there are more.
async fn commits(
    client: &mut Client,
    blueprint_id: &str,
    author: Option<String>,
    limit: usize,
) -> Result<(Vec<Commit>, bool), CliError> {
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
    let has_more = !page_token.is_empty() || commits.len() > limit;
    commits.truncate(limit);
    Ok((commits, has_more))
}
