//! Redis's clock, and control of other connections.

use redis::cmd;

use crate::store::redis::error::StoreError;
use crate::store::redis::pop_handle::ConnectionId;
use crate::store::redis::shard::Shard;

impl Shard {
    /// Kills a connection with an unknown state, so that none of its calls runs later.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn kill_connection(&self, id: &ConnectionId) -> Result<(), StoreError> {
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(id.number);
        kill.arg("ADDR").arg(&id.address);
        let _: u64 = self.handle.command("client kill", &kill).await?;
        Ok(())
    }

    /// Ends the blocking pop of a connection as if it timed out. Nothing is lost: an element that
    /// was already popped is still returned.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or denies the call.
    pub async fn unblock_connection(&self, id: &ConnectionId) -> Result<(), StoreError> {
        let _: u64 = self
            .handle
            .command(
                "client unblock",
                cmd("CLIENT").arg("UNBLOCK").arg(id.number),
            )
            .await?;
        Ok(())
    }

    /// Returns the time of Redis in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn server_ms(&self) -> Result<u64, StoreError> {
        let (secs, micros): (u64, u64) = self.handle.command("time", &cmd("TIME")).await?;
        Ok(secs * 1000 + micros / 1000)
    }
}
