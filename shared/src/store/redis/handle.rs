//! Connections: one shared by all calls, and one for each blocking pop.
//!
//! The shared one is multiplexed: any number of tasks have calls under way on it. When it
//! breaks, or a call on it times out, or Redis says that it became a replica or that the keys are elsewhere,
//! it is given up and the next call makes a new one, to the node that [`Locator`] finds. A call that was
//! cut may still be carried out by Redis, so whoever repeats it does so under the same id, nonce or
//! token. One that was sent to a node of a cluster that has not the keys was not carried out: it is
//! repeated here.

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

/// How long a call may take at most. Redis answers in well under a millisecond; past this it is away.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Calls that may wait for the socket at once before callers wait for each other.
const PIPELINE: usize = 512;
/// For how long a failed connection attempt speaks for those that waited for it.
const FAILURE_HOLDS: Duration = Duration::from_millis(100);

/// How long replicas may take to have what was written.
const WAIT: Duration = Duration::from_secs(1);
/// How often a call is sent on to where a node of a cluster says that the keys are.
const MOST_REDIRECTIONS: usize = 3;

/// The shared connection to the node that has one shard. Clones share it.
#[derive(Clone)]
pub struct RedisHandle {
    locator: Arc<Locator>,
    call_timeout: Duration,
    /// How many replicas are to have what a script has written before it counts as done.
    replicas: u32,
    current: Arc<Current>,
}

/// What a link is connected by. Read for every call, so reading it waits for nobody.
#[derive(Default)]
struct Current {
    connected: RwLock<Option<Arc<MultiplexedConnection>>>,
    connecting: SingleFlight<u64, Result<Arc<MultiplexedConnection>, RedisError>>,
    /// Rises when the node turned out to be the wrong one: a connection that was begun before is not kept.
    searches: AtomicU64,
    /// Where the link was first used. What carries a connection runs there, whoever needs a new one: elsewhere
    /// it might wait behind a flow.
    home: OnceLock<Handle>,
    /// When connecting last failed and how: callers that come right after fail with it.
    failed: Mutex<Option<(Instant, RedisError)>>,
}

