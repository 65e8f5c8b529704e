//! Blueprints that are put away: kept and read, and not written until they are taken back.
//!
//! What an archived Blueprint is refused is decided where it is asked for: in the scripts that put,
//! submit, claim and settle, and in the one that writes a setting. That and archiving look at each
//! other's keys, so no setting ever names an archived orbit, in whatever order they come.

use crate::domain::commit::BlueprintSummary;
use crate::ids::BlueprintId;
use crate::store::blueprints::read::read_summary;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// What became of archiving a Blueprint, or of taking it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveOutcome {
    /// It is so now, by this call or since before.
    Done(BlueprintSummary),
    /// There is no such Blueprint.
    Unknown,
    /// These settings name it as their orbit.
    InUse(Vec<String>),
}

impl Shard {
    /// Puts a Blueprint away, or takes it back into use. Again is the same.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been done all the same.
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
