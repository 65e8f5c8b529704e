//! The enhance flow: runs an orbit on an issue and says what it decided.
//!
//! - [`FlowHost`] holds the scripts and the machines that run them; there is one for a worker;
//! - [`FlowHost::compile`] makes an [`Orbit`] of the orbit's document, once for each version of it;
//! - [`FlowHost::run`] builds the context of an issue, runs the orbit under the setting's ceiling
//!   and reads the decision from `$.commit`.
//!
//! ```text
//! orbit.rs      document -> agents + plan          plan.rs, evaluator.rs   the flow itself
//! agents/       what runs a step                   lua/                    the sandbox
//! run_state.rs  what the steps of a run share      decision.rs             reading $.commit
//! steps.rs      what they are doing, for who watches
//! memory.rs     what was paid for before           meter.rs                what a step costs
//! orbit_trial.rs  whether an orbit decides at all, before it is written
//! past_denials.rs  what a model is told of earlier denials
//! ```

mod agents;
mod bundled;
mod decision;
mod error;
mod evaluator;
pub(crate) mod flow_threads;
mod host;
mod intent;
mod lua;
mod memo;
mod memory;
mod meter;
mod native_axes;
mod orbit;
mod orbit_trial;
mod past_denials;
mod plan;
pub(crate) mod prefix;
mod program_error;
mod rulings;
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
pub use self::host::{FlowConfig, FlowFailure, FlowHost, FlowInput, FlowReport};
pub use self::memory::Memory;
pub use self::orbit::Orbit;
pub(crate) use self::prefix::prefix;
pub use self::program_error::ProgramError;
pub use self::scripts::{ENHANCE_DEFAULT_YAML, PATCH_SPAWNER_LLM_YAML};
pub use self::steps::{StepChange, StepRecorder};
pub use self::trial_outcome::TrialOutcome;
pub use self::try_axis::{Judgement, Trial, TryAxisError, try_axis};
