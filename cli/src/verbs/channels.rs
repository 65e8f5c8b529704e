//! `channels`, `promote` and `rollback`.

use proto::v1::{
    Channel, ChannelMove, DiffBlueprintRequest, ListChannelMovesRequest, ListChannelsRequest,
    SetChannelRequest,
};
use serde_json::{Value, json};
use tonic::Code;

use super::question::is_confirmed;
use super::version_lookup::resolve;
use super::versions::newest;
use super::{blueprints, page_size, trial};
use crate::args::{ChannelsArgs, Output, PromoteArgs, RollbackArgs};
use crate::client::{CliError, Client};
use crate::output::{self, Cell, Column, time_json};

/// Prints the channels of one Blueprint or of all, or their moves.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn channels(
    mut client: Client,
    args: ChannelsArgs,
    format: Output,
) -> Result<(), CliError> {
    let blueprint_ids = match &args.blueprint_id {
        Some(id) => vec![id.clone()],
        None => blueprints::ids(&mut client).await?,
    };
    if args.moves {
        let limit = if args.all { usize::MAX } else { args.limit };
        let (mut moves, mut has_more) = (Vec::new(), false);
        for id in &blueprint_ids {
            let (found, has_rest) =
                moves_of(&mut client, id, args.channel.as_deref(), limit).await?;
            moves.extend(found);
            has_more |= has_rest;
        }
        return show_moves(&moves, has_more, format);
    }
    let mut channels = Vec::new();
    for id in &blueprint_ids {
        channels.extend(channels_of(&mut client, id).await?);
    }
    if let Some(name) = &args.channel {
        channels.retain(|channel| channel.name == *name);
    }
    if format == Output::Json {
        let channels: Vec<_> = channels.iter().map(channel_json).collect();
        return Ok(output::json_document(&json!({ "channels": channels }))?);
    }
    let rows = channels.iter().map(|channel| {
        [
            Cell::from(&channel.blueprint_id),
            Cell::from(&channel.name),
            Cell::number(channel.seq),
            Cell::version(&channel.version),
            Cell::from(&channel.version_label),
            Cell::number(channel.revision),
            Cell::time(channel.moved_at.as_ref()),
            Cell::from(&channel.moved_by),
            Cell::from(&channel.reason),
        ]
    });
    let columns = [
        Column::value("BLUEPRINT"),
        Column::value("CHANNEL"),
        Column::value("SEQ").omitted(4),
        Column::value("VERSION"),
        Column::text("LABEL").omitted(5),
        Column::value("REVISION").omitted(6),
        Column::time("MOVED").omitted(1),
        Column::text("BY").omitted(2),
        Column::text("REASON").omitted(3),
    ];
    Ok(output::list(
        columns,
        &rows.collect::<Vec<_>>(),
        "channels",
    )?)
}

fn show_moves(moves: &[ChannelMove], has_more: bool, format: Output) -> Result<(), CliError> {
    if format == Output::Json {
        let moves: Vec<_> = moves.iter().map(move_json).collect();
        let value = json!({ "moves": moves, "has_more": has_more });
        return Ok(output::json_document(&value)?);
    }
    let rows = moves.iter().map(|moved| {
        [
            Cell::from(&moved.blueprint_id),
            Cell::from(&moved.channel),
            Cell::number(moved.revision),
            Cell::version(&moved.from_version),
            Cell::version(&moved.to_version),
            Cell::time(moved.moved_at.as_ref()),
            Cell::from(&moved.actor),
            Cell::from(&moved.reason),
        ]
    });
    let columns = [
        Column::value("BLUEPRINT"),
        Column::value("CHANNEL"),
        Column::value("REVISION").omitted(4),
        Column::value("FROM"),
        Column::value("TO"),
        Column::time("MOVED").omitted(1),
        Column::text("BY").omitted(2),
        Column::text("REASON").omitted(3),
    ];
    output::list(columns, &rows.collect::<Vec<_>>(), "moves")?;
    if has_more {
        output::note(output::left_out(moves.len(), None))?;
    }
    Ok(())
}

/// Moves a channel to a version, after a question.
///
/// # Errors
/// Errors of intake, standard input or standard output. The question was not answered with yes.
pub(crate) async fn promote(
    mut client: Client,
    args: PromoteArgs,
    format: Output,
) -> Result<(), CliError> {
    let id = &args.blueprint_id;
    let version = match &args.version {
        Some(given) => resolve(&mut client, id, given).await?,
        None => newest(&mut client, id).await?.version,
    };
    let channels = channels_of(&mut client, id).await?;
    let present = channels.into_iter().find(|c| c.name == args.channel);
    if present.as_ref().is_none_or(|c| c.version != version) {
        let question = match &present {
            None => format!(
                "create channel {} of {id} at version {}?",
                args.channel,
                output::short_version(&version)
            ),
            Some(present) => {
                if format == Output::Text {
                    show_move(&mut client, id, &present.version, &version).await?;
                }
                format!(
                    "move channel {} of {id} from version {} to {}?",
                    args.channel,
                    output::short_version(&present.version),
                    output::short_version(&version)
                )
            }
        };
        if !args.yes && !is_confirmed(&question)? {
            return Err(CliError::NotConfirmed);
        }
    }
    let request = SetChannelRequest {
        blueprint_id: args.blueprint_id,
        channel: args.channel,
        version,
        expected_revision: Some(present.map_or(0, |present| present.revision)),
        reason: args.reason,
    };
    set(client, request, format).await
}

