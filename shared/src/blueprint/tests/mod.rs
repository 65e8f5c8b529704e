//! Tests of the document layer that span its files.

mod blueprints;
mod bombs;
mod fuzz;
mod golden;
mod oracle;
mod patches;
mod refusals;
mod round_trip;
mod samples;

mod suite;

use crate::blueprint::{Doc, json};

/// A document from JSON that a test wrote.
fn doc(text: &str) -> Doc {
    json::parse(text).unwrap()
}
