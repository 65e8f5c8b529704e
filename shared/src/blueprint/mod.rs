//! Blueprints as documents: the value tree, its canonical form, and what Draftsman reads from it.
//!
//! Parsing is strict and output is canonical. [`yaml::parse`] and [`json::parse`] reject any text
//! that the JSON data model cannot represent exactly. [`yaml::emit`] and [`json::emit`] produce
//! exactly one text for a document (`docs/canonical-yaml.md`). Other modules apply patches
//! ([`patch`]), compute differences ([`diff`]) and query documents ([`refs`], [`orbit`],
//! [`label`]).

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

/// The maximum size of a document in bytes, as given and as canonical YAML (1 MiB).
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// The maximum nesting of containers. A scalar has level 0, `[]` has level 1.
pub const MAX_LEVELS: usize = 64;
