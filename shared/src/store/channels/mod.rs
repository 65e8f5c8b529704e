//! Channels: named pointers from a Blueprint to one of its versions, and their moves.
//!
//! A channel is a small record beside the head of its Blueprint. Only scripts change it, and each
//! change is a move in an append-only list. A revision counts the moves of each name and is never
//! removed. So a writer that names the revision that it read never undoes a move of another.

pub mod delete;
pub mod read;
pub mod set;
