//! Connections for blocking pops, one for each.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError};

use crate::store::redis::connection::CONNECT_TIMEOUT;
use crate::store::redis::error::StoreError;
use crate::store::redis::handle::RedisHandle;
use crate::store::redis::locator::Locator;

/// Redis's id of a connection. The number alone is ambiguous: a restarted Redis counts from the
/// start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionId {
    pub(crate) number: u64,
    /// The address of the client as Redis sees it.
    pub(crate) address: String,
}

/// A connection that blocks in BRPOPLPUSH or BRPOP.
pub struct PopHandle {
    locator: Arc<Locator>,
    connection: MultiplexedConnection,
    id: ConnectionId,
    block: Duration,
}

impl PopHandle {
    /// Returns Redis's id of this connection, for `CLIENT KILL`.
    pub fn id(&self) -> &ConnectionId {
        &self.id
    }

    /// Moves one element from `from` to `to` and waits for about the block time. Returns `None`
    /// without an element.
    ///
    /// Not cancel safe: a dropped call may still move an element. The element then stays in `to`
    /// until the heartbeat's audit finds it.
    ///
    /// # Errors
    /// [`StoreError::Redis`]. It is then unknown whether an element moved, and the connection is
    /// unusable.
    pub async fn pop(&mut self, from: &str, to: &str) -> Result<Option<String>, StoreError> {
        redis::cmd("BRPOPLPUSH")
            .arg(from)
            .arg(to)
            .arg(self.block.as_secs_f64())
            .query_async(&mut self.connection)
            .await
            .map_err(|source| self.failed("pop", source))
    }

    /// Takes one element from `from` and waits for about the block time. Returns `None` without an
    /// element.
    ///
    /// Not cancel safe: an element that a dropped call takes is lost.
    ///
    /// # Errors
    /// As [`PopHandle::pop`]. An element that was taken is lost.
    pub async fn take(&mut self, from: &str) -> Result<Option<String>, StoreError> {
        let taken: Result<Option<(String, String)>, _> = redis::cmd("BRPOP")
            .arg(from)
            .arg(self.block.as_secs_f64())
            .query_async(&mut self.connection)
            .await;
        let taken = taken.map_err(|source| self.failed("take", source))?;
        Ok(taken.map(|(_, element)| element))
    }

    /// Moves up to `n` elements without waiting. It requests only as many as the list has: a pop of
    /// an empty list costs Redis as much as a successful one.
    ///
    /// # Errors
    /// As [`PopHandle::pop`].
    pub async fn pop_ready(
        &mut self,
        from: &str,
        to: &str,
        n: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut n = n;
        if n > 1 {
            let listed: usize = redis::cmd("LLEN")
                .arg(from)
                .query_async(&mut self.connection)
                .await
                .map_err(|source| self.failed("pop ready", source))?;
            n = n.min(listed);
        }
        if n == 0 {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for _ in 0..n {
            pipeline.cmd("RPOPLPUSH").arg(from).arg(to);
        }
        let popped: Vec<Option<String>> = pipeline
            .query_async(&mut self.connection)
            .await
            .map_err(|source| self.failed("pop ready", source))?;
        Ok(popped.into_iter().flatten().collect())
    }

    /// Returns the error of a pop. The next connection goes to the current node of the list.
    fn failed(&self, call: &'static str, source: RedisError) -> StoreError {
        self.locator.note_redirect(&source);
        StoreError::Redis { call, source }
    }
}

impl RedisHandle {
    /// Opens a connection for one worker's blocking pops. It has no other use.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis is unreachable.
    pub async fn pop_handle(&self, block: Duration) -> Result<PopHandle, StoreError> {
        let wrap = |source| StoreError::Redis {
            call: "pop connect",
            source,
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // The client must not time out before the server: the server could move the element
            // nevertheless.
            .set_response_timeout(Some(block + Duration::from_secs(5)));
        let mut connection = self.connection.connect(&config).await.map_err(wrap)?;
        let info: String = redis::cmd("CLIENT")
            .arg("INFO")
            .query_async(&mut connection)
            .await
            .map_err(wrap)?;
        let field = |name: &str| {
            let mut fields = info.split_whitespace();
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let id = ConnectionId {
            number: field("id").and_then(|id| id.parse().ok()).unwrap_or(0),
            address: field("addr").unwrap_or_default().to_owned(),
        };
        Ok(PopHandle {
            locator: Arc::clone(self.connection.locator()),
            connection,
            id,
            block,
        })
    }
}
