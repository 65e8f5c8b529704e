//! Connections to Redis: one shared by all calls, and one for each blocking pop.
//!
//! The shared connection is multiplexed: any number of tasks have calls in flight on it. It is
//! dropped when it breaks, when a call times out, or when Redis redirects or reports that it is a
//! replica. The next call connects again, to the node that [`Locator`] finds.
//!
//! Redis may still execute an interrupted call. So callers repeat it with the same id, nonce or
//! token. A node of a cluster does not execute a call whose keys it does not have. This module
//! repeats such a call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::FutureExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisError, Value};
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;

use crate::single_flight::SingleFlight;
use crate::store::redis::error::StoreError;
use crate::store::redis::locator::Locator;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::Script;
use crate::whole_ms::whole_ms;

/// The maximum duration of a call. Redis answers in well under a millisecond; after this time it
/// counts as unavailable.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum duration of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of calls queued for the socket. Further callers wait.
const PIPELINE: usize = 512;
/// How long a failed connection attempt answers further callers.
const FAILURE_HOLDS: Duration = Duration::from_millis(100);

/// How long a write waits for its replicas.
const WAIT: Duration = Duration::from_secs(1);
/// The maximum number of redirections of one call in a cluster.
const MOST_REDIRECTIONS: usize = 3;

/// The shared connection to the node of one shard. Clones share it.
#[derive(Clone)]
pub struct RedisHandle {
    locator: Arc<Locator>,
    call_timeout: Duration,
    /// The number of replicas that must have a script's writes before the script counts as done.
    replicas: u32,
    current: Arc<Current>,
}

/// The connection state of a handle. Every call reads it, so a read must not wait.
#[derive(Default)]
struct Current {
    connected: RwLock<Option<Arc<MultiplexedConnection>>>,
    connecting: SingleFlight<u64, Result<Arc<MultiplexedConnection>, RedisError>>,
    /// Rises when the node was the wrong one. A connection attempt from before is then discarded.
    searches: AtomicU64,
    /// The runtime that first used the handle. Connections are driven there, independent of the
    /// caller's runtime: elsewhere they could wait behind a flow.
    home: OnceLock<Handle>,
    /// The time and the error of the last failed connection attempt. Callers shortly afterwards
    /// receive the same error.
    failed: Mutex<Option<(Instant, RedisError)>>,
}

