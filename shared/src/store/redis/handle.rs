//! Calls to the node of one shard, on its shared connection.
//!
//! Redis may still execute an interrupted call. So callers repeat it with the same id, nonce or
//! token. A node of a cluster does not execute a call whose keys it does not have. This module
//! repeats such a call.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError, Value};

use crate::store::redis::connection::{CONNECT_TIMEOUT, SharedConnection};
use crate::store::redis::error::StoreError;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::Script;
use crate::whole_ms::whole_ms;

/// How long a write waits for its replicas.
const WAIT: Duration = Duration::from_secs(1);
/// The maximum number of redirections of one call in a cluster.
const MOST_REDIRECTIONS: usize = 3;

/// The calls to the node of one shard. Clones share the connection.
#[derive(Clone)]
pub struct RedisHandle {
    pub(super) connection: SharedConnection,
    /// The number of replicas that must have a script's writes before the script counts as done.
    replicas: u32,
}

impl RedisHandle {
    /// Returns a handle for the node that has keys of this slot, if Redis is a cluster.
    pub(crate) fn open(url: &str, slot: u16) -> Result<RedisHandle, StoreError> {
        Ok(RedisHandle {
            connection: SharedConnection::open(url, slot)?,
            replicas: 0,
        })
    }

    /// Returns the user of the URL, or Redis's default user.
    pub(crate) fn user(&self) -> &str {
        self.connection.locator().user()
    }

    /// Returns a handle with its own connection to the same Redis. It shares only the locator, and
    /// its calls take at most `call_timeout`.
    pub(crate) fn fresh(&self, call_timeout: Duration) -> RedisHandle {
        RedisHandle {
            connection: self.connection.fresh(call_timeout),
            replicas: self.replicas,
        }
    }

    /// Returns the same handle with a different number of replicas to wait for (`WAIT`).
    pub(crate) fn waiting_for(&self, replicas: u32) -> RedisHandle {
        RedisHandle {
            replicas,
            ..self.clone()
        }
    }

    /// Drops the connection because its node is not the master. The locator searches for the master
    /// again.
    pub(crate) fn look_elsewhere(&self) {
        self.connection.look_elsewhere();
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
            let connected = self.connection.get().await.map_err(wrap)?;
            let mut connection = MultiplexedConnection::clone(&connected);
            match timed(call, what.send(&mut connection)).await {
                Ok(value) => return Ok((value, connection)),
                Err(error) => {
                    self.connection.look_at(&connected, &error);
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
        let locator = self.connection.locator();
        let connect = async { locator.find().await?.get_async_pubsub().await };
        let timed_out = || RedisError::from((redis::ErrorKind::Io, "connecting timed out"));
        let connected = tokio::time::timeout(CONNECT_TIMEOUT + CONNECT_TIMEOUT, connect).await;
        connected
            .unwrap_or_else(|_| Err(timed_out()))
            .map_err(|source| {
                locator.note_redirect(&source);
                StoreError::Redis {
                    call: "subscribe",
                    source,
                }
            })
    }
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
