//! `backup` and `restore`: a whole store as one file.
//!
//! A backup does not show one moment: each Blueprint is complete up to its head at the time it is
//! read. Settings are read first, so that the file has every version that they select.

mod file;
mod plan;
mod restore;
mod scan;

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use proto::v1::{
    ExportBlueprintRequest, GetQueueStatsRequest, ListIssuesRequest, ListLogEntriesRequest,
};
use serde_json::{Value, json};
use thiserror::Error;

use self::file::{BlueprintPart, Header, Part, Paused, Totals, Writer};
pub(crate) use self::restore::{check, restore};
use super::history_file::to_entry;
use super::issue_progress::spinner;
use super::setting_file::to_json;
use super::{blueprints, page_size, settings};
use crate::args::{BackupArgs, Output};
use crate::client::{CliError, Client};
use crate::output;

/// Why a store was not copied.
#[derive(Debug, Error)]
pub(crate) enum BackupError {
    /// Ctrl-C.
    #[error("interrupted; no file was written")]
    Interrupted,
    /// The file exists.
    #[error("{} exists; a backup overwrites no file", .0.display())]
    Exists(PathBuf),
    /// The store has what the backup does not have.
    #[error(
        "the store is not empty: it has {found}, not in the backup; nothing was written; restore \
         into an empty store, or give --merge to keep what it has"
    )]
    NotEmpty {
        /// The names.
        found: String,
    },
    /// The store and the backup differ.
    #[error("the store has another {found} than the backup; nothing was written")]
    Differs {
        /// The names.
        found: String,
    },
    /// A part was refused. What was restored before stays.
    #[error("{what} was not restored; after the cause is removed, the same command continues")]
    Refused {
        /// The part.
        what: String,
        /// The error of intake.
        source: Box<CliError>,
    },
}

/// Writes a backup.
///
/// # Errors
/// Errors of intake or the file; the file is not written then.
pub(crate) async fn backup(
    mut client: Client,
    args: BackupArgs,
    format: Output,
) -> Result<(), CliError> {
    let path = args.file;
    if path.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(path).into());
    }
    let failed = |source| CliError::WriteFile {
        path: path.clone(),
        source,
    };
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".draftsman-backup-");
    let unfinished = builder.tempfile_in(dir).map_err(failed)?;
    let written = async {
        let writer = Writer::new(BufWriter::new(unfinished.as_file()));
        let (_, totals) = write(&mut client, writer, &failed).await?;
        Ok::<_, CliError>(totals)
    };
    let totals = tokio::select! {
        totals = written => totals?,
        _ = tokio::signal::ctrl_c() => return Err(BackupError::Interrupted.into()),
    };
    unfinished.as_file().sync_all().map_err(failed)?;
    unfinished
        .persist_noclobber(&path)
        .map_err(|error| failed(error.error))?;
    std::fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed)?;
    if format == Output::Json {
        let value = json!({ "file": output::path_json(&path), "totals": totals });
        return Ok(output::json_document(&value)?);
    }
    Ok(output::line(format_args!(
        "{}: {}",
        path.display(),
        sentence(&totals)
    ))?)
}

/// Formats the numbers of a file.
fn sentence(totals: &Totals) -> String {
    let (entries, issues) = (totals.log_entries, totals.issues);
    let entries = match entries {
        1 => "1 log entry".to_owned(),
        n => format!("{n} log entries"),
    };
    format!(
        "{} with {} and {} of channels, {}; as records {entries} and {}",
        output::count(totals.blueprints, "Blueprint"),
        output::count(totals.commits, "commit"),
        output::count(totals.channel_moves, "move"),
        output::count(totals.settings, "setting"),
        output::count(issues, "issue"),
    )
}

async fn write<W: io::Write>(
    client: &mut Client,
    mut writer: Writer<W>,
    failed: &impl Fn(io::Error) -> CliError,
) -> Result<(W, Totals), CliError> {
    let progress = spinner("");
    let stats = client
        .intake
        .get_queue_stats(GetQueueStatsRequest {})
        .await?
        .into_inner();
    let now = stats.now.ok_or(CliError::Answer { field: "now" })?;
    let mut part = |part: Part| writer.part(&part).map_err(failed);
    part(Part::Header(Header::new(now.to_string())))?;
    let settings = settings::all(client).await?;
    let summaries = blueprints::summaries(client, true).await?;
    let n_all = summaries.len();
    for (number, summary) in summaries.into_iter().enumerate() {
        let blueprint_id = summary.blueprint_id;
        progress.set_message(format!(
            "Blueprint {} of {n_all}: {}",
            number + 1,
            output::escape(&blueprint_id)
        ));
        part(Part::Blueprint(BlueprintPart {
            blueprint_id: blueprint_id.clone(),
            archived: summary.archived,
        }))?;
        let request = ExportBlueprintRequest { blueprint_id };
        let mut messages = client
            .blueprints
            .export_blueprint(request)
            .await?
            .into_inner();
        while let Some(message) = messages.message().await? {
            part(Part::History(Box::new(to_entry(message)?)))?;
            progress.tick();
        }
    }
    for setting in &settings {
        part(Part::Setting(to_json(setting)))?;
    }
    part(Part::Paused(Paused {
        everything: stats.paused,
        blueprint_ids: stats.paused_blueprint_ids,
    }))?;
    progress.set_message("log entries");
    let mut page_token = String::new();
    loop {
        let request = ListLogEntriesRequest {
            page_size: page_size(usize::MAX),
            page_token,
            ..Default::default()
        };
        let page = client.log.list_log_entries(request).await?.into_inner();
        for entry in &page.entries {
            part(Part::LogEntry(output::entry_json(entry)))?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    progress.set_message("issues");
    loop {
        let request = ListIssuesRequest {
            page_size: page_size(usize::MAX),
            page_token,
            ..Default::default()
        };
        let page = client.intake.list_issues(request).await?.into_inner();
        for issue in &page.issues {
            part(Part::Issue(output::issue_json(issue)))?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    progress.finish_and_clear();
    writer.end().map_err(failed)
}

/// Returns the setting without what intake sets itself.
fn content(mut setting: Value) -> Value {
    if let Some(fields) = setting.as_object_mut() {
        for field in ["revision", "updated_by", "updated_at"] {
            fields.remove(field);
        }
    }
    setting
}
