//! The stored form of channels, their moves, and the reports of consumers.

use serde::{Deserialize, Serialize};

use crate::domain::actor::Actor;
use crate::domain::channel::{Channel, ChannelMove};
use crate::domain::consumer::{Consumer, ConsumerReport, ConsumerStatus};
use crate::ids::{BlueprintId, ChannelName, ConsumerId, Version};
use crate::store::codec::format::{damaged, from_json, to_json};
use crate::store::redis::error::StoreError;

/// The fields of a channel from its writer. The script adds `version`, `seq`, `revision` and `at`.
#[derive(Serialize)]
struct ChannelDraft<'a> {
    label: &'a str,
    by: &'a str,
    reason: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredChannel {
    version: String,
    seq: u64,
    revision: u64,
    at: u64,
    label: String,
    by: String,
    reason: String,
}

/// The fields of a move from its writer. The script adds `from`, `to`, `seq`, `revision` and `at`.
#[derive(Serialize)]
struct MoveDraft<'a> {
    channel: &'a str,
    actor: &'a str,
    reason: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMove {
    from: String,
    to: String,
    seq: u64,
    revision: u64,
    at: u64,
    channel: String,
    actor: String,
    reason: String,
}

/// The stored report of a consumer. The script adds `since`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredReport {
    #[serde(skip_serializing)]
    since: u64,
    channel: String,
    version: String,
    status: String,
    message: String,
}

/// Returns the JSON of a channel without the fields that the script adds.
pub(crate) fn channel_draft(label: &str, by: &Actor, reason: &str) -> String {
    let by = by.as_str();
    to_json(&ChannelDraft { label, by, reason })
}

/// Returns the JSON of a complete channel: the same bytes as a script stores.
pub(crate) fn channel_whole(channel: &Channel) -> String {
    let draft = channel_draft(&channel.version_label, &channel.moved_by, &channel.reason);
    let (version, seq) = (&channel.version, channel.seq);
    let (revision, at) = (channel.revision, channel.moved_at_ms);
    let rest = &draft[1..];
    format!(r#"{{"version":"{version}","seq":{seq},"revision":{revision},"at":{at},{rest}"#)
}

/// Returns the JSON of a move without the fields that the script adds.
pub(crate) fn move_draft(channel: &ChannelName, actor: &Actor, reason: &str) -> String {
    let (channel, actor) = (channel.as_str(), actor.as_str());
    to_json(&MoveDraft {
        channel,
        actor,
        reason,
    })
}

/// Returns the JSON of a complete move: the same bytes as a script stores.
pub(crate) fn move_whole(moved: &ChannelMove) -> String {
    let draft = move_draft(&moved.channel, &moved.actor, &moved.reason);
    let text = |version: &Option<Version>| version.as_ref().map_or("", Version::as_str).to_owned();
    let (from, to) = (text(&moved.from), text(&moved.to));
    let (seq, revision, at) = (moved.seq, moved.revision, moved.moved_at_ms);
    let rest = &draft[1..];
    format!(r#"{{"from":"{from}","to":"{to}","seq":{seq},"revision":{revision},"at":{at},{rest}"#)
}

/// Reads a channel from its stored JSON.
pub(crate) fn channel(
    blueprint_id: &BlueprintId,
    name: &ChannelName,
    text: &str,
) -> Result<Channel, StoreError> {
    let id = format!("{blueprint_id}/{name}");
    let stored: StoredChannel = from_json("channel", &id, text)?;
    Ok(Channel {
        blueprint_id: blueprint_id.clone(),
        name: name.clone(),
        version: Version::parse(&stored.version).map_err(|e| damaged("channel", &id, e))?,
        seq: stored.seq,
        version_label: stored.label,
        revision: stored.revision,
        moved_at_ms: stored.at,
        moved_by: Actor::parse(&stored.by).map_err(|e| damaged("channel", &id, e))?,
        reason: stored.reason,
    })
}

/// Reads a move from its stored JSON.
pub(crate) fn channel_move(
    blueprint_id: &BlueprintId,
    text: &str,
) -> Result<ChannelMove, StoreError> {
    let id = blueprint_id.as_str();
    let stored: StoredMove = from_json("channel move", id, text)?;
    let version = |text: &str| match text {
        "" => Ok(None),
        text => Version::parse(text)
            .map(Some)
            .map_err(|e| damaged("channel move", id, e)),
    };
    Ok(ChannelMove {
        blueprint_id: blueprint_id.clone(),
        channel: ChannelName::parse(&stored.channel).map_err(|e| damaged("channel move", id, e))?,
        from: version(&stored.from)?,
        to: version(&stored.to)?,
        seq: stored.seq,
        revision: stored.revision,
        actor: Actor::parse(&stored.actor).map_err(|e| damaged("channel move", id, e))?,
        reason: stored.reason,
        moved_at_ms: stored.at,
    })
}

/// Returns the JSON of a report without the field that the script adds.
pub(crate) fn report_draft(report: &ConsumerReport) -> String {
    let channel = report.channel.as_ref().map_or("", ChannelName::as_str);
    to_json(&StoredReport {
        since: 0,
        channel: channel.to_owned(),
        version: report.version.to_string(),
        status: report.status.as_str().to_owned(),
        message: report.message.clone(),
    })
}

/// Reads the report of a consumer from its stored JSON. `behind` is false.
pub(crate) fn consumer(
    blueprint_id: &BlueprintId,
    consumer_id: &ConsumerId,
    last_seen_ms: u64,
    text: &str,
) -> Result<Consumer, StoreError> {
    let id = format!("{blueprint_id}/{consumer_id}");
    let stored: StoredReport = from_json("report", &id, text)?;
    let channel = match stored.channel.as_str() {
        "" => None,
        name => Some(ChannelName::parse(name).map_err(|e| damaged("report", &id, e))?),
    };
    let status = ConsumerStatus::parse(&stored.status);
    Ok(Consumer {
        report: ConsumerReport {
            consumer_id: consumer_id.clone(),
            blueprint_id: blueprint_id.clone(),
            channel,
            version: Version::parse(&stored.version).map_err(|e| damaged("report", &id, e))?,
            status: status.ok_or_else(|| damaged("report", &id, "unknown status"))?,
            message: stored.message,
        },
        since_ms: stored.since,
        last_seen_ms,
        behind: false,
    })
}
