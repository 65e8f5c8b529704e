//! The scripts of this worker: the embedded ones, and those of a directory that adds to and
//! overrides them.
//!
//! The name of a script is its file name without `.lua`; dashes and underscores are equivalent. The
//! scripts in `verifiers/` are the axes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use shared::blueprint::orbit::scripts::key;
use shared::ids::sha256_hex;

use crate::flow::bundled::{BundledAxis, BundledStep};
use crate::flow::error::ScriptError;
use crate::flow::native_axes::NATIVE_AXES;

/// The scripts in `lua/`.
const STEPS: [(&str, &str); 4] = [
    ("committer", include_str!("../../../lua/committer.lua")),
    (
        "patch_applier",
        include_str!("../../../lua/patch_applier.lua"),
    ),
    (
        "patch_spawner",
        include_str!("../../../lua/patch_spawner.lua"),
    ),
    (
        "verifier_router",
        include_str!("../../../lua/verifier_router.lua"),
    ),
];

/// The scripts in `lua/verifiers/`.
const AXES: [(&str, &str); 8] = [
    (
        "agent-ref",
        include_str!("../../../lua/verifiers/agent-ref.lua"),
    ),
    (
        "canonical",
        include_str!("../../../lua/verifiers/canonical.lua"),
    ),
    ("des", include_str!("../../../lua/verifiers/des.lua")),
    ("flow", include_str!("../../../lua/verifiers/flow.lua")),
    (
        "human-review",
        include_str!("../../../lua/verifiers/human-review.lua"),
    ),
    ("noop", include_str!("../../../lua/verifiers/noop.lua")),
    (
        "protected-paths",
        include_str!("../../../lua/verifiers/protected-paths.lua"),
    ),
    ("size", include_str!("../../../lua/verifiers/size.lua")),
];

/// The bundled orbit as YAML.
pub const ENHANCE_DEFAULT_YAML: &str = include_str!("../../../lua/enhance-default.yaml");

/// The `llm` spawner as YAML: an agent definition for the `spawner` of a setting.
pub const PATCH_SPAWNER_LLM_YAML: &str = include_str!("../../../lua/agents/patch-spawner-llm.yaml");

/// One script.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// The name.
    pub(super) name: String,
    /// The origin for error messages: `lua/committer.lua`, or a path.
    pub(super) origin: String,
    /// True if the script is embedded in the binary.
    pub(super) bundled: bool,
    /// The source code.
    pub(super) source: String,
}

/// All scripts. A script is referred to by its index in `all`, and found by the [`key`] of its
/// name.
#[derive(Debug)]
pub(super) struct Scripts {
    all: Vec<Script>,
    steps: BTreeMap<String, usize>,
    axes: BTreeMap<String, usize>,
    hash: String,
}

impl Scripts {
    /// Reads the embedded scripts, and those of `dir`, which override them.
    ///
    /// # Errors
    /// [`ScriptError`] if the directory or a file in it cannot be read, or a file name is not a
    /// valid script name.
    pub(super) fn load(dir: Option<&Path>) -> Result<Scripts, ScriptError> {
        let embedded = |list: &[(&str, &str)], folder: &str| -> BTreeMap<String, Script> {
            list.iter()
                .map(|(name, source)| {
                    let origin = format!("lua/{folder}{name}.lua");
                    (
                        key(name),
                        Script {
                            name: (*name).to_owned(),
                            origin,
                            bundled: true,
                            source: (*source).to_owned(),
                        },
                    )
                })
                .collect()
        };
        let mut steps = embedded(&STEPS, "");
        let mut axes = embedded(&AXES, "verifiers/");
        if let Some(dir) = dir {
            steps.extend(read_dir(dir)?);
            let verifiers = dir.join("verifiers");
            if verifiers.is_dir() {
                axes.extend(read_dir(&verifiers)?);
            }
        }

        let mut digest = String::new();
        let mut all = Vec::with_capacity(steps.len() + axes.len());
        let mut index =
            |folder: &str, scripts: BTreeMap<String, Script>| -> BTreeMap<String, usize> {
                scripts
                    .into_iter()
                    .map(|(key, script)| {
                        digest.push_str(&format!(
                            "{folder}{key} {}\n",
                            sha256_hex(script.source.as_bytes())
                        ));
                        all.push(script);
                        (key, all.len() - 1)
                    })
                    .collect()
            };
        let steps = index("", steps);
        let axes = index("verifiers/", axes);
        Ok(Scripts {
            steps,
            axes,
            hash: sha256_hex(digest.as_bytes()),
            all,
        })
    }

