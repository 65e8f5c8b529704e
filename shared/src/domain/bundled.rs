//! Names of the bundled setting, orbits and axes, which exist from the first start.

/// The setting that exists from the first start.
pub const DEFAULT_SETTING: &str = "default";

/// The bundled orbit.
pub const DEFAULT_ORBIT: &str = "enhance-default";

/// The bundled orbit that returns denied patches to the spawner.
pub const REPAIR_ORBIT: &str = "enhance-repair";

/// The bundled orbits.
pub const BUNDLED_ORBITS: [&str; 2] = [DEFAULT_ORBIT, REPAIR_ORBIT];

/// The axes of the setting `default`.
pub const DEFAULT_AXES: [&str; 4] = ["des", "canonical", "noop", "agent-ref"];

/// The axes that every worker has, with and without scripts of its own. A test of the worker checks
/// this list.
pub const BUNDLED_AXES: [&str; 10] = [
    "agent-ref",
    "canonical",
    "des",
    "flow",
    "human-review",
    "json-schema",
    "llm-judge",
    "noop",
    "protected-paths",
    "size",
];

/// The time limit of the setting `default`, in seconds.
pub const DEFAULT_TTL_SECS: u64 = 300;
