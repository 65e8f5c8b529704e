//! Brings a store whose labels are not kept by rank into that form, at the first start of a program that needs them so.
//!
//! The earliest programs kept a hash label → newest commit; now its fields are ranks (see `label_rank.rs`), beside a sorted
//! set of them. Nothing else says which form a store has, so `meta` notes that it was looked at. Any number of
//! programs may do this at once, and go on where another one died: each label is moved by itself, in a script.

use redis::cmd;

use super::error::StoreError;
use super::label_rank::rank;
use super::{Shard, label_rank, script};
use crate::ids::BlueprintId;

/// How many Blueprints, or labels of one, are read in one call.
const BATCH: usize = 500;
/// The field of `meta`, and what it says.
const NOTE: (&str, &str) = ("labels", "ranked");

impl Shard {
    /// Puts every label under its rank, unless that is done.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub(super) async fn rank_labels(&self) -> Result<(), StoreError> {
        let note = cmd("HGET").arg(self.keys.meta()).arg(NOTE.0).to_owned();
        let noted: Option<String> = self.link.command("labels note", &note).await?;
        if noted.is_some() {
            return Ok(());
        }
        let mut from = "-".to_owned();
        loop {
            let mut range = cmd("ZRANGEBYLEX");
            range.arg(self.keys.blueprints()).arg(&from).arg("+");
            range.arg("LIMIT").arg(0).arg(BATCH);
            let names: Vec<String> = self.link.command("labels list", &range).await?;
            for id in names
                .iter()
                .filter_map(|name| BlueprintId::parse(name).ok())
            {
                self.rank_labels_of(&id).await?;
            }
            match names.last() {
                Some(last) if names.len() == BATCH => from = format!("({last}"),
                _ => break,
            }
        }
        let mut set = cmd("HSET");
        set.arg(self.keys.meta()).arg(NOTE.0).arg(NOTE.1);
        let _: u64 = self.link.command("labels note", &set).await?;
        Ok(())
    }

    async fn rank_labels_of(&self, id: &BlueprintId) -> Result<(), StoreError> {
        let keys = [self.keys.labels(id), self.keys.ranks(id)];
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(&keys[0]).arg(cursor).arg("COUNT").arg(BATCH);
            let (next, fields): (u64, Vec<(String, u64)>) =
                self.link.command("labels scan", &scan).await?;
            let labels = fields.into_iter().map(|(field, _)| field);
            let earlier: Vec<String> = labels.filter(|field| !is_rank(field)).collect();
            for part in earlier.chunks(BATCH) {
                let reply = self
                    .link
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

/// True if a field is in the present form.
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
