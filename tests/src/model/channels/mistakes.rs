//! Deliberate mistakes. Each changes one line of a script, and exactly the rules listed with it
//! must catch it.

use crate::model::channels::rules::Rule;
use crate::model::channels::scenarios::{self, Scenario};

macro_rules! mistakes {
    ($($(#[doc = $doc:literal])+ $name:ident: $scenario:ident => [$($rule:ident),+];)+) => {
        /// A changed line of a script.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mistake {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mistake {
            /// Every mistake.
            pub const ALL: &[Mistake] = &[$(Mistake::$name),+];

            /// The scenario in which the mistake shows.
            pub fn scenario(self) -> Scenario {
                match self { $(Mistake::$name => scenarios::$scenario(),)+ }
            }

            /// Exactly the rules that the first bad state violates.
            pub fn caught_by(self) -> &'static [Rule] {
                match self { $(Mistake::$name => &[$(Rule::$rule),+],)+ }
            }
        }
    };
}

mistakes! {
    /// set does not compare the revision.
    SetIgnoresRevision: races => [Compared];
    /// delete does not compare the revision.
    DeleteIgnoresRevision: races => [Compared];
    /// set does not check whether the Blueprint is archived.
    SetIgnoresArchive: archive => [ArchiveKept];
    /// delete does not check whether the Blueprint is archived.
    DeleteIgnoresArchive: archive => [ArchiveKept];
    /// set does not check whether the history has the version.
    SetIgnoresHistory: heads => [InHistory];
    /// set takes the number of the head instead of the number of the version's newest commit.
    SetTakesHeadNumber: races => [InHistory];
    /// set does not check the number of channels.
    SetIgnoresLimit: limit => [Bounded];
    /// set counts a move to the present version.
    SetMovesNowhere: races => [Linked];
    /// delete does not check whether the channel exists.
    DeleteIgnoresMissing: races => [Linked];
    /// set does not count the move.
    SetKeepsRevision: races => [Linked];
    /// delete does not count the move.
    DeleteKeepsRevision: races => [OneWinner, Linked];
    /// delete removes the count of moves, so that a new channel starts again.
    DeleteForgetsRevision: races => [OneWinner, Linked];
    /// set does not write the channel.
    SetKeepsPointer: races => [LastMove];
    /// delete does not remove the channel.
    DeleteKeepsChannel: races => [LastMove];
    /// set keeps no move.
    SetForgetsMove: races => [AppendOnly, LastMove];
    /// delete keeps no move.
    DeleteForgetsMove: races => [AppendOnly, LastMove];
    /// Moves are kept newest first.
    MovesPrepended: races => [AppendOnly, Linked, LastMove];
    /// set publishes nothing.
    SetTellsNobody: races => [Woken];
    /// delete publishes nothing.
    DeleteTellsNobody: races => [Woken];
    /// put publishes nothing.
    PutTellsNobody: heads => [Woken];
    /// archive publishes nothing.
    ArchiveTellsNobody: archive => [Woken];
}
