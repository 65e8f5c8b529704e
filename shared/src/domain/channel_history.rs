//! Validates a list of moves of channels, one by one, oldest first.
//!
//! An imported file is untrusted input. Actors, reasons and times cannot be verified. The chain of
//! versions and revisions of each channel can.

use std::collections::BTreeMap;

use crate::domain::channel::{ChannelMove, MAX_CHANNELS, MAX_REASON_BYTES};
use crate::domain::history::{NotNext, list, same};
use crate::ids::{BlueprintId, ChannelName, Version};

/// Checks that each move continues the previous moves of its channel.
#[derive(Debug)]
pub struct ChannelChain {
    blueprint_id: BlueprintId,
    /// The version, if the channel exists, and the revision of each channel.
    channels: BTreeMap<ChannelName, (Option<Version>, u64)>,
    n_present: usize,
}

impl ChannelChain {
    /// Returns the chain of a Blueprint without channels.
    pub fn of(blueprint_id: BlueprintId) -> Self {
        Self {
            blueprint_id,
            channels: BTreeMap::new(),
            n_present: 0,
        }
    }

    /// Appends `moved` to the chain. That its commit has its version is not checked.
    ///
    /// # Errors
    /// [`NotNext`] with the first problem. The chain is then unchanged.
    pub fn take(&mut self, moved: &ChannelMove) -> Result<(), NotNext> {
        let before = self.channels.get(&moved.channel);
        let (from, revision) = before.map_or((&None, 0), |(version, n)| (version, *n));
        same(
            "channel_move.blueprint_id",
            moved.blueprint_id.as_str(),
            self.blueprint_id.as_str(),
        )?;
        let text = |version: &Option<Version>| list(version.as_slice());
        same("channel_move.from_version", &text(&moved.from), &text(from))?;
        same(
            "channel_move.revision",
            &moved.revision.to_string(),
            &(revision + 1).to_string(),
        )?;
        let form = |field, problem| Err(NotNext::Form { field, problem });
        if moved.to == moved.from {
            return form("channel_move.to_version", "is from_version: nothing moved");
        }
        if moved.to.is_some() != (moved.seq > 0) {
            return form("channel_move.seq", "is above 0 with to_version, and else 0");
        }
        if moved.reason.len() > MAX_REASON_BYTES {
            return form("channel_move.reason", "is longer than 64 KiB");
        }
        let n_present = match (from, &moved.to) {
            (None, Some(_)) => self.n_present + 1,
            (Some(_), None) => self.n_present - 1,
            _ => self.n_present,
        };
        if n_present > MAX_CHANNELS {
            return form(
                "channel_move.channel",
                "is the 33rd channel; the limit is 32",
            );
        }
        self.n_present = n_present;
        let after = (moved.to.clone(), moved.revision);
        self.channels.insert(moved.channel.clone(), after);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::actor::Actor;

    fn version(n: u64) -> Version {
        Version::of(&n.to_string())
    }

    /// The move of `name` between the versions of these commits; 0: none.
    fn moved(name: &str, from: u64, to: u64, revision: u64) -> ChannelMove {
        let version = |n| (n > 0).then(|| version(n));
        ChannelMove {
            blueprint_id: BlueprintId::parse("a").unwrap(),
            channel: ChannelName::parse(name).unwrap(),
            from: version(from),
            to: version(to),
            seq: to,
            revision,
            actor: Actor::anonymous(),
            reason: String::new(),
            moved_at_ms: 7,
        }
    }

    fn chain(moves: &[ChannelMove]) -> Result<ChannelChain, NotNext> {
        let mut chain = ChannelChain::of(BlueprintId::parse("a").unwrap());
        for moved in moves {
            chain.take(moved)?;
        }
        Ok(chain)
    }

    #[test]
    fn moves_of_several_channels_follow_each_their_own() {
        let moves = [
            moved("production", 0, 1, 1),
            moved("staging", 0, 2, 1),
            moved("production", 1, 2, 2),
            moved("staging", 2, 0, 2),
            moved("staging", 0, 1, 3),
        ];
        assert_eq!(chain(&moves).unwrap().n_present, 2);
    }

    #[test]
    fn what_does_not_follow_is_named() {
        type Damage = fn(&mut ChannelMove);
        let cases: [(&str, Damage); 7] = [
            ("channel_move.blueprint_id", |m| {
                m.blueprint_id = BlueprintId::parse("b").unwrap()
            }),
            ("channel_move.from_version", |m| m.from = None),
            ("channel_move.revision", |m| m.revision = 3),
            ("channel_move.to_version", |m| m.to = m.from.clone()),
            ("channel_move.seq", |m| m.seq = 0),
            ("channel_move.seq", |m| m.to = None),
            ("channel_move.reason", |m| {
                m.reason = "x".repeat(MAX_REASON_BYTES + 1)
            }),
        ];
        for (field, damage) in cases {
            let mut damaged = moved("a", 1, 2, 2);
            damage(&mut damaged);
            let refused = chain(&[moved("a", 0, 1, 1), damaged]).unwrap_err();
            assert_eq!(refused.field(), field, "{refused}");
        }
        let many: Vec<ChannelMove> = (0..=MAX_CHANNELS)
            .map(|n| moved(&format!("c{n}"), 0, 1, 1))
            .collect();
        assert!(chain(&many[1..]).is_ok());
        let refused = chain(&many).unwrap_err();
        assert_eq!(refused.field(), "channel_move.channel");
    }
}
