//! Deliberate mistakes: each changes one line of the protocol, and each must be caught by the
//! rule that stands beside it. A rule that catches none is not known to be able to.

use crate::model::rules::Rule;
use crate::model::scenarios::{self, Scenario};

macro_rules! mistakes {
    ($($(#[doc = $doc:literal])+ $name:ident: $scenario:ident => [$($rule:ident),+];)+) => {
        /// One changed line.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mistake {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mistake {
            /// Every mistake.
            pub const ALL: &[Mistake] = &[$(Mistake::$name),+];

            /// Where it shows.
            pub fn scenario(self) -> Scenario {
                match self { $(Mistake::$name => scenarios::$scenario(),)+ }
            }

            /// Exactly the rules that the first state is against that is against any.
            pub fn caught_by(self) -> &'static [Rule] {
                match self { $(Mistake::$name => &[$(Rule::$rule),+],)+ }
            }
        }
    };
}

mistakes! {
    /// settle does not look at the token.
    SettleUnfenced: pauses => [Fenced];
    /// A token is worker id and attempt: a counter that a shutdown takes back, and no nonce.
    TokenOfAttempt: restarts => [Fenced];
    /// settle does not compare the head: no compare-and-set.
    SettleOverAnyHead: operator => [Chain, Base];
    /// The worker answers `moved_head` by sending the same result against the new head.
    NoRerun: operator => [Base];
    /// The worker answers `moved_head` by starting over, and names the old head again.
    OldHeadAgain: operator => [Drained];
    /// settle does not see that it is decided already, and decides again.
    SettleRepeats: lost_replies => [OneCommit, OneEntry];
    /// settle answers `stale` to the caller whose lost reply said that it had decided.
    SettleForgets: lost_replies => [Told];
    /// reap to dead leaves the token: a late settle is told that it has decided.
    DeadKeepsToken: poison_paused => [Told];
    /// A decision leaves the next head where it is.
    DecideForgetsNext: lost_replies => [PlaceTrue];
    /// submit does not see that it knows the issue.
    SubmitRepeats: lost_replies => [QueueSound];
    /// submit places the head though it has a place.
    SubmitPlacesAlways: lost_replies => [OneList];
    /// What was popped is trusted to be claimed: the heartbeat does not look for what was not.
    NoUnleased: lost_replies => [Drained];
    /// claim takes what lies in the list, without asking whether it is its queue's ready head.
    ClaimTakesAnything: cancels => [TerminalStays, QueueSound, PlaceTrue];
    /// cancel leaves the lease.
    CancelKeepsLease: cancels => [LeaseTrue];
    /// return_element pushes without looking at the place.
    ReturnWithoutPlace: cancels_crash => [OneList];
    /// reap does not look at the lease's time again.
    ReapWithoutExpiry: pauses => [LeaseKept];
    /// reap does not see that another worker holds it by now.
    ReapWithoutHolder: two_readers => [OneList];
    /// reap calls it dead at the last attempt, though neighbours may have brought it down.
    DeadWithoutAlone: poison => [DeadAlone];
    /// A worker goes on claiming while an issue runs that was promised to run alone.
    AloneNotKept: poison => [RunsAlone];
    /// The reaper leaves what a dead worker popped and did not claim.
    UnclaimedStays: deaths => [Drained];
    /// A worker that ends in order is forgotten though a pop of its may still be carried out.
    SignOffForgets: shutdown => [Drained];
    /// release does not look at the token.
    ReleaseUnfenced: restarts => [Fenced];
    /// release at shutdown does not place the head.
    ReleaseForgetsPlace: shutdown => [PlaceTrue];
    /// A shutdown does not give the attempt back.
    ReleaseKeepsAttempt: restarts => [Attempts];
    /// A fault puts an issue behind the others of its Blueprint.
    PutOffGoesLast: delays => [Order];
    /// promote does not look whether the issue is delayed.
    PromoteWithoutDelayed: delays => [OneList];
    /// resume places the head though it is not parked.
    ResumePlacesAlways: paused => [OneList];
    /// Nobody looks for a place that is not true.
    NoAudit: damage => [Drained];
    /// submit does not look whether the target is an orbit.
    SubmitIgnoresOrbit: orbits => [OrbitKept];
    /// claim does not look whether the target has become an orbit.
    ClaimIgnoresOrbit: orbits => [OrbitKept];
    /// settle does not look whether the target has become an orbit.
    SettleIgnoresOrbit: orbits => [OrbitKept];
    /// cancel does not look whether the target is an orbit.
    CancelIgnoresOrbit: orbits => [OrbitKept];
    /// settle hands over an issue that its target does not allow.
    HandOverIgnoresOrbit: handed_over_orbits => [OrbitKept];
    /// settle hands over an issue of a paused Blueprint.
    HandOverIgnoresPause: handed_over_pause => [PauseKept];
    /// settle leases the next issue to its caller and places it, too.
    HandOverPlacesToo: handed_over => [OneList];
    /// A settle that is repeated does not say again what it has handed over.
    HandOverForgets: handed_over => [NoneOrphaned];
}
