//! Names of scripts. Dashes and underscores are equivalent in every script name.

/// The scripts that every worker has.
pub const BUNDLED_SCRIPTS: [&str; 4] = [
    "committer",
    "patch_applier",
    "patch_spawner",
    "verifier_router",
];

/// Returns the normalized form of a name, for comparisons.
pub fn key(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns true if both names refer to the same script.
pub fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && key(one) == key(other)
}

/// Returns true if every worker has a script with this name.
pub fn is_bundled(name: &str) -> bool {
    BUNDLED_SCRIPTS.iter().any(|bundled| is_same(bundled, name))
}
