//! The outcome of a trial of an orbit.

/// The outcome of a trial of an orbit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialOutcome {
    /// The flow reached a decision.
    Decided,
    /// The flow cannot decide; contains the reason.
    Failed(String),
    /// The result is unknown; contains the reason.
    Unknown(String),
}
