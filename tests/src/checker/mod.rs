//! Reads everything that the programs stored, over gRPC and from Redis, and checks the rules that
//! hold after any run, whichever processes died.
//!
//! The rules are pure functions of a [`Snapshot`], so that the checker itself can be tested with a
//! damaged one. [`violations`] returns the rule with each finding. The rules are numbered as in the
//! protocol's list of required tests:
//!
//! 1. every acknowledged issue is terminal, and exactly one log entry agrees with it
//! 2. applied issues and the commits of issues are one to one
//! 3. each Blueprint's chain is linear, and every hash matches
//! 4. issues are decided in order of acceptance per Blueprint; attempts stay within bounds
//! 5. the queues are empty
//! 6. watchers see revisions that only rise and end with the final state
//! 7. folding the applied patches over the first version gives the head
//! 8. the moves of each channel have the revisions 1, 2, 3 …, each starts at the version where the
//!    one before ended, and the channel is its last move; every acknowledged move is one of them
//! 9. every watcher of Blueprints has the final version of each that it follows, and no other
//! 10. what is committed after a review is what a person approved, on the base that they saw

mod channels;
mod fold;
mod reviews;
mod rules;
mod snapshot;

pub use self::channels::followed as behind;
pub use self::rules::{Rule, Violation, violations};
pub use self::snapshot::{Document, Follower, Snapshot};

/// The number of attempts that issues may have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempts {
    /// No process died: every issue was decided in its first attempt.
    One,
    /// Processes died: up to this many attempts.
    UpTo(u32),
}

/// Takes a snapshot and panics with every violation in it.
///
/// `acknowledged` are the ids of the submitted issues. Ids of one Blueprint are in the order in
/// which their submissions were answered.
///
/// # Panics
/// If a rule is violated.
pub async fn assert_sound(
    rig: &crate::rig::Rig,
    acknowledged: &[String],
    attempts: Attempts,
) -> Snapshot {
    let snapshot = Snapshot::take(rig, acknowledged).await;
    let found = violations(&snapshot, attempts);
    assert!(
        found.is_empty(),
        "{} violations:\n{}",
        found.len(),
        found
            .iter()
            .take(20)
            .map(|v| format!("- {v}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    snapshot
}
