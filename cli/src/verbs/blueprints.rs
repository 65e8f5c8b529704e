//! `put`, `get`, `history` and `diff`.

use std::io::{self, Read};
use std::path::Path;

use proto::v1::version_selector::Selector;
use proto::v1::{
    Commit, GetBlueprintRequest, GetBlueprintResponse, ListBlueprintsRequest, ListCommitsRequest,
    PutBlueprintRequest, VersionSelector,
};
use serde_json::json;
use shared::blueprint::{Blueprint, diff, json as doc_json};

use super::page_size;
use crate::args::{DiffArgs, GetArgs, HistoryArgs, Output, PutArgs};
use crate::client::{CliError, Client};
use crate::output;

/// Versions have as many characters as a SHA-256 in hexadecimal.
const VERSION_CHARACTERS: usize = 64;
/// A number of at most so many digits names a commit by its `seq`; longer ones are the beginning of a version.
const MAX_SEQ_DIGITS: usize = 6;

/// Writes a document as it is.
///
/// # Errors
/// What the file, intake or standard output said.
pub(crate) async fn put(mut client: Client, args: PutArgs, format: Output) -> Result<(), CliError> {
    let document = read(&args.file)?;
    let expected_head = if args.new {
        Some(String::new())
    } else {
        args.expected_head
    };
    let request = PutBlueprintRequest {
        document,
        expected_head,
        rationale: args.rationale,
    };
    let answer = client.blueprints.put_blueprint(request).await?.into_inner();
    let commit = answer.commit.ok_or(CliError::Answer { field: "commit" })?;
    if format == Output::Json {
        let value = json!({ "commit": output::commit_json(&commit), "created": answer.created });
        return Ok(output::json_document(&value)?);
    }
    let what = if answer.created {
        "commit"
    } else {
        "unchanged, still commit"
    };
    Ok(output::line(format_args!(
        "{}: {what} {}, version {}",
        commit.blueprint_id, commit.seq, commit.version
    ))?)
}

/// Prints a document, or the list of all Blueprints.
///
/// # Errors
/// What intake or standard output said.
pub(crate) async fn get(mut client: Client, args: GetArgs, format: Output) -> Result<(), CliError> {
    let Some(blueprint_id) = args.blueprint_id else {
        return list(client, args.archived, format).await;
    };
    let selector = match (args.version, args.semver) {
        (Some(given), _) => Selector::Fixed(resolve(&mut client, &blueprint_id, &given).await?),
        (None, Some(requirement)) => Selector::SemverReq(requirement),
        (None, None) => Selector::Latest(true),
    };
    let answer = fetch(&mut client, &blueprint_id, selector).await?;
    if format == Output::Json {
        let commit = answer
            .commit
            .as_ref()
            .ok_or(CliError::Answer { field: "commit" })?;
        return Ok(output::json_document(&json!({
            "document_yaml": answer.document_yaml,
            "document_json": answer.document_json,
            "commit": output::commit_json(commit),
        }))?);
    }
    // Exactly the canonical bytes, so that a SHA-256 of what is printed is the version.
    Ok(output::exact(&answer.document_yaml)?)
}

async fn list(mut client: Client, include_archived: bool, format: Output) -> Result<(), CliError> {
    let mut blueprints = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListBlueprintsRequest {
            include_archived,
            page_size: page_size(usize::MAX),
            page_token,
        };
        let page = client
            .blueprints
            .list_blueprints(request)
            .await?
            .into_inner();
        blueprints.extend(page.blueprints);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if format == Output::Json {
        let blueprints: Vec<_> = blueprints.iter().map(output::summary_json).collect();
        return Ok(output::json_document(&json!({ "blueprints": blueprints }))?);
    }
    let rows = blueprints.iter().map(|summary| {
        [
            summary.blueprint_id.clone(),
            output::short(&summary.head).to_owned(),
            summary.version_label.clone(),
            output::time(summary.updated_at.as_ref()),
            if summary.archived { "archived" } else { "" }.to_owned(),
        ]
    });
    Ok(output::line(output::table(
        ["BLUEPRINT", "HEAD", "LABEL", "UPDATED", ""],
        rows,
    ))?)
}

/// Prints the commits of a Blueprint, newest first.
///
/// # Errors
/// What intake or standard output said.
pub(crate) async fn history(
    mut client: Client,
    args: HistoryArgs,
    format: Output,
) -> Result<(), CliError> {
    let commits = commits(&mut client, &args.blueprint_id, args.limit).await?;
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
            commit.issue_id.clone(),
            output::brief(&commit.rationale),
        ]
    });
    Ok(output::line(output::table(
        ["SEQ", "VERSION", "LABEL", "COMMITTED", "ISSUE", "RATIONALE"],
        rows,
    ))?)
}

