//! Progress of a flow's step for watchers of the issue: names and times, no free text.

use std::time::Duration;

/// The maximum length of a name, in characters; a longer one is cut.
pub const MAX_NAME_CHARS: usize = 128;

/// The status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepStatus {
    /// The step started.
    Started,
    /// The step ended with a result.
    Finished,
    /// The step ended without a result: it failed or was stopped.
    Failed,
}

impl StepStatus {
    /// Returns the name on the channel.
    pub fn as_str(self) -> &'static str {
        match self {
            StepStatus::Started => "started",
            StepStatus::Finished => "finished",
            StepStatus::Failed => "failed",
        }
    }

    /// Parses the output of [`StepStatus::as_str`]; `None` for any other text.
    pub fn parse(word: &str) -> Option<StepStatus> {
        let all = [
            StepStatus::Started,
            StepStatus::Finished,
            StepStatus::Failed,
        ];
        all.into_iter().find(|status| status.as_str() == word)
    }
}

/// A step that started or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepProgress {
    /// The name of the step: its agent's name, at most [`MAX_NAME_CHARS`] characters.
    pub step: String,
    /// The verifier axis of the step; empty for other steps.
    pub axis: String,
    /// The status.
    pub status: StepStatus,
    /// The duration; zero when it just started.
    pub duration: Duration,
    /// The attempt at the issue.
    pub attempt: u32,
}