    /// Adds a script file as an axis and returns its name. It replaces an axis of the same name.
    ///
    /// # Errors
    /// [`ScriptError`] if the file cannot be read, or its name is not a valid script name.
    pub(super) fn add_axis(&mut self, path: &Path) -> Result<String, ScriptError> {
        let script = read_script(path)?;
        let name = script.name.clone();
        self.all.push(script);
        self.axes.insert(key(&name), self.all.len() - 1);
        Ok(name)
    }

    /// Returns every script.
    pub(super) fn all(&self) -> &[Script] {
        &self.all
    }

    /// True if all scripts are embedded.
    pub(super) fn all_bundled(&self) -> bool {
        self.all.iter().all(|script| script.bundled)
    }

    /// Returns the script at an index from [`Scripts::step`] or [`Scripts::axis`].
    pub(super) fn get(&self, at: usize) -> &Script {
        &self.all[at]
    }

    /// Returns the native implementation of the embedded script at this index.
    pub(super) fn bundled_step(&self, at: usize) -> Option<BundledStep> {
        let script = self.get(at);
        BundledStep::of(&script.name).filter(|_| script.bundled)
    }

    /// Returns the native implementation of the embedded script of this axis.
    pub(super) fn bundled_axis(&self, name: &str) -> Option<BundledAxis> {
        let script = self.get(self.axis(name)?);
        BundledAxis::of(&script.name).filter(|_| script.bundled)
    }

    /// Returns the index of a script for agents.
    pub(super) fn step(&self, name: &str) -> Option<usize> {
        self.steps.get(&key(name)).copied()
    }

    /// Returns the index of an axis' script.
    pub(super) fn axis(&self, name: &str) -> Option<usize> {
        self.axes.get(&key(name)).copied()
    }

    /// Returns the names of the scripts for agents, in order.
    pub(super) fn step_names(&self) -> Vec<String> {
        self.names(&self.steps)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    fn names(&self, of: &BTreeMap<String, usize>) -> impl Iterator<Item = String> {
        of.values().map(|at| self.all[*at].name.clone())
    }

    /// Returns the names of all axes, in order: scripts and native axes.
    pub(super) fn axis_names(&self) -> Vec<String> {
        let natives = NATIVE_AXES.map(str::to_owned);
        let all: BTreeSet<String> = self.names(&self.axes).chain(natives).collect();
        all.into_iter().collect()
    }

    /// Returns the SHA-256 over the names and sources of all scripts.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

fn read_dir(dir: &Path) -> Result<BTreeMap<String, Script>, ScriptError> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(failed(dir))? {
        let path: PathBuf = entry.map_err(failed(dir))?.path();
        if path.extension().is_none_or(|e| e != "lua") || !path.is_file() {
            continue;
        }
        let script = read_script(&path)?;
        let origin = script.origin.clone();
        if let Some(other) = found.insert(key(&script.name), script) {
            return Err(ScriptError::Twice {
                one: other.origin,
                other: origin,
            });
        }
    }
    Ok(found)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ScriptError + use<> {
    let path = path.display().to_string();
    move |source| ScriptError::Read { path, source }
}

fn read_script(path: &Path) -> Result<Script, ScriptError> {
    let name = path
        .file_stem()
        .and_then(|s| s.to_str())
        .filter(|s| is_name(s));
    let Some(name) = name else {
        return Err(ScriptError::FileName {
            path: path.display().to_string(),
        });
    };
    Ok(Script {
        name: name.to_owned(),
        origin: path.display().to_string(),
        bundled: false,
        source: std::fs::read_to_string(path).map_err(failed(path))?,
    })
}

fn is_name(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_knows_every_bundled_axis() {
        let names = Scripts::load(None).unwrap().axis_names();
        assert_eq!(names, shared::domain::bundled::BUNDLED_AXES);
    }
}
