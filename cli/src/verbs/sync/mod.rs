//! `sync`: keeps a folder of files up to date for programs that read files.

mod command;
mod folder;
mod report;

use std::time::Duration;

use proto::v1::{BlueprintRemoval, BlueprintUpdate, RemovalReason, WatchBlueprintsRequest};
use serde_json::json;
use shared::ids::{BlueprintId, Version};
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use self::command::{Applied, Changes};
use self::folder::Folder;
use self::report::Reports;
use super::blueprint_watch::{BlueprintWatch, Heard, removal_reason};
use super::follow::commit_of;
use crate::args::{Common, Output, SyncArgs};
use crate::client::CliError;
use crate::output;

/// How long `--once` waits for intake, or for the next Blueprint.
const ONCE_WITHIN: Duration = Duration::from_secs(60);
/// Changes within this time are one run of the command.
const TOGETHER: Duration = Duration::from_millis(50);
/// The pause before reports that intake could not take are sent again.
const REPORT_AGAIN: Duration = Duration::from_secs(5);

/// Keeps the folder up to date: with `--once` until it is, else until an error. Returns false if
/// the command failed in a run with `--once`.
///
/// # Errors
/// Errors of the folder or the command, and those of intake that do not pass. With `--once` also
/// if intake stays unavailable.
pub(crate) async fn sync(options: &Common, args: SyncArgs) -> Result<bool, CliError> {
    let folder = Folder::open(&args.dir)?;
    let known_versions = folder.versions(&args.patterns)?;
    let changes = Changes {
        changed: known_versions.keys().cloned().collect(),
        removed: folder.removed()?,
    };
    let consumer = args.consumer.clone().unwrap_or_else(command::machine_name);
    let request = WatchBlueprintsRequest {
        patterns: args.patterns.clone(),
        channel: args.channel.clone().unwrap_or_default(),
        known_versions,
        include_documents: true,
        consumer_id: consumer.clone(),
    };
    let reports = Reports::new(consumer, args.channel.clone().unwrap_or_default());
    let mut sync = Sync {
        watch: BlueprintWatch::new(options, request),
        options,
        args: &args,
        folder,
        changes,
        reports,
        has_synced: false,
        is_stale: false,
    };
    sync.run().await
}

struct Sync<'a> {
    watch: BlueprintWatch<'a>,
    options: &'a Common,
    args: &'a SyncArgs,
    folder: Folder,
    /// What the command was not run for. At the start all files, and the noted removals: an earlier
    /// process may have ended before its command.
    changes: Changes,
    reports: Reports,
    has_synced: bool,
    is_stale: bool,
}

