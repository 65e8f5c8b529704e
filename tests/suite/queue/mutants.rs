//! Checks that the mutations of `make mutants` match the scripts and the tests.

use std::collections::BTreeSet;
use std::path::Path;

use tests::mutants::all;

#[test]
fn every_mutation_still_applies() {
    let all = all().expect("the lists can be read");
    let invalid: Vec<String> = all.iter().filter_map(|m| m.apply().err()).collect();
    assert!(
        invalid.is_empty(),
        "update tests/mutants after a change of a script: {invalid:#?}"
    );
}

#[test]
fn every_script_has_mutations_and_every_mutation_a_test() {
    let mutants = all().expect("the lists can be read");
    let mutated: BTreeSet<&str> = mutants.iter().map(|m| m.script.as_str()).collect();
    for script in shared::store::redis::script::all() {
        let file = script.file();
        assert!(mutated.contains(file), "no mutation of {file}");
    }
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite");
    for name in mutants.iter().flat_map(|m| &m.caught_by) {
        let Some((module, test)) = name.rsplit_once("::") else {
            panic!("{name} is not <folder>::<module>::<test>");
        };
        let file = format!("{}.rs", module.replace("::", "/"));
        let source = std::fs::read_to_string(suite.join(file));
        let source = source.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            source.contains(&format!("async fn {test}()")),
            "no test {name}"
        );
    }
}
