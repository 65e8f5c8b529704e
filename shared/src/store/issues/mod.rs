//! Issues: reading them, and finding one by its id.

pub mod read;
pub mod revisions;

pub(crate) mod pointers;
