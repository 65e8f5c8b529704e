//! What is bundled: the setting, the orbits and the axes that exist from the first start.

/// The setting that exists from the first start.
pub const DEFAULT_SETTING: &str = "default";

/// The bundled orbit.
pub const DEFAULT_ORBIT: &str = "enhance-default";

/// The bundled orbit that gives what was denied back to the spawner.
pub const REPAIR_ORBIT: &str = "enhance-repair";

/// The bundled orbits.
pub const BUNDLED_ORBITS: [&str; 2] = [DEFAULT_ORBIT, REPAIR_ORBIT];

/// The axes of the setting `default`.
pub const DEFAULT_AXES: [&str; 4] = ["des", "canonical", "noop", "agent-ref"];

/// The axes that every worker has, with and without scripts of its own. A test of the worker holds this list true.
pub const BUNDLED_AXES: [&str; 9] = [
    "agent-ref",
    "canonical",
    "des",
    "flow",
    "json-schema",
    "llm-judge",
    "noop",
    "protected-paths",
    "size",
];

/// The ceiling of the setting `default`, in seconds.
pub const DEFAULT_TTL_SECS: u64 = 300;
