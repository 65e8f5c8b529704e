//! `restore`: writes a backup into a store.
//!
//! Each Blueprint is imported completely or not at all, and what the store has already is skipped.
//! So an interrupted restore is continued by the same command.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::stream;
use proto::v1::{ArchiveBlueprintRequest, PauseQueueRequest, PutSettingRequest};
use serde_json::json;

use super::plan::{Plan, Step};
use super::scan::{Scan, Stored, scan};
use super::{BackupError, sentence};
use crate::args::{Output, RestoreArgs};
use crate::client::{CliError, Client};
use crate::output;
use crate::verbs::issue_progress::spinner;

/// Verifies a backup and writes nothing.
///
/// # Errors
/// The file is damaged or cannot be read.
pub(crate) fn check(args: &RestoreArgs, format: Output) -> Result<(), CliError> {
    let scan = scan(&args.file)?;
    if format == Output::Json {
        let value = json!({
            "file": output::path_json(&args.file),
            "started_at": scan.header.started_at,
            "totals": json!(scan.totals),
        });
        return Ok(output::json_document(&value)?);
    }
    Ok(output::line(format_args!(
        "{}: complete and undamaged, from {}: {}",
        args.file.display(),
        scan.header.started_at,
        sentence(&scan.totals)
    ))?)
}

/// What a restore wrote.
#[derive(Debug, Default)]
struct Written {
    blueprints: u64,
    commits: u64,
    settings: u64,
}

/// Writes a backup into a store.
///
/// # Errors
/// The file is damaged, or the store has other things: nothing is written then. A part was refused:
/// the parts before it are written.
pub(crate) async fn restore(
    mut client: Client,
    args: RestoreArgs,
    format: Output,
) -> Result<(), CliError> {
    let path = args.file;
    let scan = scan(&path)?;
    let plan = Plan::of(&mut client, &scan, &path, args.merge).await?;
    let written = write(&mut client, &scan, plan, &path).await?;
    let n_present = scan.totals.blueprints - written.blueprints;
    let records = scan.totals.log_entries + scan.totals.issues;
    if format == Output::Json {
        let value = json!({
            "blueprints": written.blueprints,
            "commits": written.commits,
            "settings": written.settings,
            "blueprints_present": n_present,
            "records_not_restored": records,
        });
        return Ok(output::json_document(&value)?);
    }
    output::line(format_args!(
        "restored {} with {} and {}; every version is verified",
        output::count(written.blueprints, "Blueprint"),
        output::count(written.commits, "commit"),
        output::count(written.settings, "setting")
    ))?;
    if n_present > 0 {
        let n_present = output::count(n_present, "Blueprint");
        output::line(format_args!("{n_present} already present and unchanged"))?;
    }
    if records > 0 {
        let records = output::count(records, "record");
        output::line(format_args!(
            "{records} of issues and decisions stay in the file: a store accepts no decisions from outside"
        ))?;
    }
    Ok(())
}

async fn write(
    client: &mut Client,
    scan: &Scan,
    plan: Plan<'_>,
    path: &Path,
) -> Result<Written, CliError> {
    let progress = spinner("");
    let mut written = Written::default();
    let n_all = plan.blueprints.len();
    for (number, (stored, step)) in plan.blueprints.iter().enumerate() {
        progress.set_message(format!(
            "Blueprint {} of {n_all}: {}",
            number + 1,
            stored.id
        ));
        if !matches!(step, Step::Present { .. }) {
            import(client, stored, path, *step == Step::Replace).await?;
            written.blueprints += 1;
            written.commits += stored.head.seq;
        }
    }
    for (setting, revision) in plan.settings {
        // The file may be from anybody, and the spinner shows text as it is.
        progress.set_message(format!("setting {}", output::escape(&setting.id)));
        let what = format!("setting {}", setting.id);
        let request = PutSettingRequest {
            setting: Some(setting),
            expected_revision: Some(revision),
            ..Default::default()
        };
        let put = client.settings.put_setting(request).await;
        put.map_err(|status| refused(&what, status.into()))?;
        written.settings += 1;
    }
    // After the settings: what a setting uses cannot be archived.
    for (stored, step) in &plan.blueprints {
        let is_archived = matches!(step, Step::Present { is_archived: true });
        if stored.archived && !is_archived {
            let request = ArchiveBlueprintRequest {
                blueprint_id: stored.id.clone(),
            };
            let archived = client.blueprints.archive_blueprint(request).await;
            let what = format!("the archived state of Blueprint {}", stored.id);
            archived.map_err(|status| refused(&what, status.into()))?;
        }
    }
    let paused = scan.paused.blueprint_ids.iter().cloned().map(Some);
    let everything = scan.paused.everything.then_some(None);
    for blueprint_id in paused.chain(everything) {
        let request = PauseQueueRequest { blueprint_id };
        let paused = client.intake.pause_queue(request).await;
        paused.map_err(|status| refused("what is paused", status.into()))?;
    }
    progress.finish_and_clear();
    Ok(written)
}

fn refused(what: &str, source: CliError) -> CliError {
    let (what, source) = (what.to_owned(), Box::new(source));
    BackupError::Refused { what, source }.into()
}

async fn import(
    client: &mut Client,
    stored: &Stored,
    path: &Path,
    replace_bundled: bool,
) -> Result<(), CliError> {
    let mut messages = stored.messages(path)?;
    let damage = Arc::new(Mutex::new(None));
    let found = damage.clone();
    // At a line that was damaged after the scan, the stream ends without its last message, so
    // intake rejects it as incomplete.
    let messages = std::iter::from_fn(move || match messages.next() {
        Ok(message) => message.map(|mut message| {
            message.replace_bundled = replace_bundled;
            message
        }),
        Err(damage) => {
            *found.lock().expect("no holder of this lock panics") = Some(damage);
            None
        }
    });
    let answer = client
        .blueprints
        .import_blueprint(stream::iter(messages))
        .await;
    if let Some(damage) = damage.lock().expect("no holder of this lock panics").take() {
        return Err(damage.of(path));
    }
    let what = format!("Blueprint {}", stored.id);
    answer.map_err(|status| refused(&what, status.into()))?;
    Ok(())
}
