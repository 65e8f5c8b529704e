//! Places of agents: the limit of concurrent runs of an agent over all workers.
//!
//! Each run holds one of the agent's places while it lasts. A place is a lease: its holder keeps it by asking for it again,
//! and that of a worker that died is free when its time is over. All places of one agent lie in one shard, chosen by the
//! agent's key.

use std::time::Duration;

use redis::cmd;

use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::store::redis::{keys, script};
use crate::whole_ms::whole_ms;

/// The result of asking for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotOutcome {
    /// It is held.
    Held,
    /// Others hold all places.
    Full,
}

impl Store {
    /// Takes one of the `n_places` places of this agent for `holder`, or renews it; it then lasts for `time` from now.
    /// Repeating it is safe. `agent` must be in the alphabet of ids.
    ///
    /// # Errors
    /// [`StoreError`]; the place may be held all the same.
    pub async fn hold_slot(
        &self,
        agent: &str,
        holder: &str,
        n_places: u32,
        time: Duration,
    ) -> Result<SlotOutcome, StoreError> {
        let shard = self.shard_of_agent(agent);
        let places = [shard.keys.agent_slots(agent)];
        let reply = shard
            .handle
            .script(&script::HOLD_SLOT, &places, |call| {
                call.arg(holder).arg(n_places).arg(whole_ms(time));
            })
            .await?;
        match reply.outcome() {
            "ok" => Ok(SlotOutcome::Held),
            "full" => Ok(SlotOutcome::Full),
            _ => Err(reply.unknown()),
        }
    }

    /// Frees the place of `holder`, if it has one.
    ///
    /// # Errors
    /// [`StoreError`]; it is free when its time is over at the latest.
    pub async fn free_slot(&self, agent: &str, holder: &str) -> Result<(), StoreError> {
        let shard = self.shard_of_agent(agent);
        let key = shard.keys.agent_slots(agent);
        shard
            .handle
            .command("free place", cmd("ZREM").arg(key).arg(holder))
            .await
    }

    fn shard_of_agent(&self, agent: &str) -> &Shard {
        &self.shards[keys::shard_of(agent, self.shards.len())]
    }
}
