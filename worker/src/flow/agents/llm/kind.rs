//! The name of this kind of agent.

/// The kind's name in documents.
pub(in crate::flow) const KIND: &str = "llm";