impl Sync<'_> {
    async fn run(&mut self) -> Result<bool, CliError> {
        let mut give_up_at = Instant::now() + ONCE_WITHIN;
        let mut due_at = None;
        loop {
            let is_due = self.has_synced && !self.changes.is_empty();
            // From the first change on, so that a busy stream does not put the command off.
            due_at = is_due.then(|| due_at.unwrap_or_else(|| Instant::now() + TOGETHER));
            let must_report = self.reports.are_unsent() && self.watch.client().is_some();
            let wake_at = match self.args.once {
                true => Some(give_up_at),
                false => due_at.or_else(|| must_report.then(|| Instant::now() + REPORT_AGAIN)),
            };
            let heard = match wake_at {
                None => Ok(self.watch.next().await),
                Some(at) if at <= Instant::now() => Err(()),
                Some(at) => timeout_at(at, self.watch.next()).await.map_err(drop),
            };
            let Ok(heard) = heard else {
                if self.args.once {
                    let late = "intake did not send everything in time";
                    return Err(Status::deadline_exceeded(late).into());
                }
                if is_due {
                    self.apply().await?;
                } else {
                    self.send_reports().await;
                }
                continue;
            };
            match heard? {
                Heard::Update(update) => {
                    give_up_at = Instant::now() + ONCE_WITHIN;
                    self.update(&update)?;
                }
                Heard::Removal(removal) => {
                    give_up_at = Instant::now() + ONCE_WITHIN;
                    self.removal(&removal)?;
                }
                Heard::Synced => {
                    self.has_synced = true;
                    self.fresh()?;
                    if self.args.once {
                        return self.apply().await;
                    }
                    self.send_reports().await;
                }
                Heard::Away(error) if self.args.once && Instant::now() >= give_up_at => {
                    return Err(error);
                }
                Heard::Away(error) => {
                    self.stale(&error)?;
                    if is_due {
                        self.apply().await?;
                    }
                    self.watch.pause().await;
                }
            }
        }
    }

    /// Replaces a file.
    fn update(&mut self, update: &BlueprintUpdate) -> Result<(), CliError> {
        let commit = commit_of(update)?;
        let id = checked_id(&commit.blueprint_id)?;
        if Version::of(&update.document_yaml).as_str() != commit.version {
            return Err(CliError::Answer {
                field: "document_yaml (of this version)",
            });
        }
        self.folder.write(&id, &update.document_yaml)?;
        self.watch
            .known()
            .insert(id.to_string(), commit.version.clone());
        self.changes.removed.remove(id.as_str());
        self.changes.changed.insert(id.to_string());
        match self.options.output {
            Output::Text => output::line(format_args!(
                "{}  commit {}, version {}",
                self.folder.path(&id).display(),
                commit.seq,
                output::short_version(&commit.version)
            ))?,
            Output::Json => output::json_line(&json!({ "written": {
                "path": output::path_json(&self.folder.path(&id)),
                "commit": output::commit_json(commit),
                "channel_revision": update.channel_revision,
            }}))?,
        }
        Ok(())
    }

    /// Removes a file. It is kept with `--keep`, and if the store has lost the Blueprint.
    fn removal(&mut self, removal: &BlueprintRemoval) -> Result<(), CliError> {
        let id = checked_id(&removal.blueprint_id)?;
        self.watch.known().remove(id.as_str());
        let is_kept = self.args.keep || removal.reason() == RemovalReason::NotFound;
        let is_removed = !is_kept && self.folder.remove(&id)?;
        self.changes.changed.remove(id.as_str());
        if is_removed {
            self.changes.removed.insert(id.to_string());
        }
        let reason = removal_reason(removal);
        match self.options.output {
            Output::Text => output::line(format_args!(
                "{}  {} ({})",
                self.folder.path(&id).display(),
                if is_removed { "removed" } else { "kept" },
                reason.replace('_', " ")
            ))?,
            Output::Json => output::json_line(&json!({ "removal": {
                "path": output::path_json(&self.folder.path(&id)),
                "blueprint_id": id.as_str(),
                "reason": reason,
                "removed": is_removed,
            }}))?,
        }
        Ok(())
    }

    /// Runs the command for the changes so far and reports the result. Returns true if it
    /// succeeded.
    async fn apply(&mut self) -> Result<bool, CliError> {
        let changes = std::mem::take(&mut self.changes);
        let applied = match &self.args.run {
            Some(run) => command::run(run, &self.args.dir, &changes).await?,
            None => Applied::done(),
        };
        self.folder.forget_removed()?;
        if !applied.is_done {
            output::note(output::warning(format_args!(
                "the command failed: {}",
                applied.message
            )))?;
        }
        let known = self.watch.known();
        self.reports.add(&changes, &applied, |id| known.get(id));
        self.send_reports().await;
        Ok(applied.is_done)
    }

    async fn send_reports(&mut self) {
        if let Some(client) = self.watch.client() {
            self.reports.send(client).await;
        }
    }

    fn stale(&mut self, error: &CliError) -> Result<(), CliError> {
        if !std::mem::replace(&mut self.is_stale, true) {
            if self.options.output == Output::Json {
                output::json_line(&json!({ "stale": true }))?;
            }
            output::note(output::warning(format_args!(
                "STALE: the files stay as they are: {error}"
            )))?;
        }
        Ok(())
    }

    fn fresh(&mut self) -> Result<(), CliError> {
        if std::mem::take(&mut self.is_stale) {
            if self.options.output == Output::Json {
                output::json_line(&json!({ "stale": false }))?;
            }
            output::note("up to date again")?;
        }
        Ok(())
    }
}

/// Returns an id of a response. An invalid one could name a file elsewhere.
fn checked_id(id: &str) -> Result<BlueprintId, CliError> {
    BlueprintId::parse(id).map_err(|_| CliError::Answer {
        field: "blueprint_id",
    })
}
