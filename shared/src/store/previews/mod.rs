//! Previews and trials: requests to workers, and their answers.

pub mod preview;

mod stored_trial;
mod trial;
