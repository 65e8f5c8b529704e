//! The outcome of a trial of an orbit.

/// What a trial came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialOutcome {
    /// The flow decided.
    Decided,
    /// The flow cannot decide: why.
    Failed(String),
    /// The trial cannot tell: why.
    Unknown(String),
}
