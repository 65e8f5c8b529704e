//! The context of an agent that runs a step.

use crate::flow::meter::Meter;
use crate::flow::run_state::RunState;
use std::sync::Arc;

/// The step, its run and its meter.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepContext<'a> {
    /// The step's `ref`: the agent's name.
    pub(super) step: &'a str,
    /// The run of the step.
    pub(super) run: &'a Arc<RunState>,
    /// Records the cost of the step.
    pub(super) meter: &'a Meter<'a>,
}
