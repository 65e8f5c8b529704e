//! The common loop of background roles: repeats one body until stopped; an error does not end it.

use std::time::Duration;

use shared::error::chain;
use shared::store::{ConnectionId, Shard, StoreError};
use tokio_util::sync::CancellationToken;

use crate::pause::RepeatedErrorLog;

/// Waits for a call that blocks on the connection with this id. When `stop` is cancelled, asks
/// Redis to end the call and waits for its answer. Dropping the call could lose an element that
/// Redis has already moved.
pub(crate) async fn blocking<T>(
    shard: &Shard,
    connection: &ConnectionId,
    stop: &CancellationToken,
    call: impl Future<Output = T>,
) -> T {
    tokio::pin!(call);
    tokio::select! {
        answer = &mut call => return answer,
        () = stop.cancelled() => {}
    }
    if let Err(error) = shard.unblock_connection(connection).await {
        tracing::debug!(error = chain(&error), "could not unblock the last pop");
    }
    call.await
}

/// Repeats `once` with a pause of `every` until `stop`. Logs errors and continues.
pub(crate) async fn repeat<F>(
    role: &'static str,
    every: Duration,
    stop: CancellationToken,
    mut once: impl FnMut() -> F,
) where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut error_log = RepeatedErrorLog::default();
    while !stop.is_cancelled() {
        if let Err(error) = once().await {
            error_log.log(role, &error);
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => {}
        }
    }
}
