//! Names of scripts. A dash and an underscore are the same in them, wherever a script is named.

/// The scripts that every worker has.
pub const BUNDLED_SCRIPTS: [&str; 4] = [
    "committer",
    "patch_applier",
    "patch_spawner",
    "verifier_router",
];

/// The form in which two names of one script are equal.
pub fn key(name: &str) -> String {
    name.replace('-', "_")
}

/// True if both names stand for one script.
pub fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && key(one) == key(other)
}

/// True if every worker has a script of this name.
pub fn is_bundled(name: &str) -> bool {
    BUNDLED_SCRIPTS.iter().any(|bundled| is_same(bundled, name))
}
