//! Workers: heartbeats, their scripts, and the slots of agents.

pub mod agent_slots;
pub mod heartbeat;
pub mod known_scripts;
pub mod registry;
