//! Agents: what runs a step.
//!
//! An orbit declares them (`agents[].kind` and `spec`); a step names one. Every kind takes the
//! step's input as a document and returns a document.

pub(crate) mod agent_context;
pub(crate) mod limited;
pub(crate) mod llm;
pub(crate) mod lua;
pub(crate) mod remembered;
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
    /// [`StepError`]: for good, passing, or stopped by ceiling or cancel.
    ///
    /// Cancel safety: dropping the future stops the work itself, at the latest a few
    /// milliseconds later, and loses its result.
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError>;
}