/// Prints what changed between two versions.
///
/// # Errors
/// What intake or standard output said; what was given names no version, or several.
pub(crate) async fn diff(
    mut client: Client,
    args: DiffArgs,
    format: Output,
) -> Result<(), CliError> {
    let id = &args.blueprint_id;
    let to = match &args.to {
        Some(given) => fetch_given(&mut client, id, given).await?,
        None => fetch(&mut client, id, Selector::Latest(true)).await?,
    };
    let from = match &args.from {
        Some(given) => Some(fetch_given(&mut client, id, given).await?),
        None => match to.commit.as_ref().and_then(|commit| commit.parents.first()) {
            Some(parent) => Some(fetch(&mut client, id, Selector::Fixed(parent.clone())).await?),
            None => None,
        },
    };
    let new = parse(&to)?;
    // The first version of all has nothing before it: it differs from itself in nothing.
    let old = from.as_ref().map_or_else(|| parse(&to), parse)?;
    let patch = doc_json::emit(&diff::json_patch(old.doc(), new.doc()));
    let unified = diff::unified(
        old.canonical_yaml(),
        new.canonical_yaml(),
        &format!("{id} {}", output::short(old.version().as_str())),
        &format!("{id} {}", output::short(new.version().as_str())),
    );
    match (format, args.patch) {
        (Output::Json, _) => {
            output::json_document(&json!({ "json_patch": patch, "unified_diff": unified }))?
        }
        (Output::Text, true) => output::line(patch)?,
        (Output::Text, false) if unified.is_empty() => output::line("no difference")?,
        (Output::Text, false) => output::exact(&unified)?,
    }
    Ok(())
}

/// The document of an answer. Read from JSON: it says the same as the YAML and is quicker to read.
fn parse(answer: &GetBlueprintResponse) -> Result<Blueprint, CliError> {
    Blueprint::parse(&answer.document_json).map_err(|source| CliError::Document {
        version: answer
            .commit
            .as_ref()
            .map(|commit| commit.version.clone())
            .unwrap_or_default(),
        source,
    })
}

async fn fetch(
    client: &mut Client,
    blueprint_id: &str,
    selector: Selector,
) -> Result<GetBlueprintResponse, CliError> {
    let request = GetBlueprintRequest {
        blueprint_id: blueprint_id.to_owned(),
        selector: Some(VersionSelector {
            selector: Some(selector),
        }),
    };
    Ok(client.blueprints.get_blueprint(request).await?.into_inner())
}

async fn fetch_given(
    client: &mut Client,
    blueprint_id: &str,
    given: &str,
) -> Result<GetBlueprintResponse, CliError> {
    let version = resolve(client, blueprint_id, given).await?;
    fetch(client, blueprint_id, Selector::Fixed(version)).await
}

/// The version that a person means: one in full, the beginning of one, or the number of a commit.
async fn resolve(client: &mut Client, blueprint_id: &str, given: &str) -> Result<String, CliError> {
    if given.len() == VERSION_CHARACTERS {
        return Ok(given.to_owned());
    }
    let commits = commits(client, blueprint_id, usize::MAX).await?;
    choose(&commits, blueprint_id, given)
}

fn choose(commits: &[Commit], blueprint_id: &str, given: &str) -> Result<String, CliError> {
    let not_found = || CliError::NoSuchVersion {
        blueprint_id: blueprint_id.to_owned(),
        given: given.to_owned(),
    };
    if given.len() <= MAX_SEQ_DIGITS && given.bytes().all(|byte| byte.is_ascii_digit()) {
        let seq = given.parse::<u64>().map_err(|_| not_found())?;
        let commit = commits
            .iter()
            .find(|commit| commit.seq == seq)
            .ok_or_else(not_found)?;
        return Ok(commit.version.clone());
    }
    let mut named = commits
        .iter()
        .map(|commit| &commit.version)
        .filter(|version| version.starts_with(given));
    let first = named.next().ok_or_else(not_found)?;
    // The same content may have been head more than once.
    if named.any(|other| other != first) {
        return Err(CliError::AmbiguousVersion {
            blueprint_id: blueprint_id.to_owned(),
            given: given.to_owned(),
        });
    }
    Ok(first.clone())
}

/// The newest commits, at most `limit`.
async fn commits(
    client: &mut Client,
    blueprint_id: &str,
    limit: usize,
) -> Result<Vec<Commit>, CliError> {
    let mut commits = Vec::new();
    let mut page_token = String::new();
    while commits.len() < limit {
        let request = ListCommitsRequest {
            blueprint_id: blueprint_id.to_owned(),
            page_size: page_size(limit - commits.len()),
            page_token,
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

/// What a file holds; `-` stands for standard input.
pub(super) fn read(file: &Path) -> Result<String, CliError> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|source| CliError::Read {
        path: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(seq: u64, version: &str) -> Commit {
        Commit {
            seq,
            version: version.to_owned(),
            ..Commit::default()
        }
    }

    #[test]
    fn a_version_is_named_by_its_beginning_or_the_number_of_its_commit() {
        let commits = [
            commit(3, "12345678aa"),
            commit(2, "bb22"),
            commit(1, "12345678aa"),
            commit(4, "bb33"),
        ];
        assert_eq!(choose(&commits, "swarm", "3").unwrap(), "12345678aa");
        assert_eq!(choose(&commits, "swarm", "bb2").unwrap(), "bb22");
        assert_eq!(
            choose(&commits, "swarm", "12345678").unwrap(),
            "12345678aa",
            "head twice is one version"
        );
        assert!(matches!(
            choose(&commits, "swarm", "bb"),
            Err(CliError::AmbiguousVersion { .. })
        ));
        assert!(matches!(
            choose(&commits, "swarm", "9"),
            Err(CliError::NoSuchVersion { .. })
        ));
        assert!(matches!(
            choose(&commits, "swarm", "zz"),
            Err(CliError::NoSuchVersion { .. })
        ));
    }
}
