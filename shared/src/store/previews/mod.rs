//! Previews and trials: requests to workers, and their responses.

pub mod preview;

mod stored_trial;
mod trial;
