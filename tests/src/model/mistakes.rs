//! Deliberate mistakes. Each changes one line of the protocol, and the rules listed with it must
//! catch it. A rule that catches no mistake is not known to work.

use crate::model::rules::Rule;
use crate::model::scenarios::{self, Scenario};

macro_rules! mistakes {
    ($($(#[doc = $doc:literal])+ $name:ident: $scenario:ident => [$($rule:ident),+];)+) => {
        /// A changed line of the protocol.
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
    /// settle does not check the token.
    SettleUnfenced: pauses => [Fenced];
    /// A token is worker id and attempt: a counter that a shutdown decrements, without a nonce.
    TokenOfAttempt: restarts => [Fenced];
    /// settle does not compare the head: no compare-and-set.
    SettleOverAnyHead: operator => [Chain, Base];
    /// The worker reacts to `moved_head` by sending the same result against the new head.
    NoRerun: operator => [Base];
    /// The worker reacts to `moved_head` by starting over, and sends the old head again.
    OldHeadAgain: operator => [Drained];
    /// settle does not check whether the issue is decided, and decides it again.
    SettleRepeats: lost_replies => [OneCommit, OneEntry];
    /// settle answers `stale` to a caller whose earlier settle decided and whose reply was lost.
    SettleForgets: lost_replies => [Told];
    /// reap to dead keeps the token, so a late settle is told that it has decided.
    DeadKeepsToken: poison_paused => [Told];
    /// A decision does not place the next head.
    DecideForgetsNext: lost_replies => [PlaceTrue];
    /// submit does not check whether the issue exists.
    SubmitRepeats: lost_replies => [QueueSound];
    /// submit places the head although it has a place.
    SubmitPlacesAlways: lost_replies => [OneList];
    /// The heartbeat does not look for elements that were popped and not claimed.
    NoUnleased: lost_replies => [Drained];
    /// claim takes any element in the list, without checking that it is its queue's ready head.
    ClaimTakesAnything: cancels => [TerminalStays, QueueSound, PlaceTrue];
    /// cancel does not remove the lease.
    CancelKeepsLease: cancels => [LeaseTrue];
    /// return_element pushes without checking the place.
    ReturnWithoutPlace: cancels_crash => [OneList];
    /// reap does not check again that the lease has expired.
    ReapWithoutExpiry: pauses => [LeaseKept];
    /// reap does not check whether another worker is the holder.
    ReapWithoutHolder: two_readers => [OneList];
    /// reap declares an issue dead at the last attempt, although another issue may have crashed the
    /// worker.
    DeadWithoutAlone: poison => [DeadAlone];
    /// A worker continues to claim while an exclusive run is active.
    AloneNotKept: poison => [RunsAlone];
    /// The reaper ignores elements that a dead worker popped and did not claim.
    UnclaimedStays: deaths => [Drained];
    /// A worker that shut down is forgotten although its pop may still be executed.
    SignOffForgets: shutdown => [Drained];
    /// release does not check the token.
    ReleaseUnfenced: restarts => [Fenced];
    /// release at shutdown does not place the head.
    ReleaseForgetsPlace: shutdown => [PlaceTrue];
    /// A shutdown does not decrement the attempt.
    ReleaseKeepsAttempt: restarts => [Attempts];
    /// A release because a resource is in use counts as a retry.
    BusyCountsRetry: busy => [Attempts];
    /// A fault moves an issue behind the others of its Blueprint.
    PutOffGoesLast: delays => [Order];
    /// promote does not check whether the issue is delayed.
    PromoteWithoutDelayed: delays => [OneList];
    /// resume places the head although it is not parked.
    ResumePlacesAlways: paused => [OneList];
    /// No audit looks for false places.
    NoAudit: damage => [Drained];
    /// submit does not check whether the target is an orbit.
    SubmitIgnoresOrbit: orbits => [OrbitKept];
    /// claim does not check whether the target has become an orbit.
    ClaimIgnoresOrbit: orbits => [OrbitKept];
    /// settle does not check whether the target has become an orbit.
    SettleIgnoresOrbit: orbits => [OrbitKept];
    /// cancel does not check whether the target is an orbit.
    CancelIgnoresOrbit: orbits => [OrbitKept];
    /// settle hands over an issue whose target is an orbit that its author may not change.
    HandOverIgnoresOrbit: handed_over_orbits => [OrbitKept];
    /// settle hands over an issue of a paused Blueprint.
    HandOverIgnoresPause: handed_over_pause => [PauseKept];
    /// settle leases the next issue to its caller and also places it.
    HandOverPlacesToo: handed_over => [OneList];
    /// A repeated settle does not return the issue that it has handed over.
    HandOverForgets: handed_over => [NoneOrphaned];
    /// settle does not check the token of a proposal.
    ProposeUnfenced: reviews_stall => [Fenced];
    /// A proposal stays in its queue.
    ReviewKeepsQueue: reviews => [QueueSound, OneList];
    /// approve does not compare the head.
    ApproveOverAnyHead: reviews_moved => [Chain];
    /// approve does not compare what the reviewer has seen with the proposal.
    ApproveAnyProposal: reviews_moved => [Told, Approved];
    /// approve does not check whether the issue is in review.
    ApproveAnyState: reviews => [TerminalStays, Told];
    /// approve does not check who submitted the issue.
    ApproveIgnoresSubmitter: reviews => [Approved, SelfReview];
    /// approve does not check whether the target has become an orbit.
    ApproveIgnoresOrbit: reviews_orbits => [OrbitKept];
    /// A repeated approval is told that the issue is not in review.
    ApproveForgets: reviews => [Told];
    /// An approval that finds another head does not queue the issue.
    ApproveForgetsQueue: reviews_moved => [QueueSound];
    /// A change that is verified again is committed without a review.
    RerunCommits: reviews_moved => [Approved];
    /// decline does not check whether the issue is in review.
    DeclineAnyState: reviews => [OneEntry];
}
