//! Small worlds. Together they reach every outcome.

use crate::model::channels::Outcome;
use crate::model::channels::state::{ChannelNo, Redis, Request, State, Truth, VersionNo};

/// A small world.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The versions of the commits at the start.
    pub commits: &'static [VersionNo],
    /// The number of versions; not all of them are in the history.
    pub n_versions: VersionNo,
    /// The number of channel names.
    pub n_channels: ChannelNo,
    /// The maximum number of channels.
    pub limit: usize,
    /// Whether channels are deleted.
    pub deletes: bool,
    /// Whether heads move.
    pub puts: bool,
    /// Whether the Blueprint is archived and unarchived.
    pub archives: bool,
    /// The number of calls.
    pub n_calls: u8,
    /// The number of calls that are executed twice.
    pub n_doubles: u8,
    /// The verbs and outcomes that the search must reach.
    pub reaches: &'static [Outcome],
}

const PLAIN: Scenario = Scenario {
    name: "",
    commits: &[0, 1],
    n_versions: 2,
    n_channels: 1,
    limit: 32,
    deletes: false,
    puts: false,
    archives: false,
    n_calls: 4,
    n_doubles: 1,
    reaches: &[],
};

/// Callers race for the revisions of one channel, and delete it.
pub fn races() -> Scenario {
    Scenario {
        name: "races",
        deletes: true,
        n_calls: 5,
        reaches: &[
            ("set", "moved"),
            ("set", "unchanged"),
            ("set", "channel_moved"),
            ("delete", "deleted"),
            ("delete", "channel_moved"),
            ("delete", "unknown_channel"),
        ],
        ..PLAIN
    }
}

/// The Blueprint does not exist at the start; its head moves, also back to an earlier version.
pub fn heads() -> Scenario {
    Scenario {
        name: "heads",
        commits: &[],
        puts: true,
        deletes: true,
        n_calls: 5,
        n_doubles: 0,
        reaches: &[
            ("put", "created"),
            ("put", "unchanged"),
            ("set", "unknown"),
            ("delete", "unknown"),
            ("set", "unknown_version"),
            ("set", "moved"),
        ],
        ..PLAIN
    }
}

/// The Blueprint is archived and returns, while its channel moves.
pub fn archive() -> Scenario {
    Scenario {
        name: "archive",
        deletes: true,
        puts: true,
        archives: true,
        n_calls: 4,
        reaches: &[
            ("archive", "done"),
            ("unarchive", "done"),
            ("set", "archived"),
            ("delete", "archived"),
            ("put", "archived"),
        ],
        ..PLAIN
    }
}

/// Two names, of which only one may exist.
pub fn limit() -> Scenario {
    Scenario {
        name: "limit",
        commits: &[0],
        n_channels: 2,
        limit: 1,
        deletes: true,
        reaches: &[
            ("set", "too_many"),
            ("set", "moved"),
            ("set", "unknown_version"),
            ("delete", "deleted"),
        ],
        ..PLAIN
    }
}

/// Every scenario.
pub fn all() -> Vec<Scenario> {
    vec![races(), heads(), archive(), limit()]
}

impl Scenario {
    /// The calls that may be sent now. One that names a revision names the present one, which its
    /// caller has just read.
    pub(super) fn requests(&self, redis: &Redis) -> impl Iterator<Item = Request> {
        let mut requests = Vec::new();
        for channel in 0..self.n_channels {
            for expected in [None, Some(redis.revision(channel))] {
                requests.extend((0..self.n_versions).map(|version| Request::Set {
                    channel,
                    version,
                    expected,
                }));
                if self.deletes {
                    requests.push(Request::Delete { channel, expected });
                }
            }
        }
        if self.puts {
            requests.extend((0..self.n_versions).map(Request::Put));
        }
        if self.archives {
            requests.extend([true, false].map(Request::Archive));
        }
        requests.into_iter()
    }

    pub(super) fn first_state(&self) -> State {
        let n_channels = usize::from(self.n_channels);
        let redis = Redis {
            commits: self.commits.to_vec(),
            is_archived: false,
            channels: vec![None; n_channels],
            revisions: vec![0; n_channels],
            moves: Vec::new(),
        };
        State {
            view: redis.view(),
            redis,
            sent: Vec::new(),
            left: self.n_calls,
            doubles: self.n_doubles,
            is_woken: false,
            truth: Truth::default(),
        }
    }
}
