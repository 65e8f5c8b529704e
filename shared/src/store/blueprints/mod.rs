//! Blueprints: documents, commits, labels, the archive, and whole histories.

pub mod archive;
pub mod labels;
pub mod put;
pub mod put_orbit;
pub mod read;
pub mod transfer;

pub(crate) mod label_rank;
mod list;
mod rank_labels;
