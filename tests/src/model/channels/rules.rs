//! The rules that must hold in every state.

use std::collections::HashSet;

use crate::model::channels::scenarios::Scenario;
use crate::model::channels::state::{ChannelNo, Move, State};

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A call that names a revision moves the channel only from that revision.
    Compared,
    /// No two calls are told that they made the same revision of a channel.
    OneWinner,
    /// The moves are exactly those that calls were told of, in order; none is changed or removed.
    AppendOnly,
    /// The moves of a channel have the revisions 1, 2, 3 …, and each starts where the one before
    /// ended and ends elsewhere.
    Linked,
    /// A channel is its last move.
    LastMove,
    /// A channel names a commit of the history, with that commit's version.
    InHistory,
    /// No channel of an archived Blueprint moves.
    ArchiveKept,
    /// A Blueprint has at most the allowed number of channels.
    Bounded,
    /// A watcher that no message has woken since its last read has the present state.
    Woken,
}

impl Rule {
    /// Every rule.
    pub const ALL: &[Rule] = &[
        Rule::Compared,
        Rule::OneWinner,
        Rule::AppendOnly,
        Rule::Linked,
        Rule::LastMove,
        Rule::InHistory,
        Rule::ArchiveKept,
        Rule::Bounded,
        Rule::Woken,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Compared => "a channel moves only from the expected revision",
            Rule::OneWinner => "one call makes each revision",
            Rule::AppendOnly => "moves are appended and never changed",
            Rule::Linked => "each move starts where the one before ended",
            Rule::LastMove => "a channel is its last move",
            Rule::InHistory => "a channel names a version of the history",
            Rule::ArchiveKept => "no channel of an archived Blueprint moves",
            Rule::Bounded => "the number of channels is bounded",
            Rule::Woken => "a watcher that was not woken has the present state",
        }
    }

    /// Whether a state satisfies the rule.
    pub fn holds(self, scenario: &Scenario, state: &State) -> bool {
        if state.truth.broken.has(self) {
            return false;
        }
        let redis = &state.redis;
        let numbers = || 0..redis.channels.len() as ChannelNo;
        match self {
            // Steps note a violation.
            Rule::Compared | Rule::ArchiveKept => true,
            Rule::OneWinner => {
                let mut made = HashSet::new();
                let mut moves = state.truth.moves.iter();
                moves.all(|moved| made.insert((moved.channel, moved.revision)))
            }
            Rule::AppendOnly => redis.moves == state.truth.moves,
            Rule::Linked => numbers().all(|channel| {
                let mut before = None;
                (1..)
                    .zip(moves_of(&redis.moves, channel))
                    .all(|(revision, moved)| {
                        let is_next = moved.revision == revision
                            && moved.from == before
                            && moved.to != before;
                        before = moved.to;
                        is_next
                    })
            }),
            Rule::LastMove => numbers().all(|channel| {
                let last = moves_of(&redis.moves, channel).last();
                let last = last.and_then(|moved| Some((moved.to?, moved.seq, moved.revision)));
                let is = redis.channels[channel as usize];
                is.map(|pointer| (pointer.version, pointer.seq, pointer.revision)) == last
            }),
            Rule::InHistory => redis.channels.iter().flatten().all(|pointer| {
                let commit = redis.commits.get(usize::from(pointer.seq).wrapping_sub(1));
                commit == Some(&pointer.version)
            }),
            Rule::Bounded => redis.channels.iter().flatten().count() <= scenario.limit,
            Rule::Woken => state.is_woken || state.view == redis.view(),
        }
    }
}

fn moves_of(moves: &[Move], channel: ChannelNo) -> impl Iterator<Item = &Move> {
    moves.iter().filter(move |moved| moved.channel == channel)
}

/// A set of rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Broken(u16);

impl Broken {
    /// Adds a rule.
    pub fn add(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u16;
    }

    /// Whether the set contains a rule.
    pub fn has(self, rule: Rule) -> bool {
        self.0 & 1 << rule as u16 != 0
    }
}
