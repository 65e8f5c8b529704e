//! Slots of agents: the limit of concurrent runs of an agent over all workers.
//!
//! Each run holds one of the agent's slots. A slot is a lease: its holder renews it by requesting
//! it again. The slot of a dead worker becomes free when it expires. All slots of one agent are in
//! one shard, chosen by the agent's key.

use std::time::Duration;

use redis::cmd;

use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;
use crate::store::redis::{keys, script};
use crate::whole_ms::whole_ms;

/// The outcome of a request for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotOutcome {
    /// The caller holds a slot.
    Held,
    /// Other holders have all slots.
    Full,
}

impl Store {
    /// Takes one of this agent's `n_places` slots for `holder`, or renews it, for `time` from now.
    /// Repeating it is safe. `agent` must be in the alphabet of ids.
    ///
    /// # Errors
    /// [`StoreError`]. The slot may be held nevertheless.
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

    /// Frees the slot of `holder`, if any.
    ///
    /// # Errors
    /// [`StoreError`]. The slot becomes free when it expires.
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
