//! Tests of the document layer that span its files.

mod blueprints;
mod bombs;
mod golden;
mod oracle;
mod patch_fuzz;
mod patches;
mod refusals;
mod round_trip;
mod samples;
mod serde_reader;
mod suite;
mod text_fuzz;

use proptest::prelude::ProptestConfig;

use crate::blueprint::doc::Doc;
use crate::blueprint::json;

/// A document from JSON that a test wrote.
fn doc(text: &str) -> Doc {
    json::parse(text).unwrap()
}

/// A property is tried on `cases` values; on more if `PROPTEST_CASES` asks for more.
fn cases(cases: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig {
        cases: asked.cases.max(cases),
        failure_persistence: None,
        ..asked
    }
}
