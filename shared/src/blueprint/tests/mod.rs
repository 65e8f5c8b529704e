//! Tests of the document layer across its modules.

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

/// Returns the document of a test's JSON.
fn doc(text: &str) -> Doc {
    json::parse(text).unwrap()
}

/// Returns a config for `cases` values, or for more if `PROPTEST_CASES` is larger.
fn cases(cases: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig {
        cases: asked.cases.max(cases),
        failure_persistence: None,
        ..asked
    }
}
