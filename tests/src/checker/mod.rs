//! Reads everything that the programs left, over gRPC and from Redis, and checks what must
//! hold after any run, whatever died on the way.
//!
//! The rules are pure functions of a [`Snapshot`], so that the checker itself can be tested with
//! a damaged one: [`violations`] names the rule with each finding. They are numbered as in the
//! protocol's list of what must be tested:
//!
//! 1. every acknowledged issue is terminal, with exactly one log entry that says the same
//! 2. applied issues and the commits that issues made are one to one
//! 3. each Blueprint's chain is linear, and every hash matches
//! 4. decided in order of acceptance per Blueprint; attempts stay within bounds
//! 5. nothing is left in the queues
//! 6. what a watcher saw only rises and ends with the final state
//! 7. folding the applied patches over the first version gives the head

mod fold;
mod rules;
mod snapshot;

pub use self::rules::{Rule, Violation, violations};
pub use self::snapshot::{Document, Snapshot};

/// What the run may have done to the issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempts {
    /// No process died: every issue was decided in its first attempt.
    One,
    /// Some did: up to this many attempts.
    UpTo(u32),
}

/// Takes a snapshot and panics with every violation in it.
///
/// `acknowledged` are the ids of the submitted issues, those of one Blueprint in the order in
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
