//! Agents: what runs a step.
//!
//! An orbit declares them (`agents[].kind` and `spec`); a step names one. Every kind takes the
//! step's input as a document and returns a document.

pub(super) mod keeper;
pub(super) mod limited;
pub(super) mod llm;
pub(super) mod lua;
pub(super) mod program_error;
pub(super) mod remembered;
pub(super) mod router;
pub(super) mod subprocess;

use std::sync::Arc;

use async_trait::async_trait;
use shared::blueprint::Doc;

use super::error::StepError;
use super::meter::Meter;
use super::run_state::RunState;

/// Where a step stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepContext<'a> {
    /// The step's `ref`: the agent's name.
    pub(super) step: &'a str,
    /// The run that it is part of.
    pub(super) run: &'a Arc<RunState>,
    /// What it costs.
    pub(super) meter: &'a Meter<'a>,
}

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
