//! Mutations of the Redis scripts: small deliberate mistakes, each with the tests that must fail.
//!
//! `make mutants` runs them all. A mutation that no test catches shows a rule that is written in a
//! script and held by no test. A mutated script is written to a directory that the programs and the
//! tests read instead of the embedded one (see `shared/src/fail_point.rs`), so nothing is built for
//! it.
//!
//! The list is in `tests/mutants/`, one file for each script.

mod run;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use self::run::{Caught, Suite, Verdict};

/// The variable that names the directory of mutated scripts.
pub const SCRIPTS_DIR: &str = "DRAFTSMAN_TEST_SCRIPTS_DIR";

/// One mutation of one script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// The file below `shared/src/store`.
    #[serde(skip)]
    pub script: String,
    /// What the mutated script does wrong.
    pub breaks: String,
    /// The text that is replaced; it occurs exactly once in the script.
    pub find: String,
    /// The text that takes its place.
    pub replace: String,
    /// Tests of the suite, as `<folder>::<module>::<test>`, of which at least one must fail.
    pub caught_by: Vec<String>,
}

impl Mutant {
    /// The mutated script.
    ///
    /// # Errors
    /// Says how often the text to replace occurs, if not exactly once, or that the script cannot be
    /// read.
    pub fn apply(&self) -> Result<String, String> {
        let path = workspace().join("shared/src/store").join(&self.script);
        let source = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match source.matches(&self.find).count() {
            1 => Ok(source.replacen(&self.find, &self.replace, 1)),
            n => Err(format!(
                "{} has the text {:?} {n} times and not once",
                self.script, self.find
            )),
        }
    }
}

/// Every mutation, in the order of the scripts' names.
///
/// # Errors
/// Names the file that cannot be read, and why.
pub fn all() -> Result<Vec<Mutant>, String> {
    let dir = workspace().join("tests/mutants");
    let mut mutants = Vec::new();
    let mut files = yaml_files(&dir)?;
    files.sort();
    for file in files {
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| told(&error))?;
        let read: Vec<Mutant> = serde_yaml::from_str(&text).map_err(|error| told(&error))?;
        let below = file.strip_prefix(&dir).map_err(|error| told(&error))?;
        let script = below.with_extension("lua").to_string_lossy().into_owned();
        mutants.extend(read.into_iter().map(|mutant| Mutant {
            script: script.clone(),
            ..mutant
        }));
    }
    Ok(mutants)
}

/// The files of mutations below `folder`.
fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut found = Vec::new();
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(yaml_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
    Ok(found)
}

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
