//! Entries of `orbits`, which mark Blueprints as orbits in each shard.

use crate::ids::BlueprintId;

/// Returns true if an entry of `orbits` names this Blueprint and follows its head.
pub(crate) fn follows(entry: &str, id: &BlueprintId) -> bool {
    entry.split_once(' ') == Some((id.as_str(), "latest"))
}

pub(crate) fn names(entry: &str, id: &BlueprintId) -> bool {
    entry.split(' ').next() == Some(id.as_str())
}
