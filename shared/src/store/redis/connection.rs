//! Connections: one shared by all calls, and one for each blocking pop.
//!
//! The shared one is multiplexed: any number of tasks have calls under way on it. When it
//! breaks, or a call on it times out, or Redis says it became a replica, it is given up and
//! the next call makes a new one. A call that was cut may still be carried out by Redis, so
//! whoever repeats it does so under the same id, nonce or token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, IntoConnectionInfo, RedisError, Value};
use tokio::sync::Mutex;

use super::error::{StoreError, is_broken};
use super::reply::Reply;
use super::script::Script;

/// How long a call may take at most. Redis answers in well under a millisecond; past this it is away.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Calls that may wait for the socket at once before callers wait for each other.
const PIPELINE: usize = 512;
/// For how long a failed connection attempt speaks for those that waited for it.
const FAILURE_HOLDS: Duration = Duration::from_millis(100);

/// The shared connection. Clones share it.
#[derive(Clone)]
pub struct Link {
    client: redis::Client,
    call_timeout: Duration,
    current: Arc<Current>,
}

#[derive(Default)]
struct Current {
    connection: Mutex<Option<(u64, MultiplexedConnection)>>,
    generation: AtomicU64,
    /// When connecting last failed and how: callers that queued up behind it fail with it.
    failed: std::sync::Mutex<Option<(Instant, RedisError)>>,
}

impl Link {
    pub(crate) fn open(url: &str) -> Result<Link, StoreError> {
        let info = url.into_connection_info().map_err(StoreError::Url)?;
        // Scripts are small and somebody waits for each: Nagle's algorithm would hold them back.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = redis::Client::open(info.set_tcp_settings(tcp)).map_err(StoreError::Url)?;
        Ok(Link {
            client,
            call_timeout: CALL_TIMEOUT,
            current: Arc::default(),
        })
    }

    /// The user that the URL names; Redis's own name for who names none.
    pub(crate) fn user(&self) -> &str {
        let settings = self.client.get_connection_info().redis_settings();
        settings.username().unwrap_or("default")
    }

    /// A link to the same Redis that shares nothing, and whose calls take no longer than this.
    pub(crate) fn fresh(&self, call_timeout: Duration) -> Link {
        Link {
            client: self.client.clone(),
            call_timeout: call_timeout.min(CALL_TIMEOUT),
            current: Arc::default(),
        }
    }

