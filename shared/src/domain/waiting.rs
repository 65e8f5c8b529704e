//! What a pending issue waits for.

use crate::domain::actor::Actor;

/// What a pending issue waits for, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What it waits for first.
    pub reason: WaitingReason,
    /// The number of older undecided issues of its Blueprint; at most 1,000 are counted.
    pub issues_ahead: u64,
    /// The number of other Blueprints whose oldest issue is taken before it; at most 1,000 are
    /// counted. 0 while its queue is not ready.
    pub queues_ahead: u64,
}

/// What a pending issue waits for first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitingReason {
    /// For a free worker.
    Worker,
    /// No worker sends heartbeats.
    NoWorker,
    /// All queues are paused.
    QueuePaused(Pause),
    /// The queue of its Blueprint is paused.
    BlueprintPaused(Pause),
    /// Older issues of its Blueprint are decided first.
    OlderIssues {
        /// When the oldest one is tried again, Redis time, ms; `None` if it is not delayed.
        next_attempt_at_ms: Option<u64>,
    },
    /// For its next attempt after a temporary fault.
    NextAttempt {
        /// Redis time, ms.
        at_ms: u64,
    },
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Since when, Redis time, ms.
    pub since_ms: u64,
    /// The actor that paused; `None` in data of releases without it.
    pub by: Option<Actor>,
}
