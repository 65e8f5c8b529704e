//! A step of a flow, as it is told to who watches the issue: names and times, nothing that a person wrote.

use std::time::Duration;

/// The longest name that is told, in characters; a longer one is cut.
pub const MAX_NAME_CHARS: usize = 128;

/// What a step has just done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepStatus {
    /// It has begun.
    Started,
    /// It has ended with a result.
    Finished,
    /// It has ended without one: it failed, or was stopped.
    Failed,
}

impl StepStatus {
    /// Its word on the channel.
    pub fn as_str(self) -> &'static str {
        match self {
            StepStatus::Started => "started",
            StepStatus::Finished => "finished",
            StepStatus::Failed => "failed",
        }
    }

    /// Reads what [`StepStatus::as_str`] writes; `None` for any other word.
    pub fn parse(word: &str) -> Option<StepStatus> {
        let all = [
            StepStatus::Started,
            StepStatus::Finished,
            StepStatus::Failed,
        ];
        all.into_iter().find(|status| status.as_str() == word)
    }
}

/// A step that has begun or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepProgress {
    /// The step's name: that of its agent, at most [`MAX_NAME_CHARS`] characters.
    pub step: String,
    /// The verifier axis that it judges by; empty if it is no verifier's.
    pub axis: String,
    /// What it has just done.
    pub status: StepStatus,
    /// How long it ran; zero when it has just begun.
    pub duration: Duration,
    /// The attempt at the issue.
    pub attempt: u32,
}
