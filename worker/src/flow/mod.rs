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
mod host;
mod intent;
mod lua;
mod memory;
mod meter;
mod orbit;
mod orbit_trial;
mod past_denials;
mod plan;
mod prefix;
mod rulings;
mod run_state;
mod scripts;
mod steps;
mod try_axis;

#[cfg(test)]
mod tests;

pub use agents::keeper::keep_if_asked;
pub use agents::llm::provider::providers;
pub use agents::program_error::ProgramError;
pub use agents::subprocess::Programs;
pub use decision::Decision;
pub use error::{FlowError, ScriptError, StepError};
pub use host::{FlowConfig, FlowFailure, FlowHost, FlowInput, FlowReport};
pub use memory::Memory;
pub use orbit::Orbit;
pub use orbit_trial::TrialOutcome;
pub(crate) use prefix::prefix;
pub use scripts::{ENHANCE_DEFAULT_YAML, PATCH_SPAWNER_LLM_YAML};
pub use steps::{StepChange, StepRecorder};
pub use try_axis::{Judgement, Trial, TryAxisError, try_axis};
