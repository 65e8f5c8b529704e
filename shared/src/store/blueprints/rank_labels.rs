//! Converts labels of the earlier format to ranks, at the start of each program that needs them.
//!
//! Earlier releases stored a hash label → newest commit. Now its fields are ranks (see
//! `label_rank.rs`), and a sorted set has the same ranks. So both have the same number of entries.
//! During an upgrade, programs of earlier releases still write the earlier format. Programs that
//! start later convert it. Any number of programs can do this concurrently and continue after a
//! crash: a script moves each label individually.

use redis::cmd;

use crate::ids::BlueprintId;
use crate::store::blueprints::label_rank::{self, rank};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The number of Blueprints, or labels of one, in one call.
const BATCH: usize = 500;

impl Shard {
    /// Moves every label to its rank.
    ///
    /// # Errors
    /// [`StoreError`]. Repeat the call.
    pub(crate) async fn rank_labels(&self) -> Result<(), StoreError> {
        let mut from = "-".to_owned();
        loop {
            let mut range = cmd("ZRANGEBYLEX");
            range.arg(self.keys.blueprints()).arg(&from).arg("+");
            range.arg("LIMIT").arg(0).arg(BATCH);
            let names: Vec<String> = self.handle.command("labels list", &range).await?;
            let ids = names
                .iter()
                .filter_map(|name| BlueprintId::parse(name).ok());
            for id in self.with_earlier_labels(ids.collect()).await? {
                self.rank_labels_of(&id).await?;
            }
            match names.last() {
                Some(last) if names.len() == BATCH => from = format!("({last}"),
                _ => return Ok(()),
            }
        }
    }

    /// Returns the Blueprints with more labels than ranks.
    async fn with_earlier_labels(
        &self,
        ids: Vec<BlueprintId>,
    ) -> Result<Vec<BlueprintId>, StoreError> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let mut pipeline = redis::pipe();
        for id in &ids {
            pipeline.cmd("HLEN").arg(self.keys.labels(id));
            pipeline.cmd("ZCARD").arg(self.keys.ranks(id));
        }
        let counts: Vec<u64> = self.handle.pipeline("labels count", &pipeline).await?;
        let each = ids.into_iter().zip(counts.chunks(2));
        let differ = each.filter(|(_, counts)| counts[0] != counts[1]);
        Ok(differ.map(|(id, _)| id).collect())
    }

    async fn rank_labels_of(&self, id: &BlueprintId) -> Result<(), StoreError> {
        let keys = [self.keys.labels(id), self.keys.ranks(id)];
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(&keys[0]).arg(cursor).arg("COUNT").arg(BATCH);
            let (next, fields): (u64, Vec<(String, u64)>) =
                self.handle.command("labels scan", &scan).await?;
            let labels = fields.into_iter().map(|(field, _)| field);
            let earlier: Vec<String> = labels.filter(|field| !is_rank(field)).collect();
            for part in earlier.chunks(BATCH) {
                let reply = self
                    .handle
                    .script(&script::RANK_LABELS, &keys, |call| {
                        for label in part {
                            call.arg(label).arg(rank(label));
                        }
                    })
                    .await?;
                if reply.outcome() != "ok" {
                    return Err(reply.unknown());
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}

/// Returns true if a field has the current format.
fn is_rank(field: &str) -> bool {
    match label_rank::version(field) {
        Some(version) => rank(&version.to_string()) == field,
        None => field.starts_with(label_rank::INVALID),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_as_a_label_is_told_from_a_rank() {
        for label in [
            "1.0.0",
            "1.0.0-rc.1",
            "10.2.3+build",
            "v1",
            "r 1.0.0",
            "draft",
        ] {
            assert!(!is_rank(label), "{label}");
            assert!(is_rank(&rank(label)), "{label}");
        }
    }
}
