//! What an agent gets to run a step.

use crate::flow::meter::Meter;
use crate::flow::run_state::RunState;
use std::sync::Arc;

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
