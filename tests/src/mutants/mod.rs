//! Mutations of the Redis scripts: small deliberate mistakes, each with the tests that must fail.
//!
//! `make mutants` runs them all. A mutation that no test catches shows a rule of a script that no
//! test checks. A mutated script is written to a directory. The programs and the tests read it
//! instead of the embedded scripts (see `shared/src/fail_point.rs`), so nothing is rebuilt.
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
    /// The path of the script below `shared/src/store`.
    #[serde(skip)]
    pub script: String,
    /// What the mutated script does wrong.
    pub breaks: String,
    /// The text to replace. It occurs exactly once in the script.
    pub find: String,
    /// The replacement.
    pub replace: String,
    /// Tests of the suite, as `<folder>::<module>::<test>`, of which at least one must fail.
    pub caught_by: Vec<String>,
}

impl Mutant {
    /// The mutated script.
    ///
    /// # Errors
    /// The number of occurrences of the text to replace, if not exactly one; or that the script
    /// cannot be read.
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

/// Every mutation, sorted by the names of the scripts.
///
/// # Errors
/// The name of a file that cannot be read, and the reason.
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