    async fn get(&self) -> Result<(u64, MultiplexedConnection), RedisError> {
        let mut slot = self.current.connection.lock().await;
        if let Some(found) = slot.as_ref() {
            return Ok(found.clone());
        }
        let lock = || {
            self.current
                .failed
                .lock()
                .expect("no holder of this lock panics")
        };
        if let Some((at, error)) = lock().as_ref()
            && at.elapsed() < FAILURE_HOLDS
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT.min(self.call_timeout)))
            .set_response_timeout(Some(self.call_timeout))
            .set_pipeline_buffer_size(PIPELINE);
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let connection = match connecting.await {
            Ok(connection) => connection,
            Err(error) => {
                *lock() = Some((Instant::now(), error.clone()));
                return Err(error);
            }
        };
        let generation = self.current.generation.fetch_add(1, Ordering::Relaxed);
        *slot = Some((generation, connection.clone()));
        Ok((generation, connection))
    }

    /// Gives the connection up if the error says that it is of no more use.
    async fn look_at(&self, generation: u64, error: &RedisError) {
        if !is_broken(error) && error.code() != Some("READONLY") {
            return;
        }
        let mut slot = self.current.connection.lock().await;
        if slot.as_ref().is_some_and(|(found, _)| *found == generation) {
            *slot = None;
        }
    }

    /// Sends one command.
    ///
    /// # Errors
    /// [`StoreError::Redis`] with the name `call`.
    pub async fn command<T: FromRedisValue>(
        &self,
        call: &'static str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let wrap = |source| StoreError::Redis { call, source };
        let (generation, mut connection) = self.get().await.map_err(wrap)?;
        match timed(call, command.query_async(&mut connection)).await {
            Ok(value) => Ok(value),
            Err(error) => {
                self.look_at(generation, &error).await;
                Err(wrap(error))
            }
        }
    }

    /// Sends commands in one go, outside a transaction.
    ///
    /// # Errors
    /// [`StoreError::Redis`] with the name `call`.
    pub async fn pipeline<T: FromRedisValue>(
        &self,
        call: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, StoreError> {
        let wrap = |source| StoreError::Redis { call, source };
        let (generation, mut connection) = self.get().await.map_err(wrap)?;
        match timed(call, pipeline.query_async(&mut connection)).await {
            Ok(value) => Ok(value),
            Err(error) => {
                self.look_at(generation, &error).await;
                Err(wrap(error))
            }
        }
    }

    /// Runs a script, loading it first if Redis does not have it (any more).
    pub(crate) async fn script(
        &self,
        script: &Script,
        keys: &[String],
        args: impl FnOnce(&mut redis::ScriptInvocation<'_>),
    ) -> Result<Reply, StoreError> {
        let wrap = |source| StoreError::Redis {
            call: script.name(),
            source,
        };
        let (generation, mut connection) = self.get().await.map_err(wrap)?;
        let mut invocation = script.inner().prepare_invoke();
        for key in keys {
            invocation.key(key);
        }
        args(&mut invocation);
        match timed(
            script.name(),
            invocation.invoke_async::<Value>(&mut connection),
        )
        .await
        {
            Ok(value) => Reply::read(script.name(), value),
            Err(error) => {
                self.look_at(generation, &error).await;
                Err(wrap(error))
            }
        }
    }

    /// A connection for subscriptions.
    pub(crate) async fn pubsub(&self) -> Result<redis::aio::PubSub, StoreError> {
        let connect = self.client.get_async_pubsub();
        let timed_out = || RedisError::from((redis::ErrorKind::Io, "connecting timed out"));
        tokio::time::timeout(CONNECT_TIMEOUT, connect)
            .await
            .unwrap_or_else(|_| Err(timed_out()))
            .map_err(|source| StoreError::Redis {
                call: "subscribe",
                source,
            })
    }

    /// A connection for one worker's blocking pops, used for nothing else.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis cannot be reached.
    pub async fn pop_link(&self, block: Duration) -> Result<PopLink, StoreError> {
        let wrap = |source| StoreError::Redis {
            call: "pop connect",
            source,
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // The client must never give up before the server does: the server may move the element all the same.
            .set_response_timeout(Some(block + Duration::from_secs(5)));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(wrap)?;
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
        Ok(PopLink {
            connection,
            id,
            block,
        })
    }
}

/// Redis's name for a connection. The number alone is not enough: a restarted Redis counts anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionId {
    pub(crate) number: u64,
    /// Where the client is, as Redis sees it.
    pub(crate) address: String,
}

/// Measures a call by its name.
async fn timed<T>(
    call: &'static str,
    calling: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let began = Instant::now();
    let result = calling.await;
    metrics::histogram!("draftsman_redis_call_seconds", "call" => call).record(began.elapsed());
    if result.is_err() {
        metrics::counter!("draftsman_redis_errors_total", "call" => call).increment(1);
    }
    result
}

/// A connection that blocks in BRPOPLPUSH.
pub struct PopLink {
    connection: MultiplexedConnection,
    id: ConnectionId,
    block: Duration,
}

impl PopLink {
    /// Redis's name for this connection, for `CLIENT KILL`.
    pub fn id(&self) -> &ConnectionId {
        &self.id
    }

    /// Moves one element from `from` to `to`, waiting about the block time. `None`: nothing came.
    ///
    /// Not cancel safe: a dropped call may still move an element, which then lies in `to`
    /// until the heartbeat's audit finds it.
    ///
    /// # Errors
    /// [`StoreError::Redis`]; whether an element moved is then unknown, and this connection is to be given up.
    pub async fn pop(&mut self, from: &str, to: &str) -> Result<Option<String>, StoreError> {
        redis::cmd("BRPOPLPUSH")
            .arg(from)
            .arg(to)
            .arg(self.block.as_secs_f64())
            .query_async(&mut self.connection)
            .await
            .map_err(|source| StoreError::Redis {
                call: "pop",
                source,
            })
    }

    /// Takes one element from `from`, waiting about the block time. `None`: nothing came.
    ///
    /// Not cancel safe: an element that a dropped call takes is lost.
    ///
    /// # Errors
    /// As [`PopLink::pop`]; an element that was taken is lost.
    pub async fn take(&mut self, from: &str) -> Result<Option<String>, StoreError> {
        let taken: Result<Option<(String, String)>, _> = redis::cmd("BRPOP")
            .arg(from)
            .arg(self.block.as_secs_f64())
            .query_async(&mut self.connection)
            .await;
        let wrap = |source| StoreError::Redis {
            call: "take",
            source,
        };
        Ok(taken.map_err(wrap)?.map(|(_, element)| element))
    }

    /// Moves up to `n` elements without waiting, in one round trip.
    ///
    /// # Errors
    /// As [`PopLink::pop`].
    pub async fn pop_ready(
        &mut self,
        from: &str,
        to: &str,
        n: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut pipeline = redis::pipe();
        for _ in 0..n {
            pipeline.cmd("RPOPLPUSH").arg(from).arg(to);
        }
        let popped: Vec<Option<String>> = pipeline
            .query_async(&mut self.connection)
            .await
            .map_err(|source| StoreError::Redis {
                call: "pop ready",
                source,
            })?;
        Ok(popped.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::Store;

    /// A TLS connection needs a choice of cryptography, which is made in the manifest: without it the
    /// first use of `rediss://` panics.
    #[tokio::test]
    async fn a_server_that_speaks_no_tls_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("rediss://{}", listener.local_addr().unwrap());
        let hanging_up = tokio::spawn(async move { drop(listener.accept().await) });
        let error = Store::open(&url).unwrap().ping().await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        hanging_up.await.unwrap();
    }
}
