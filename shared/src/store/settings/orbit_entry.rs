//! The entries by which a shard knows which Blueprints are orbits.

use crate::ids::BlueprintId;

/// True if an entry of `orbits` is about this Blueprint and follows its head.
pub(crate) fn follows(entry: &str, id: &BlueprintId) -> bool {
    entry.split_once(' ') == Some((id.as_str(), "latest"))
}

pub(crate) fn names(entry: &str, id: &BlueprintId) -> bool {
    entry.split(' ').next() == Some(id.as_str())
}
