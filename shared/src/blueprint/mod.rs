//! Blueprints as documents: the value tree, its canonical form, and what is read from it.
//!
//! The way in is strict and the way out is canonical: [`yaml::parse`] and [`json::parse`] refuse
//! whatever the JSON data model cannot hold exactly, [`yaml::emit`] and [`json::emit`] give one
//! text for one document (`docs/canonical-yaml.md`). Between them stand the patch ([`patch`]), the differences ([`diff`]),
//! and the questions that Draftsman asks of a document ([`refs`], [`orbit`], [`label`]).

#[expect(
    clippy::module_inception,
    reason = "the type Blueprint deserves the file of its name"
)]
pub mod blueprint;
pub mod call_spec;
pub mod diff;
pub mod doc;
pub mod error;
pub mod json;
pub mod json_schema;
pub mod label;
pub mod orbit;
pub mod patch;
pub mod pointer;
pub mod refs;
pub mod value;
pub mod warnings;
pub mod yaml;

mod float;
mod measure;
mod scalar;

#[cfg(test)]
mod tests;

pub use self::blueprint::Blueprint;
pub use self::doc::{Doc, Num};
pub use self::error::DocumentError;

/// Most bytes of a document: as given, and as canonical YAML (1 MiB).
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// Most containers within one another. A scalar by itself has no level, `[]` has one.
pub const MAX_LEVELS: usize = 64;
