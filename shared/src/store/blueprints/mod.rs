//! Blueprints: documents, commits, labels, the archive, and whole histories.

pub mod archive;
pub mod heads;
pub mod put;
pub mod put_orbit;
pub mod read;
pub mod transfer;

pub(crate) mod labels;
mod list;