/// Prints the difference that a move makes. A difference that is too large to send prevents no
/// move.
async fn show_move(client: &mut Client, id: &str, from: &str, to: &str) -> Result<(), CliError> {
    let request = DiffBlueprintRequest {
        blueprint_id: id.to_owned(),
        from_version: from.to_owned(),
        to_version: to.to_owned(),
    };
    match client.blueprints.diff_blueprint(request).await {
        Ok(diff) => Ok(output::show_diff(&diff.into_inner().unified_diff)?),
        Err(status) if status.code() == Code::FailedPrecondition => {
            Ok(output::line("the difference is too large to show")?)
        }
        Err(status) => Err(status.into()),
    }
}

/// Moves a channel back to the version before its last move.
///
/// # Errors
/// Errors of intake or standard output. The channel never had another version.
pub(crate) async fn rollback(
    mut client: Client,
    args: RollbackArgs,
    format: Output,
) -> Result<(), CliError> {
    let (moves, _) = moves_of(&mut client, &args.blueprint_id, Some(&args.channel), 1).await?;
    let last = moves.into_iter().next();
    let last = last.filter(|last| !last.from_version.is_empty() && !last.to_version.is_empty());
    let Some(last) = last else {
        return Err(CliError::NoVersionBefore {
            blueprint_id: args.blueprint_id,
            channel: args.channel,
        });
    };
    let reason = args
        .reason
        .unwrap_or_else(|| format!("rollback of revision {}", last.revision));
    let request = SetChannelRequest {
        blueprint_id: args.blueprint_id,
        channel: args.channel,
        version: last.from_version,
        expected_revision: Some(last.revision),
        reason: Some(reason),
    };
    set(client, request, format).await
}

/// Moves a channel, and prints the result.
async fn set(
    mut client: Client,
    request: SetChannelRequest,
    format: Output,
) -> Result<(), CliError> {
    let answer = client.blueprints.set_channel(request).await?.into_inner();
    let channel = answer
        .channel
        .ok_or(CliError::Answer { field: "channel" })?;
    if format == Output::Json {
        let value = json!({
            "channel": channel_json(&channel),
            "moved": answer.moved,
            "trial": trial::json(answer.trial, &answer.trial_detail),
        });
        return Ok(output::json_document(&value)?);
    }
    let what = if answer.moved {
        "is now"
    } else {
        "already was"
    };
    output::line(format_args!(
        "{}: channel {} {what} at commit {}, version {} (revision {})",
        channel.blueprint_id,
        channel.name,
        channel.seq,
        output::version(&channel.version),
        channel.revision
    ))?;
    Ok(trial::show(answer.trial, &answer.trial_detail)?)
}

async fn channels_of(client: &mut Client, blueprint_id: &str) -> Result<Vec<Channel>, CliError> {
    let request = ListChannelsRequest {
        blueprint_id: blueprint_id.to_owned(),
    };
    let answer = client.blueprints.list_channels(request).await?;
    Ok(answer.into_inner().channels)
}

/// Returns the newest moves, at most `limit`, and whether there are more.
async fn moves_of(
    client: &mut Client,
    blueprint_id: &str,
    channel: Option<&str>,
    limit: usize,
) -> Result<(Vec<ChannelMove>, bool), CliError> {
    let (mut moves, mut page_token) = (Vec::new(), String::new());
    while moves.len() < limit {
        let request = ListChannelMovesRequest {
            blueprint_id: blueprint_id.to_owned(),
            channel: channel.map(str::to_owned),
            page_size: page_size(limit - moves.len()),
            page_token,
        };
        let page = client.blueprints.list_channel_moves(request).await?;
        let page = page.into_inner();
        moves.extend(page.moves);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok((moves, !page_token.is_empty()))
}

fn channel_json(channel: &Channel) -> Value {
    json!({
        "blueprint_id": channel.blueprint_id,
        "name": channel.name,
        "version": channel.version,
        "seq": channel.seq,
        "version_label": channel.version_label,
        "revision": channel.revision,
        "moved_at": time_json(channel.moved_at.as_ref()),
        "moved_by": channel.moved_by,
        "reason": channel.reason,
    })
}

fn move_json(moved: &ChannelMove) -> Value {
    json!({
        "blueprint_id": moved.blueprint_id,
        "channel": moved.channel,
        "from_version": moved.from_version,
        "to_version": moved.to_version,
        "seq": moved.seq,
        "revision": moved.revision,
        "actor": moved.actor,
        "reason": moved.reason,
        "moved_at": time_json(moved.moved_at.as_ref()),
    })
}
