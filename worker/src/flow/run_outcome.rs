//! How a run of a flow ended.

use shared::domain::enhance_log::SpawnerUsage;

use crate::flow::decision::Decision;
use crate::flow::error::FlowError;

/// How a run of a flow on one head ended.
#[derive(Debug)]
pub struct RunOutcome {
    /// The decision, or the reason why the flow reached none. The issue has failed, except after
    /// [`FlowError::Cancelled`] and a temporary fault.
    pub decision: Result<Decision, FlowError>,
    /// The spawner's proposal as canonical JSON: its operations, or its whole reply if it has no
    /// operations. Empty if the flow has no proposal.
    pub patch_json: String,
    /// The spawner's rationale for its patch, if the flow reached that point.
    pub rationale: String,
    /// The spawner's whole reply as JSON; empty without one.
    pub reply_json: String,
    /// The cost of the spawner so far, over all attempts at the issue.
    pub usage: SpawnerUsage,
    /// The beginning of the last model reply that was not usable; empty if all were usable.
    pub unusable_reply: String,
}

impl RunOutcome {
    /// Returns the outcome of a run that ended before its first step.
    pub fn not_started(error: FlowError) -> RunOutcome {
        RunOutcome {
            decision: Err(error),
            patch_json: String::new(),
            rationale: String::new(),
            reply_json: String::new(),
            usage: SpawnerUsage::default(),
            unusable_reply: String::new(),
        }
    }
}