impl Current {
    fn connected(&self) -> Option<Arc<MultiplexedConnection>> {
        self.connected
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces the connection with `next` if `is_due` returns true for the current one.
    fn replace(
        &self,
        next: Option<Arc<MultiplexedConnection>>,
        is_due: impl FnOnce(Option<&Arc<MultiplexedConnection>>) -> bool,
    ) {
        let mut connected = self
            .connected
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if is_due(connected.as_ref()) {
            *connected = next;
        }
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(Instant, RedisError)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RedisHandle {
    /// Returns a handle for the node that has keys of this slot, if Redis is a cluster.
    pub(crate) fn open(url: &str, slot: u16) -> Result<RedisHandle, StoreError> {
        Ok(RedisHandle {
            locator: Arc::new(Locator::open(url, slot)?),
            call_timeout: CALL_TIMEOUT,
            replicas: 0,
            current: Arc::default(),
        })
    }

    /// Returns the user of the URL, or Redis's default user.
    pub(crate) fn user(&self) -> &str {
        self.locator.user()
    }

    /// Returns a handle with its own connection to the same Redis. It shares only the locator, and
    /// its calls take at most `call_timeout`.
    pub(crate) fn fresh(&self, call_timeout: Duration) -> RedisHandle {
        RedisHandle {
            locator: Arc::clone(&self.locator),
            call_timeout: call_timeout.min(CALL_TIMEOUT),
            replicas: self.replicas,
            current: Arc::default(),
        }
    }

    /// Returns the same handle with a different number of replicas to wait for (`WAIT`).
    pub(crate) fn waiting_for(&self, replicas: u32) -> RedisHandle {
        RedisHandle {
            replicas,
            ..self.clone()
        }
    }

    /// Returns the connection. If it is missing, one caller connects and concurrent callers wait
    /// for it.
    async fn get(&self) -> Result<Arc<MultiplexedConnection>, RedisError> {
        if let Some(connected) = self.current.connected() {
            return Ok(connected);
        }
        let (handle, search) = (self.clone(), self.current.searches.load(Ordering::Acquire));
        let connecting = || handle.connect_anew(search).boxed();
        self.current.connecting.join(search, connecting).await
    }

    async fn connect_anew(self, search: u64) -> Result<Arc<MultiplexedConnection>, RedisError> {
        // Another caller may have connected in the meantime.
        if let Some(connected) = self.current.connected() {
            return Ok(connected);
        }
        if let Some((at, error)) = self.current.failed().as_ref()
            && at.elapsed() < FAILURE_HOLDS
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT.min(self.call_timeout)))
            .set_response_timeout(Some(self.call_timeout))
            .set_pipeline_buffer_size(PIPELINE);
        let home = self.current.home.get_or_init(Handle::current).clone();
        let connected = TokioContext::new(self.connect(&config), home).await;
        let connected = connected.inspect_err(|error| {
            *self.current.failed() = Some((Instant::now(), error.clone()));
        })?;
        let connected = Arc::new(connected);
        self.current.replace(Some(Arc::clone(&connected)), |_| {
            self.current.searches.load(Ordering::Acquire) == search
        });
        Ok(connected)
    }

    /// Opens a new connection to the current node.
    async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let client = self.locator.find().await?;
        let connecting = client.get_multiplexed_async_connection_with_config(config);
        connecting.await.inspect_err(|error| {
            self.locator.note_redirect(error);
        })
    }

    /// Drops the connection if the error makes it unusable.
    fn look_at(&self, failed: &Arc<MultiplexedConnection>, error: &RedisError) {
        self.current.replace(None, |present| {
            // A late error belongs to a connection that is already replaced.
            present.is_some_and(|present| Arc::ptr_eq(present, failed))
                && self.locator.note_redirect(error)
        });
    }

    /// Drops the connection because its node is not the master. The locator searches for the master
    /// again.
    pub(crate) fn look_elsewhere(&self) {
        self.current.replace(None, |_| {
            self.current.searches.fetch_add(1, Ordering::AcqRel);
            true
        });
        self.locator.look_elsewhere();
    }

    /// Makes a call and repeats it if the node did not have the keys.
    async fn call<T: FromRedisValue>(
        &self,
        call: &'static str,
        what: Call<'_>,
    ) -> Result<T, StoreError> {
        Ok(self.call_on(call, what).await?.0)
    }

