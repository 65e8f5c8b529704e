//! The scripts, one function each, in the order of the real ones: read, check, write, publish.
//!
//! A line that a [`Mistake`] changes checks for it.

use crate::model::channels::mistakes::Mistake;
use crate::model::channels::scenarios::Scenario;
use crate::model::channels::state::{ChannelNo, Move, Pointer, Redis, Reply, Request, VersionNo};

/// A message on the channel of the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) version: Option<VersionNo>,
    pub(super) seq: u8,
    pub(super) channel: Option<ChannelNo>,
    pub(super) revision: u8,
    pub(super) is_archived: bool,
}

/// The reply of a script, its message, and the revision of a channel that it made, else 0.
#[derive(Debug)]
pub(super) struct Executed {
    pub(super) reply: Reply,
    pub(super) message: Option<Message>,
    pub(super) revision: u8,
}

struct Script<'a> {
    redis: &'a mut Redis,
    limit: usize,
    mistake: Option<Mistake>,
    message: Option<Message>,
    revision: u8,
}

/// Executes a request.
pub(super) fn execute(
    scenario: &Scenario,
    mistake: Option<Mistake>,
    redis: &mut Redis,
    request: Request,
) -> Executed {
    let mut script = Script {
        redis,
        limit: scenario.limit,
        mistake,
        message: None,
        revision: 0,
    };
    let reply = match request {
        Request::Set {
            channel,
            version,
            expected,
        } => script.set(channel, version, expected),
        Request::Delete { channel, expected } => script.delete(channel, expected),
        Request::Put(version) => script.put(version),
        Request::Archive(is_archived) => script.archive(is_archived),
    };
    Executed {
        reply,
        message: script.message,
        revision: script.revision,
    }
}

impl Script<'_> {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn append(&mut self, moved: Move) {
        if self.makes(Mistake::MovesPrepended) {
            self.redis.moves.insert(0, moved);
        } else {
            self.redis.moves.push(moved);
        }
    }

    fn publish(&mut self, forgets: Mistake, message: Message) {
        if !self.makes(forgets) {
            self.message = Some(message);
        }
    }

    fn set(&mut self, channel: ChannelNo, version: VersionNo, expected: Option<u8>) -> Reply {
        if self.redis.commits.is_empty() {
            return Reply::Unknown;
        }
        if self.redis.is_archived && !self.makes(Mistake::SetIgnoresArchive) {
            return Reply::Archived;
        }
        let at = channel as usize;
        let stored = self.redis.channels[at];
        let revision = self.redis.revision(channel);
        let is_stale = expected.is_some_and(|expected| expected != revision);
        if is_stale && !self.makes(Mistake::SetIgnoresRevision) {
            return Reply::ChannelMoved(revision);
        }
        let commits = &self.redis.commits;
        let newest = commits.iter().rposition(|commit| *commit == version);
        let seq = match newest {
            _ if self.makes(Mistake::SetTakesHeadNumber) => commits.len(),
            Some(at) => at + 1,
            None if self.makes(Mistake::SetIgnoresHistory) => 1,
            None => return Reply::UnknownVersion,
        };
        let n_channels = self.redis.channels.iter().flatten().count();
        let is_full = stored.is_none() && n_channels >= self.limit;
        if is_full && !self.makes(Mistake::SetIgnoresLimit) {
            return Reply::TooMany;
        }
        let from = stored.map(|pointer| pointer.version);
        if let Some(stored) = stored.filter(|pointer| pointer.version == version)
            && !self.makes(Mistake::SetMovesNowhere)
        {
            return Reply::Unchanged(stored);
        }

        if !self.makes(Mistake::SetKeepsRevision) {
            self.redis.revisions[at] += 1;
        }
        let pointer = Pointer {
            version,
            seq: seq as u8,
            revision: self.redis.revisions[at],
        };
        self.revision = pointer.revision;
        if !self.makes(Mistake::SetKeepsPointer) {
            self.redis.channels[at] = Some(pointer);
        }
        if !self.makes(Mistake::SetForgetsMove) {
            self.append(Move {
                channel,
                from,
                to: Some(version),
                seq: pointer.seq,
                revision: pointer.revision,
            });
        }
        self.publish(
            Mistake::SetTellsNobody,
            Message {
                version: Some(version),
                seq: pointer.seq,
                channel: Some(channel),
                revision: pointer.revision,
                is_archived: false,
            },
        );
        Reply::Moved(pointer)
    }

    fn delete(&mut self, channel: ChannelNo, expected: Option<u8>) -> Reply {
        if self.redis.commits.is_empty() {
            return Reply::Unknown;
        }
        if self.redis.is_archived && !self.makes(Mistake::DeleteIgnoresArchive) {
            return Reply::Archived;
        }
        let at = channel as usize;
        let stored = self.redis.channels[at];
        if stored.is_none() && !self.makes(Mistake::DeleteIgnoresMissing) {
            return Reply::UnknownChannel;
        }
        let revision = self.redis.revision(channel);
        let is_stale = expected.is_some_and(|expected| expected != revision);
        if is_stale && !self.makes(Mistake::DeleteIgnoresRevision) {
            return Reply::ChannelMoved(revision);
        }

        if !self.makes(Mistake::DeleteKeepsRevision) {
            self.redis.revisions[at] += 1;
        }
        let revision = self.redis.revisions[at];
        self.revision = revision;
        if self.makes(Mistake::DeleteForgetsRevision) {
            self.redis.revisions[at] = 0;
        }
        if !self.makes(Mistake::DeleteKeepsChannel) {
            self.redis.channels[at] = None;
        }
        if !self.makes(Mistake::DeleteForgetsMove) {
            self.append(Move {
                channel,
                from: stored.map(|pointer| pointer.version),
                to: None,
                seq: 0,
                revision,
            });
        }
        self.publish(
            Mistake::DeleteTellsNobody,
            Message {
                version: None,
                seq: 0,
                channel: Some(channel),
                revision,
                is_archived: false,
            },
        );
        Reply::Deleted
    }

    fn put(&mut self, version: VersionNo) -> Reply {
        if self.redis.is_archived {
            return Reply::Archived;
        }
        if self.redis.commits.last() == Some(&version) {
            return Reply::Same;
        }
        self.redis.commits.push(version);
        let message = self.head(false);
        self.publish(Mistake::PutTellsNobody, message);
        Reply::Created
    }

    fn archive(&mut self, is_archived: bool) -> Reply {
        if self.redis.commits.is_empty() {
            return Reply::Unknown;
        }
        self.redis.is_archived = is_archived;
        let message = self.head(is_archived);
        self.publish(Mistake::ArchiveTellsNobody, message);
        Reply::Done
    }

    fn head(&self, is_archived: bool) -> Message {
        Message {
            version: self.redis.commits.last().copied(),
            seq: self.redis.commits.len() as u8,
            channel: None,
            revision: 0,
            is_archived,
        }
    }
}
