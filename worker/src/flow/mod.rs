//! The enhance flow: runs an orbit on an issue and returns its decision.
//!
//! - [`FlowHost`] holds the scripts and their interpreters; each worker has one.
//! - [`FlowHost::compile`] compiles the document of an orbit to an [`Orbit`], once for each
//!   version.
//! - [`FlowHost::run`] builds the context of an issue, runs the orbit under the setting's time
//!   limit and reads the decision from `$.commit`.
//!
//! ```text
//! orbit.rs      document -> agents + plan          plan.rs, evaluator.rs   the flow itself
//! agents/       what runs a step                   lua/                    the sandbox
//! run_state.rs  shared state of the steps          decision.rs             reading $.commit
//! run_outcome.rs  how a run ended
//! steps.rs      progress of the steps              meter.rs                the cost of a step
//! memory.rs     paid outputs of earlier attempts   past_denials.rs         earlier denials
//! orbit_trial.rs  test run of an orbit before it is written
//! ```

mod agents;
mod bundled;
mod decision;
mod error;
mod evaluator;
pub(crate) mod flow_threads;
mod host;
mod lua;
mod memo;
mod memory;
mod meter;
mod native_axes;
mod orbit;
mod orbit_trial;
mod past_denials;
mod plan;
mod program_error;
mod rulings;
mod run_outcome;
mod run_state;
mod scripts;
mod step_context;
mod steps;
mod trial_outcome;
pub(crate) mod try_axis;

#[cfg(test)]
mod tests;

pub use self::agents::llm::provider::providers;
pub use self::agents::subprocess::Programs;
pub use self::agents::subprocess::process_guard::guard_if_asked;
pub use self::decision::Decision;
pub use self::error::{FlowError, ScriptError, StepError};
pub use self::host::{FlowConfig, FlowHost, FlowInput};
pub use self::memory::Memory;
pub use self::orbit::Orbit;
pub use self::program_error::ProgramError;
pub use self::run_outcome::RunOutcome;
pub use self::scripts::{ENHANCE_DEFAULT_YAML, PATCH_SPAWNER_LLM_YAML};
pub use self::steps::{StepChange, StepRecorder};
pub use self::trial_outcome::TrialOutcome;
pub use self::try_axis::{Judgement, Trial, TryAxisError, try_axis};
