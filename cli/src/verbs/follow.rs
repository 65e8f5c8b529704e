//! `follow`: prints each move of Blueprints.

use proto::v1::{BlueprintUpdate, WatchBlueprintsRequest};
use serde_json::json;

use super::blueprint_watch::{BlueprintWatch, Heard, removal_reason};
use crate::args::{Common, FollowArgs, Output};
use crate::client::CliError;
use crate::output;

/// Prints moves until an error. An interruption of intake is not an error.
///
/// # Errors
/// Errors of intake that do not pass, or of standard output.
pub(crate) async fn follow(options: &Common, args: FollowArgs) -> Result<(), CliError> {
    let channel = args.channel.unwrap_or_default();
    let request = WatchBlueprintsRequest {
        patterns: args.patterns,
        channel: channel.clone(),
        ..Default::default()
    };
    let mut watch = BlueprintWatch::new(options, request);
    let mut is_away = false;
    loop {
        match watch.next().await? {
            Heard::Update(update) => {
                let commit = commit_of(&update)?;
                let (id, version) = (commit.blueprint_id.clone(), commit.version.clone());
                print_update(&update, &channel, options.output)?;
                watch.known().insert(id, version);
            }
            Heard::Removal(removal) => {
                let reason = removal_reason(&removal);
                match options.output {
                    Output::Text => {
                        let reason = reason.replace('_', " ");
                        output::line(format_args!("{}  {reason}", removal.blueprint_id))?;
                    }
                    Output::Json => output::json_line(&json!({ "removal": {
                        "blueprint_id": removal.blueprint_id,
                        "reason": reason,
                    }}))?,
                }
                watch.known().remove(&removal.blueprint_id);
            }
            Heard::Synced => {
                if options.output == Output::Json {
                    output::json_line(&json!({ "synced": {} }))?;
                }
                if std::mem::take(&mut is_away) {
                    output::note("intake is available again")?;
                }
            }
            Heard::Away(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    let away = format_args!("intake is unavailable, trying again: {error}");
                    output::note(output::warning(away))?;
                }
                watch.pause().await;
            }
        }
    }
}

/// Returns the commit of an update.
pub(super) fn commit_of(update: &BlueprintUpdate) -> Result<&proto::v1::Commit, CliError> {
    update
        .commit
        .as_ref()
        .ok_or(CliError::Answer { field: "commit" })
}

fn print_update(update: &BlueprintUpdate, channel: &str, format: Output) -> Result<(), CliError> {
    let commit = commit_of(update)?;
    if format == Output::Json {
        let value = json!({ "update": {
            "commit": output::commit_json(commit),
            "channel_revision": update.channel_revision,
        }});
        return Ok(output::json_line(&value)?);
    }
    let place = match update.channel_revision {
        0 => String::new(),
        revision => format!("  {channel} revision {revision}"),
    };
    let line = format!(
        "{}{place}  commit {}, version {}  ",
        commit.blueprint_id,
        commit.seq,
        output::short_version(&commit.version)
    );
    let rationale = output::one_line(&commit.rationale, output::width(&line));
    Ok(output::line(format_args!("{line}{rationale}"))?)
}
