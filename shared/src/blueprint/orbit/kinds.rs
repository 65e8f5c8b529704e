//! The kinds of agents, and the name of the spawner.

/// The agent that a setting's `spawner` replaces.
pub const SPAWNER: &str = "patch-spawner";

/// The kinds of agent that can run a step.
pub const KINDS: [&str; 3] = ["lua", "llm", "subprocess"];

/// Aliases of kinds, with their kinds.
pub const KIND_ALIASES: [(&str, &str); 1] = [("agent_block", "llm")];
