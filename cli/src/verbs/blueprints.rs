//! `put`, `get`, `archive` and `unarchive`.

use std::io::{self, Read};
use std::path::Path;

use proto::v1::version_selector::Selector;
use proto::v1::{
    ArchiveBlueprintRequest, BlueprintSummary, ListBlueprintsRequest, PutBlueprintRequest,
    PutBlueprintResponse, UnarchiveBlueprintRequest,
};
use serde_json::json;
use shared::blueprint::yaml;

use super::version_lookup::{fetch, resolve};
use super::{page_size, trial};
use crate::args::{BlueprintArg, DocumentFormat, GetArgs, Output, PutArgs};
use crate::client::{CliError, Client};
use crate::output::{self, Cell, Column};

/// Writes a document without verification.
///
/// # Errors
/// Errors of the file, intake or standard output.
pub(crate) async fn put(mut client: Client, args: PutArgs, format: Output) -> Result<(), CliError> {
    let document = read(&args.file)?;
    let expected_head = match args.expected_head {
        _ if args.new => Some(String::new()),
        Some(given) => Some(expected_head(&mut client, &document, args.format, given).await?),
        None => None,
    };
    let request = PutBlueprintRequest {
        document,
        expected_head,
        rationale: args.rationale,
        format: DocumentFormat::to_wire(args.format).into(),
    };
    let answer = client.blueprints.put_blueprint(request).await?;
    show_put(answer.into_inner(), format)
}

/// Prints what a write of a document did.
///
/// # Errors
/// Errors of standard output.
pub(super) fn show_put(answer: PutBlueprintResponse, format: Output) -> Result<(), CliError> {
    let commit = answer.commit.ok_or(CliError::Answer { field: "commit" })?;
    if format == Output::Json {
        let value = json!({
            "commit": output::commit_json(&commit),
            "created": answer.created,
            "warnings": answer.warnings,
            "trial": trial::json(answer.trial, &answer.trial_detail),
        });
        return Ok(output::json_document(&value)?);
    }
    for warning in &answer.warnings {
        output::line(output::warning(warning))?;
    }
    let what = if answer.created {
        "commit"
    } else {
        "unchanged, still commit"
    };
    output::line(format_args!(
        "{}: {what} {}, version {}",
        commit.blueprint_id,
        commit.seq,
        output::version(&commit.version)
    ))?;
    Ok(trial::show(answer.trial, &answer.trial_detail)?)
}

/// Returns the version that `given` names in the history of the document's Blueprint. Leaves it to
/// intake to report a document without an id.
async fn expected_head(
    client: &mut Client,
    document: &str,
    format: Option<DocumentFormat>,
    given: String,
) -> Result<String, CliError> {
    let doc = yaml::parse_as(document, DocumentFormat::to_reader(format)).ok();
    let id = doc.as_ref().and_then(|doc| doc.get("id")?.as_str());
    match id {
        Some(id) => resolve(client, id, &given).await,
        None => Ok(given),
    }
}

/// Prints a document, or the list of all Blueprints.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn get(mut client: Client, args: GetArgs, format: Output) -> Result<(), CliError> {
    let Some(blueprint_id) = args.blueprint_id else {
        return list(client, args.archived, format).await;
    };
    let selector = match (args.version, args.semver, args.channel) {
        (Some(given), _, _) => Selector::Fixed(resolve(&mut client, &blueprint_id, &given).await?),
        (None, Some(requirement), _) => Selector::SemverReq(requirement),
        (None, None, Some(channel)) => Selector::Channel(channel),
        (None, None, None) => Selector::Latest(true),
    };
    let answer = fetch(&mut client, &blueprint_id, selector).await?;
    if format == Output::Json {
        // The document itself, so that `put` reads it.
        return Ok(output::json_text(&answer.document_json)?);
    }
    // To a program these are the canonical bytes, so that the SHA-256 of the output is the version.
    Ok(output::document(&answer.document_yaml)?)
}

/// Returns the ids of all Blueprints that are not archived.
///
/// # Errors
/// Errors of intake.
pub(super) async fn ids(client: &mut Client) -> Result<Vec<String>, CliError> {
    let all = summaries(client, false).await?.into_iter();
    Ok(all.map(|summary| summary.blueprint_id).collect())
}

/// Returns all Blueprints by id.
///
/// # Errors
/// Errors of intake.
pub(super) async fn summaries(
    client: &mut Client,
    include_archived: bool,
) -> Result<Vec<BlueprintSummary>, CliError> {
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
            return Ok(blueprints);
        }
    }
}

async fn list(mut client: Client, include_archived: bool, format: Output) -> Result<(), CliError> {
    let blueprints = summaries(&mut client, include_archived).await?;
    if format == Output::Json {
        let blueprints: Vec<_> = blueprints.iter().map(output::summary_json).collect();
        return Ok(output::json_document(&json!({ "blueprints": blueprints }))?);
    }
    let rows = blueprints.iter().map(|summary| {
        [
            Cell::from(&summary.blueprint_id),
            Cell::version(&summary.head),
            Cell::from(&summary.version_label),
            Cell::time(summary.updated_at.as_ref()),
            Cell::from(if summary.archived { "archived" } else { "" }),
        ]
    });
    let columns = [
        Column::value("BLUEPRINT"),
        Column::value("HEAD").omitted(2),
        Column::text("LABEL").omitted(3),
        Column::time("UPDATED").omitted(1),
        Column::value(""),
    ];
    Ok(output::list(
        columns,
        &rows.collect::<Vec<_>>(),
        "Blueprints",
    )?)
}

/// Archives a Blueprint.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn archive(
    mut client: Client,
    args: BlueprintArg,
    format: Output,
) -> Result<(), CliError> {
    let request = ArchiveBlueprintRequest {
        blueprint_id: args.blueprint_id,
    };
    let answer = client.blueprints.archive_blueprint(request).await?;
    show_archived(answer.into_inner().blueprint, format)
}

/// Unarchives a Blueprint.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn unarchive(
    mut client: Client,
    args: BlueprintArg,
    format: Output,
) -> Result<(), CliError> {
    let request = UnarchiveBlueprintRequest {
        blueprint_id: args.blueprint_id,
    };
    let answer = client.blueprints.unarchive_blueprint(request).await?;
    show_archived(answer.into_inner().blueprint, format)
}

fn show_archived(blueprint: Option<BlueprintSummary>, format: Output) -> Result<(), CliError> {
    let blueprint = blueprint.ok_or(CliError::Answer { field: "blueprint" })?;
    if format == Output::Json {
        let value = json!({ "blueprint": output::summary_json(&blueprint) });
        return Ok(output::json_document(&value)?);
    }
    let what = if blueprint.archived {
        "archived: kept, hidden from lists, not writable"
    } else {
        "in use"
    };
    Ok(output::line(format_args!(
        "{}: {what}",
        blueprint.blueprint_id
    ))?)
}

/// Reads a file; `-` is standard input.
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
