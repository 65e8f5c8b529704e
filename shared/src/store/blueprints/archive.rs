//! Archives Blueprints. An archived Blueprint is kept and readable but not writable.
//!
//! The scripts that put, submit, claim and settle reject calls for an archived Blueprint, and so
//! does the one that writes a setting. That script and the archive script read each other's keys.
//! So a setting never names an archived orbit, in any order of the calls.

use crate::domain::commit::BlueprintSummary;
use crate::ids::BlueprintId;
use crate::store::blueprints::read::read_summary;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome of archiving or unarchiving a Blueprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveOutcome {
    /// The Blueprint has the requested state, by this or an earlier call.
    Done(BlueprintSummary),
    /// The Blueprint does not exist.
    Unknown,
    /// These settings name it as their orbit.
    InUse(Vec<String>),
}

impl Shard {
    /// Archives or unarchives a Blueprint. Idempotent.
    ///
    /// # Errors
    /// [`StoreError`]. The change may be done nevertheless.
    pub async fn set_archived(
        &self,
        id: &BlueprintId,
        archived: bool,
    ) -> Result<ArchiveOutcome, StoreError> {
        let keys = [self.keys.blueprint(id), self.keys.orbits()];
        let mut reply = self
            .handle
            .script(&script::ARCHIVE_BLUEPRINT, &keys, |call| {
                call.arg(id.as_str())
                    .arg(if archived { "archive" } else { "unarchive" });
            })
            .await?;
        match reply.outcome() {
            "done" => Ok(ArchiveOutcome::Done(read_summary(
                id,
                &reply.take_fields()?,
            )?)),
            "unknown" => Ok(ArchiveOutcome::Unknown),
            "in_use" => Ok(ArchiveOutcome::InUse(reply.take()?)),
            _ => Err(reply.unknown()),
        }
    }
}
