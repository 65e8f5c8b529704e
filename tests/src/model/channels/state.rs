//! The state of the model: the content of Redis, the calls in progress, a watcher, and the truth.

use crate::model::channels::rules::{Broken, Rule};

/// The number of a content, which stands for its version.
pub type VersionNo = u8;
/// The number of a channel.
pub type ChannelNo = u8;

/// A channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pointer {
    /// The version that it points to.
    pub version: VersionNo,
    /// The number of the commit, counted from 1.
    pub seq: u8,
    /// The revision.
    pub revision: u8,
}

/// A move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Move {
    /// The channel.
    pub channel: ChannelNo,
    /// The version before; `None` if the move created the channel.
    pub from: Option<VersionNo>,
    /// The version after; `None` if the move deleted the channel.
    pub to: Option<VersionNo>,
    /// The number of the commit of `to`; 0 without it.
    pub seq: u8,
    /// The revision after the move.
    pub revision: u8,
}

/// The content of Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Redis {
    /// The version of each commit, oldest first.
    pub commits: Vec<VersionNo>,
    /// Whether the Blueprint is archived.
    pub is_archived: bool,
    /// By channel.
    pub channels: Vec<Option<Pointer>>,
    /// By channel: the number of moves, also after a deletion.
    pub revisions: Vec<u8>,
    /// The moves of all channels, oldest first.
    pub moves: Vec<Move>,
}

/// What a watcher reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    head: Option<VersionNo>,
    is_archived: bool,
    channels: Vec<Option<Pointer>>,
}

impl Redis {
    /// The present state as a watcher reads it.
    pub fn view(&self) -> View {
        View {
            head: self.commits.last().copied(),
            is_archived: self.is_archived,
            channels: self.channels.clone(),
        }
    }

    /// The present revision of a channel; 0 if it does not exist.
    pub fn revision(&self, channel: ChannelNo) -> u8 {
        let channel = channel as usize;
        match self.channels[channel] {
            Some(_) => self.revisions[channel],
            None => 0,
        }
    }
}

/// A call with all its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// `channels/set.lua`
    Set {
        /// The channel.
        channel: ChannelNo,
        /// The version to point to.
        version: VersionNo,
        /// The required revision.
        expected: Option<u8>,
    },
    /// `channels/delete.lua`
    Delete {
        /// The channel.
        channel: ChannelNo,
        /// The required revision.
        expected: Option<u8>,
    },
    /// `blueprints/put.lua`
    Put(VersionNo),
    /// `blueprints/archive.lua`: archives or unarchives.
    Archive(bool),
}

impl Request {
    /// The verb.
    pub fn verb(&self) -> &'static str {
        match self {
            Request::Set { .. } => "set",
            Request::Delete { .. } => "delete",
            Request::Put(_) => "put",
            Request::Archive(true) => "archive",
            Request::Archive(false) => "unarchive",
        }
    }
}

/// A script's reply, with the script's names of its outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// set
    Moved(Pointer),
    /// set
    Unchanged(Pointer),
    /// delete
    Deleted,
    /// set, delete, archive
    Unknown,
    /// set, delete, put
    Archived,
    /// set, delete: the actual revision
    ChannelMoved(u8),
    /// set
    UnknownVersion,
    /// set
    TooMany,
    /// delete
    UnknownChannel,
    /// put
    Created,
    /// put
    Same,
    /// archive
    Done,
}

impl Reply {
    /// The outcome's name.
    pub fn outcome(&self) -> &'static str {
        match self {
            Reply::Moved(_) => "moved",
            Reply::Unchanged(_) | Reply::Same => "unchanged",
            Reply::Deleted => "deleted",
            Reply::Unknown => "unknown",
            Reply::Archived => "archived",
            Reply::ChannelMoved(_) => "channel_moved",
            Reply::UnknownVersion => "unknown_version",
            Reply::TooMany => "too_many",
            Reply::UnknownChannel => "unknown_channel",
            Reply::Created => "created",
            Reply::Done => "done",
        }
    }
}

/// The truth, which no caller can see. The rules compare the state with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    /// Every move that a call was told of.
    pub moves: Vec<Move>,
    /// Rules that a step violated without a trace in the data.
    pub broken: Broken,
}

impl Truth {
    /// Notes an executed call, and the revision that it made.
    pub(super) fn note(&mut self, before: &Redis, request: Request, reply: &Reply, revision: u8) {
        let (channel, expected, to, seq) = match (request, reply) {
            (
                Request::Set {
                    channel, expected, ..
                },
                Reply::Moved(pointer),
            ) => (channel, expected, Some(pointer.version), pointer.seq),
            (Request::Delete { channel, expected }, Reply::Deleted) => (channel, expected, None, 0),
            _ => return,
        };
        let last = self
            .moves
            .iter()
            .rev()
            .find(|moved| moved.channel == channel);
        let last = last.filter(|moved| moved.to.is_some());
        let present = last.map_or(0, |moved| moved.revision);
        if expected.is_some_and(|expected| expected != present) {
            self.broken.add(Rule::Compared);
        }
        if before.is_archived {
            self.broken.add(Rule::ArchiveKept);
        }
        self.moves.push(Move {
            channel,
            from: before.channels[channel as usize].map(|pointer| pointer.version),
            to,
            seq,
            revision,
        });
    }
}

/// A state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The content of Redis.
    pub redis: Redis,
    /// The calls that may be executed.
    pub sent: Vec<Request>,
    /// The number of calls that may still be sent.
    pub left: u8,
    /// The number of calls that may still be executed twice.
    pub doubles: u8,
    /// What the watcher has read.
    pub view: View,
    /// Whether a message has arrived since then.
    pub is_woken: bool,
    /// The truth.
    pub truth: Truth,
}
