//! Pauses and resumes the queue of one Blueprint, or all queues.
//!
//! A pause is a flag that the scripts check when they place a queue's head. Its cost does not
//! depend on the number of queues. A resume must also place the parked heads. For all queues it
//! does so in batches, because one long script would block Redis. A caller that dies in between
//! leaves parked heads without a pause. Another resume places them, and so does the audit
//! ([`Shard::audit_queues`]).

use redis::cmd;
use serde::Serialize;

use crate::domain::actor::Actor;
use crate::ids::BlueprintId;
use crate::store::queue::issue_block::{NO_HEAD, NOBODY};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The placeholder for all Blueprints. It is not a valid id.
const ALL: &str = "*";
/// The number of queues in one round trip.
const READ: usize = 500;
/// The number of heads that one script places.
const PLACED: usize = 100;

#[derive(Serialize)]
struct ResumeArg<'a> {
    lifted: Option<&'a str>,
    queues: Vec<&'a str>,
}

impl Shard {
    /// Pauses the queue of one Blueprint, or all queues: new issues are accepted and wait. Issues
    /// in flight are unaffected. Returns false if the Blueprint does not exist. Repeating it is
    /// safe, and the first actor stays.
    ///
    /// # Errors
    /// [`StoreError`]. The queue may be paused nevertheless.
    pub async fn pause_queue(
        &self,
        blueprint: Option<&BlueprintId>,
        by: &Actor,
    ) -> Result<bool, StoreError> {
        let mut keys = vec![self.keys.paused()];
        keys.extend(blueprint.map(|id| self.keys.blueprint(id)));
        let reply = self
            .handle
            .script(&script::PAUSE_QUEUE, &keys, |call| {
                call.arg(blueprint.map_or(ALL, BlueprintId::as_str));
                call.arg(by.as_str());
            })
            .await?;
        match reply.outcome() {
            "ok" => Ok(true),
            "unknown_target" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }

    /// Ends the pause of one Blueprint, or the pause of all. A Blueprint with a pause of its own
    /// stays paused. Returns false if the Blueprint does not exist. Repeating it is safe and
    /// completes an interrupted call.
    ///
    /// # Errors
    /// [`StoreError`]. The pause may have ended nevertheless, for some or all queues.
    pub async fn resume_queue(&self, blueprint: Option<&BlueprintId>) -> Result<bool, StoreError> {
        if let Some(id) = blueprint {
            if !self.exists(id).await? {
                return Ok(false);
            }
            self.place_parked(std::slice::from_ref(id), Some(id.as_str()))
                .await?;
            return Ok(true);
        }
        let lift = cmd("HDEL").arg(self.keys.paused()).arg(ALL).to_owned();
        let _: u64 = self.handle.command("resume", &lift).await?;
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("HSCAN");
            scan.arg(self.keys.places()).arg(cursor);
            scan.arg("COUNT").arg(READ);
            let (next, rows): (u64, Vec<(String, String)>) =
                self.handle.command("resume scan", &scan).await?;
            let parked = rows.iter().filter(|(_, place)| place == "parked");
            let parked: Vec<_> = parked
                .filter_map(|(name, _)| BlueprintId::parse(name).ok())
                .collect();
            for batch in parked.chunks(PLACED) {
                self.place_parked(batch, None).await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(true);
            }
        }
    }

    /// Removes the pause with this name, if any, and places the heads of parked queues.
    async fn place_parked(
        &self,
        queues: &[BlueprintId],
        lifted: Option<&str>,
    ) -> Result<(), StoreError> {
        let Some(first) = queues.first() else {
            return Ok(());
        };
        let queues = queues.iter().map(BlueprintId::as_str).collect();
        let arg = ResumeArg { lifted, queues };
        let reply = self
            .queue_script(&script::RESUME_QUEUE, first, NO_HEAD, NOBODY, &arg, None)
            .await?;
        match reply.outcome() {
            "ok" => Ok(()),
            _ => Err(reply.unknown()),
        }
    }
}
