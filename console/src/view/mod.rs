//! The parts that pages consist of.

pub(crate) mod chart;
pub(crate) mod diff;
pub(crate) mod document;
pub(crate) mod graph;
pub(crate) mod issue_state;
pub(crate) mod json_struct;
pub(crate) mod layout;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod verdicts;
