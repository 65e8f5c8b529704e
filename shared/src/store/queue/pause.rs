//! Pausing and resuming: one Blueprint's queue, or all of them.
//!
//! A pause is a mark, which whoever places a queue's head looks at; it costs the same for one queue
//! and for all. Its end is more: the heads that were parked meanwhile have to be placed. For all
//! queues that is done in batches, so that no script holds Redis for long. A caller that dies in
//! between leaves heads parked that nothing pauses; resuming again places them, and so does the
//! audit ([`Shard::audit_queues`]).

use redis::cmd;

use crate::ids::BlueprintId;
use crate::store::queue::issue_block::{NO_HEAD, NOBODY, head_args_of};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// What stands for all Blueprints; no id can be spelled so.
const ALL: &str = "*";
/// How many queues are read in one round trip.
const READ: usize = 500;
/// How many heads one script places.
const PLACED: usize = 100;

impl Shard {
    /// Holds the issues of one Blueprint, or of all: they are accepted and wait. Nothing in flight
    /// is touched. False if there is no such Blueprint. Repeating it is safe.
    ///
    /// # Errors
    /// [`StoreError`]; it may be paused all the same.
    pub async fn pause_queue(&self, blueprint: Option<&BlueprintId>) -> Result<bool, StoreError> {
        let mut keys = vec![self.keys.paused()];
        keys.extend(blueprint.map(|id| self.keys.blueprint(id)));
        let reply = self
            .handle
            .script(&script::PAUSE_QUEUE, &keys, |call| {
                call.arg(blueprint.map_or(ALL, BlueprintId::as_str));
            })
            .await?;
        match reply.outcome() {
            "ok" => Ok(true),
            "unknown_target" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }

    /// Ends the pause of one Blueprint, or the pause of all: a Blueprint that was paused by itself
    /// stays so. False if there is no such Blueprint. Repeating it is safe, and takes up what an
    /// earlier call did not finish.
    ///
    /// # Errors
    /// [`StoreError`]; the pause may have ended all the same, for some queues or for all.
    pub async fn resume_queue(&self, blueprint: Option<&BlueprintId>) -> Result<bool, StoreError> {
        if let Some(id) = blueprint {
            if !self.exists(id).await? {
                return Ok(false);
            }
            self.place_parked(std::slice::from_ref(id), id.as_str())
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
                self.place_parked(batch, "").await?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(true);
            }
        }
    }

    /// Lifts the pause of that name, if it has one, and places the heads of those queues that are
    /// parked. There is at least one queue.
    async fn place_parked(&self, queues: &[BlueprintId], lifted: &str) -> Result<(), StoreError> {
        let Some((first, further)) = queues.split_first() else {
            return Ok(());
        };
        let mut keys = self.keys.issue_block_of(first, NO_HEAD, NOBODY);
        keys.extend(further.iter().map(|id| self.keys.backlog(id)));
        let reply = self
            .handle
            .script(&script::RESUME_QUEUE, &keys, |call| {
                head_args_of(call, first, NO_HEAD);
                call.arg(lifted);
                for id in further {
                    call.arg(id.as_str());
                }
            })
            .await?;
        match reply.outcome() {
            "ok" => Ok(()),
            _ => Err(reply.unknown()),
        }
    }
}
