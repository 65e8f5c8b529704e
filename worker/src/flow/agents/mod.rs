//! Agents, which run the steps of a flow.
//!
//! An orbit declares its agents (`agents[].kind` and `spec`); a step names one of them. Agents of
//! every kind take the step's input as a document and return a document.

pub(crate) mod agent_context;
pub(crate) mod cached;
pub(crate) mod limited;
pub(crate) mod llm;
pub(crate) mod lua;
pub(crate) mod router;
pub(crate) mod subprocess;

use async_trait::async_trait;
use shared::blueprint::Doc;

use crate::flow::error::StepError;
use crate::flow::step_context::StepContext;

/// Runs a step.
#[async_trait]
pub(super) trait Agent: Send + Sync + std::fmt::Debug {
    /// Runs once on `input`.
    ///
    /// # Errors
    /// [`StepError`]: permanent, temporary, or interrupted by the time limit or a cancellation.
    ///
    /// Cancel safety: dropping the future stops the work within a few milliseconds and discards its
    /// result.
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError>;
}
