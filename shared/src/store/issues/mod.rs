//! Reads issues and finds them by id.

pub mod read;
pub mod revisions;

pub(crate) mod pointers;