    /// Makes a call as [`RedisHandle::call`] and also returns the connection.
    async fn call_on<T: FromRedisValue>(
        &self,
        call: &'static str,
        what: Call<'_>,
    ) -> Result<(T, MultiplexedConnection), StoreError> {
        let mut redirections = 0;
        loop {
            let wrap = |source| StoreError::Redis { call, source };
            let connected = self.get().await.map_err(wrap)?;
            let mut connection = MultiplexedConnection::clone(&connected);
            match timed(call, what.send(&mut connection)).await {
                Ok(value) => return Ok((value, connection)),
                Err(error) => {
                    self.look_at(&connected, &error);
                    redirections += 1;
                    if error.code() != Some("MOVED") || redirections > MOST_REDIRECTIONS {
                        return Err(wrap(error));
                    }
                }
            }
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
        self.call(call, Call::Command(command)).await
    }

    /// Sends several commands in one pipeline, without a transaction.
    ///
    /// # Errors
    /// [`StoreError::Redis`] with the name `call`.
    pub async fn pipeline<T: FromRedisValue>(
        &self,
        call: &'static str,
        pipeline: &redis::Pipeline,
    ) -> Result<T, StoreError> {
        self.call(call, Call::Pipeline(pipeline)).await
    }

    /// Runs a script and loads it first if Redis does not have it.
    pub(crate) async fn script(
        &self,
        script: &Script,
        keys: &[String],
        args: impl FnOnce(&mut redis::ScriptInvocation<'_>),
    ) -> Result<Reply, StoreError> {
        let mut invocation = script.inner().prepare_invoke();
        for key in keys {
            invocation.key(key);
        }
        args(&mut invocation);
        let (value, mut connection) = self
            .call_on::<Value>(script.name(), Call::Script(&invocation))
            .await?;
        if self.replicas > 0 && !script.is_read_only() {
            self.wait(script.name(), &mut connection).await?;
        }
        Reply::read(script.name(), value)
    }

    /// Waits until enough replicas have the writes of this connection.
    async fn wait(
        &self,
        call: &'static str,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), StoreError> {
        let mut wait = redis::cmd("WAIT");
        wait.arg(self.replicas).arg(whole_ms(WAIT));
        let reached = match timed("wait", wait.query_async::<u32>(connection)).await {
            Ok(reached) => reached,
            // The connection broke, or the node is no longer the master: the current master may
            // lack the write.
            Err(error) => {
                tracing::debug!(call, %error, "replicas could not be waited for");
                self.look_elsewhere();
                0
            }
        };
        if reached < self.replicas {
            let wanted = self.replicas;
            return Err(StoreError::NotReplicated {
                call,
                wanted,
                reached,
            });
        }
        Ok(())
    }

    /// Opens a connection for subscriptions.
    pub(crate) async fn pubsub(&self) -> Result<redis::aio::PubSub, StoreError> {
        let connect = async { self.locator.find().await?.get_async_pubsub().await };
        let timed_out = || RedisError::from((redis::ErrorKind::Io, "connecting timed out"));
        let connected = tokio::time::timeout(CONNECT_TIMEOUT + CONNECT_TIMEOUT, connect).await;
        connected
            .unwrap_or_else(|_| Err(timed_out()))
            .map_err(|source| {
                self.locator.note_redirect(&source);
                StoreError::Redis {
                    call: "subscribe",
                    source,
                }
            })
    }

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
        let mut connection = self.connect(&config).await.map_err(wrap)?;
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
            locator: Arc::clone(&self.locator),
            connection,
            id,
            block,
        })
    }
}

/// Redis's id of a connection. The number alone is ambiguous: a restarted Redis counts from the
/// start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionId {
    pub(crate) number: u64,
    /// The address of the client as Redis sees it.
    pub(crate) address: String,
}

/// A call to Redis.
enum Call<'a> {
    Command(&'a Cmd),
    Pipeline(&'a redis::Pipeline),
    /// Loaded first if Redis does not have it.
    Script(&'a redis::ScriptInvocation<'a>),
}

impl Call<'_> {
    async fn send<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<T, RedisError> {
        match self {
            Call::Command(command) => command.query_async(connection).await,
            Call::Pipeline(pipeline) => pipeline.query_async(connection).await,
            Call::Script(invocation) => invocation.invoke_async(connection).await,
        }
    }
}

/// Records the duration of a call under its name.
async fn timed<T>(
    call: &'static str,
    calling: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let began = Instant::now();
    let result = calling.await;
    metrics::histogram!("draftsman_redis_call_seconds", "call" => call).record(began.elapsed());
    // Also adds 0, because a rate needs a sample before the first error.
    metrics::counter!("draftsman_redis_errors_total", "call" => call)
        .increment(u64::from(result.is_err()));
    result
}

/// A connection that blocks in BRPOPLPUSH.
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use crate::store::redis::store::Store;

    /// TLS needs a crypto provider, which the manifest selects. Without it, the first use of
    /// `rediss://` panics.
    #[tokio::test]
    async fn a_server_that_speaks_no_tls_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("rediss://{}", listener.local_addr().unwrap());
        let hanging_up = tokio::spawn(async move { drop(listener.accept().await) });
        let error = Store::open(&url, 1).unwrap().ping().await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        hanging_up.await.unwrap();
    }
}
