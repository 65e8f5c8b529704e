//! Rules 8 and 9: the moves of channels, and the versions of the watchers of Blueprints.

use std::collections::BTreeMap;

use proto::v1;
use shared::domain::id_pattern::IdPattern;
use shared::ids::BlueprintId;

use crate::checker::snapshot::{Follower, Snapshot};

/// The revision, the number of the commit and the version of a channel.
type Pointer = (u64, u64, String);

/// Rule 8.
pub(super) fn moves(s: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    for (blueprint_id, moves) in &s.moves {
        let mut by_channel: BTreeMap<&str, Vec<&v1::ChannelMove>> = BTreeMap::new();
        for moved in moves {
            by_channel.entry(&moved.channel).or_default().push(moved);
        }
        for (channel, moves) in &by_channel {
            let broken = broken_link(moves).into_iter();
            found.extend(broken.map(|moved| {
                format!(
                    "{blueprint_id}: a move of {channel} does not follow the one before: {moved:?}"
                )
            }));
        }
        let present = s.channels.get(blueprint_id).map_or(&[][..], Vec::as_slice);
        let last = by_channel
            .values()
            .filter_map(|moves| moves.last().copied());
        let (are, should_be) = (pointers(present), last_pointers(last));
        if are != should_be {
            found.push(format!(
                "{blueprint_id}: the channels {are:?} are not their last moves {should_be:?}"
            ));
        }
        let history = s.histories.get(blueprint_id).map_or(&[][..], Vec::as_slice);
        for channel in present {
            let is_named = |c: &v1::Commit| c.seq == channel.seq && c.version == channel.version;
            if !history.iter().any(is_named) {
                found.push(format!(
                    "{blueprint_id}: a channel names no commit: {channel:?}"
                ));
            }
        }
    }
    let lost = s.moved.iter().filter(|channel| !is_kept(s, channel));
    found.extend(lost.map(|channel| format!("an acknowledged move is not there: {channel:?}")));
    found
}

/// The first move that does not follow the one before.
fn broken_link<'a>(moves: &[&'a v1::ChannelMove]) -> Option<&'a v1::ChannelMove> {
    let mut before = "";
    let follows = |(revision, moved): &(u64, &&v1::ChannelMove), before: &str| {
        moved.revision == *revision && moved.from_version == before && moved.to_version != before
    };
    for link in (1..).zip(moves) {
        if !follows(&link, before) {
            return Some(*link.1);
        }
        before = &link.1.to_version;
    }
    None
}

fn pointers(channels: &[v1::Channel]) -> BTreeMap<&str, Pointer> {
    let pointer = |channel: &v1::Channel| (channel.revision, channel.seq, channel.version.clone());
    let channels = channels.iter();
    channels
        .map(|channel| (&*channel.name, pointer(channel)))
        .collect()
}

/// The channels after these moves. A deleted one does not exist.
fn last_pointers<'a>(
    moves: impl Iterator<Item = &'a v1::ChannelMove>,
) -> BTreeMap<&'a str, Pointer> {
    let pointer = |moved: &v1::ChannelMove| (moved.revision, moved.seq, moved.to_version.clone());
    let pointing = moves.filter(|moved| !moved.to_version.is_empty());
    pointing
        .map(|moved| (&*moved.channel, pointer(moved)))
        .collect()
}

fn is_kept(s: &Snapshot, channel: &v1::Channel) -> bool {
    let moves = s.moves.get(&channel.blueprint_id).into_iter().flatten();
    let mut same =
        moves.filter(|moved| moved.channel == channel.name && moved.revision == channel.revision);
    same.any(|moved| moved.to_version == channel.version)
}

/// Rule 9: what the watchers of Blueprints do not have, or should not have.
pub fn followed(s: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    for (n, follower) in s.followers.iter().enumerate() {
        let should_have = versions(s, follower);
        let mut ids: Vec<&String> = follower.have.keys().chain(should_have.keys()).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let (has, should) = (follower.have.get(id), should_have.get(id));
            if has != should {
                let Follower {
                    patterns, channel, ..
                } = follower;
                found.push(format!(
                    "watcher {n} of {patterns:?} in {channel:?} has {has:?} of {id}, not {should:?}"
                ));
            }
        }
    }
    found
}

/// The versions that a watcher should have.
fn versions(s: &Snapshot, follower: &Follower) -> BTreeMap<String, String> {
    let patterns: Vec<IdPattern> = follower.patterns.iter().map(|text| pattern(text)).collect();
    let version = |id: &String, head: &v1::Commit| {
        if follower.channel.is_empty() {
            return Some(head.version.clone());
        }
        let mut channels = s.channels.get(id)?.iter();
        let channel = channels.find(|channel| channel.name == follower.channel)?;
        Some(channel.version.clone())
    };
    let present = s
        .histories
        .iter()
        .filter(|(id, _)| !s.archived.contains(*id));
    let followed = present.filter(|(id, _)| {
        let id = BlueprintId::parse(id).expect("a listed id is valid");
        patterns.iter().any(|pattern| pattern.matches(&id))
    });
    followed
        .filter_map(|(id, history)| Some((id.clone(), version(id, history.last()?)?)))
        .collect()
}

fn pattern(text: &str) -> IdPattern {
    IdPattern::parse(text).expect("a watcher has valid patterns")
}