impl Current {
    fn connected(&self) -> Option<Arc<MultiplexedConnection>> {
        self.connected
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts `next` in the place of the connection, if `is_due` says so of it.
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
    /// A link to where keys of this slot are, should it be a cluster.
    pub(crate) fn open(url: &str, slot: u16) -> Result<RedisHandle, StoreError> {
        Ok(RedisHandle {
            locator: Arc::new(Locator::open(url, slot)?),
            call_timeout: CALL_TIMEOUT,
            replicas: 0,
            current: Arc::default(),
        })
    }

    /// The user that the URL names; Redis's own name for who names none.
    pub(crate) fn user(&self) -> &str {
        self.locator.user()
    }

    /// A link to the same Redis that shares nothing but the knowledge where it is, and whose calls take no
    /// longer than this.
    pub(crate) fn fresh(&self, call_timeout: Duration) -> RedisHandle {
        RedisHandle {
            locator: Arc::clone(&self.locator),
            call_timeout: call_timeout.min(CALL_TIMEOUT),
            replicas: self.replicas,
            current: Arc::default(),
        }
    }

    /// The same link, which waits until so many replicas have what a script has written (`WAIT`).
    pub(crate) fn waiting_for(&self, replicas: u32) -> RedisHandle {
        RedisHandle {
            replicas,
            ..self.clone()
        }
    }

    /// The connection; one caller makes it where there is none, and all that come meanwhile wait for it.
    async fn get(&self) -> Result<Arc<MultiplexedConnection>, RedisError> {
        if let Some(connected) = self.current.connected() {
            return Ok(connected);
        }
        let (handle, search) = (self.clone(), self.current.searches.load(Ordering::Acquire));
        let connecting = || handle.connect_anew(search).boxed();
        self.current.connecting.join(search, connecting).await
    }

    async fn connect_anew(self, search: u64) -> Result<Arc<MultiplexedConnection>, RedisError> {
        // Somebody may have been faster.
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

    /// A new connection to the node that is the right one by now.
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

    /// Gives the connection up if the error says that it is of no more use.
    fn look_at(&self, failed: &Arc<MultiplexedConnection>, error: &RedisError) {
        self.current.replace(None, |present| {
            // Whoever is late has an error of a connection that is given up already.
            present.is_some_and(|present| Arc::ptr_eq(present, failed))
                && self.locator.note_redirect(error)
        });
    }

    /// Gives the connection up, because the node that it leads to is not the master: where that is, is looked for anew.
    pub(crate) fn look_elsewhere(&self) {
        self.current.replace(None, |_| {
            self.current.searches.fetch_add(1, Ordering::AcqRel);
            true
        });
        self.locator.look_elsewhere();
    }

    /// Makes a call, again if it was sent to a node that does not have the keys.
    async fn call<T: FromRedisValue>(
        &self,
        call: &'static str,
        what: Call<'_>,
    ) -> Result<T, StoreError> {
        Ok(self.call_on(call, what).await?.0)
    }

    /// As [`RedisHandle::call`], with the connection that it was made on.
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

    /// Sends commands in one go, outside a transaction.
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

    /// Runs a script, loading it first if Redis does not have it (any more).
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

    /// Waits until enough replicas have what this very connection has written.
    async fn wait(
        &self,
        call: &'static str,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), StoreError> {
        let mut wait = redis::cmd("WAIT");
        wait.arg(self.replicas).arg(whole_ms(WAIT));
        let reached = match timed("wait", wait.query_async::<u32>(connection)).await {
            Ok(reached) => reached,
            // It broke, or is no master any more: what it wrote may not have reached who is.
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

    /// A connection for subscriptions.
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

    /// A connection for one worker's blocking pops, used for nothing else.
    ///
    /// # Errors
    /// [`StoreError::Redis`] if Redis cannot be reached.
    pub async fn pop_handle(&self, block: Duration) -> Result<PopHandle, StoreError> {
        let wrap = |source| StoreError::Redis {
            call: "pop connect",
            source,
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // The client must never give up before the server does: the server may move the element all the same.
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

/// Redis's name for a connection. The number alone is not enough: a restarted Redis counts anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionId {
    pub(crate) number: u64,
    /// Where the client is, as Redis sees it.
    pub(crate) address: String,
}

/// What can be sent.
enum Call<'a> {
    Command(&'a Cmd),
    Pipeline(&'a redis::Pipeline),
    /// Loaded first if Redis does not have it (any more).
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
pub struct PopHandle {
    locator: Arc<Locator>,
    connection: MultiplexedConnection,
    id: ConnectionId,
    block: Duration,
}

impl PopHandle {
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
            .map_err(|source| self.failed("pop", source))
    }

    /// Takes one element from `from`, waiting about the block time. `None`: nothing came.
    ///
    /// Not cancel safe: an element that a dropped call takes is lost.
    ///
    /// # Errors
    /// As [`PopHandle::pop`]; an element that was taken is lost.
    pub async fn take(&mut self, from: &str) -> Result<Option<String>, StoreError> {
        let taken: Result<Option<(String, String)>, _> = redis::cmd("BRPOP")
            .arg(from)
            .arg(self.block.as_secs_f64())
            .query_async(&mut self.connection)
            .await;
        let taken = taken.map_err(|source| self.failed("take", source))?;
        Ok(taken.map(|(_, element)| element))
    }

    /// Moves up to `n` elements without waiting. More than one are asked for only as far as they are there: a
    /// pop of an empty list costs Redis as much as one that moves something.
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

    /// The error of a pop. The next connection goes to where the list is by then.
    fn failed(&self, call: &'static str, source: RedisError) -> StoreError {
        self.locator.note_redirect(&source);
        StoreError::Redis { call, source }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use crate::store::redis::store::Store;

    /// A TLS connection needs a choice of cryptography, which is made in the manifest: without it the
    /// first use of `rediss://` panics.
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
