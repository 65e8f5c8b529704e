//! The queue: one function for each script of an issue, from submit to prune.

pub mod audit;
pub mod cancel;
pub mod claim;
pub mod due;
pub mod issue_block;
pub mod pause;
pub mod promote;
pub mod prune;
pub mod reap;
pub mod release;
pub mod return_element;
pub mod settle;
pub mod step_cache;
pub mod submit;
pub mod waiting;
