//! What all background loops have in common: one body, repeated until stopped, that never lets
//! an error end it.

use std::time::Duration;

use shared::error::chain;
use shared::store::{ConnectionId, Shard, StoreError};
use tokio_util::sync::CancellationToken;

use crate::pause::RepeatedErrorLog;

/// Waits for a call that blocks on the connection of this id. When it is to stop, the call is not
/// dropped (it may be bringing something), but Redis is asked to end it.
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
        tracing::debug!(error = chain(&error), "the last pop takes its time");
    }
    call.await
}

/// Repeats `once` with `every` in between until `stop`. A round that fails is logged and repeated.
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
            error_log.about(role, &error);
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => {}
        }
    }
}
