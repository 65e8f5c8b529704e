//! The services of a program: named tasks that run until the program stops them.
//!
//! A service fails if it panics, returns an error, or returns before its stop. The first failure
//! ends the program. [`Services::failed`] resolves, the program shuts down in its usual order, and
//! [`Services::result`] has the error for the exit status. Without this, a program with a dead
//! reaper or consumer would pass every probe.
//!
//! A program has one [`Services`] for all its roles. Services that must outlive others have their
//! own token; for example, a heartbeat outlives the consumer. [`Services::ended`] waits for all
//! services with a cancelled token. Dropping [`Services`] aborts all running services.
//!
//! Each service evaluates the fail point `service.<name>` at its start: `panic` makes it panic,
//! `return(end)` makes it return.

use std::any::Any;
use std::collections::HashMap;

use shared::fail_point;
use thiserror::Error;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// An unexpected end of a service: a defect of the program.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The service returned.
    #[error("service {name} ended unexpectedly")]
    Ended {
        /// The name of the service.
        name: &'static str,
    },
    /// The service panicked.
    #[error("service {name} panicked: {message}")]
    Panicked {
        /// The name of the service.
        name: &'static str,
        /// The message of the panic.
        message: String,
    },
}

/// The services of one program and their first failure.
#[derive(Debug)]
pub struct Services<E> {
    tasks: JoinSet<Result<(), E>>,
    running: HashMap<Id, Service>,
    failure: Option<E>,
}

#[derive(Debug)]
struct Service {
    name: &'static str,
    stop: CancellationToken,
}

impl<E> Default for Services<E>
where
    E: 'static,
{
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            running: HashMap::new(),
            failure: None,
        }
    }
}

impl<E> Services<E>
where
    E: std::error::Error + From<ServiceError> + Send + 'static,
{
    /// Starts a service, which must not return before `stop` is cancelled. Several services can
    /// share a name. Call it inside a runtime.
    pub fn spawn(
        &mut self,
        name: &'static str,
        stop: &CancellationToken,
        service: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_fallible(name, stop, async {
            service.await;
            Ok(())
        });
    }

    /// Starts a service as [`Services::spawn`] that can return an error. The error is then the
    /// failure of the program.
    pub fn spawn_fallible(
        &mut self,
        name: &'static str,
        stop: &CancellationToken,
        service: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(async move {
            if fail_point::fault(&format!("service.{name}")).is_some() {
                return Ok(());
            }
            service.await
        });
        let stop = stop.clone();
        self.running.insert(task.id(), Service { name, stop });
    }

    /// Resolves once a service has failed, and logs its name. Cancel safe.
    pub async fn failed(&mut self) {
        while self.failure.is_none() && self.next().await {}
        if self.failure.is_none() {
            // No service is left that could fail.
            std::future::pending::<()>().await;
        }
    }

    /// Resolves once all services with a cancelled token have ended. Logs each failure. Cancel
    /// safe.
    pub async fn ended(&mut self) {
        while self.running.values().any(|s| s.stop.is_cancelled()) && self.next().await {}
    }

    /// Returns true if a service has failed.
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Aborts all running services and returns the first failure, if any.
    ///
    /// # Errors
    /// The error of the first service that failed.
    pub fn result(self) -> Result<(), E> {
        self.failure.map_or(Ok(()), Err)
    }

    /// Waits for the end of one service; returns false if none is running. Cancel safe.
    async fn next(&mut self) -> bool {
        let Some(joined) = self.tasks.join_next_with_id().await else {
            return false;
        };
        let (id, outcome) = match joined {
            Ok((id, outcome)) => (id, outcome.map_err(Some)),
            Err(error) => (error.id(), Err(self.panicked(error))),
        };
        let Some(Service { name, stop }) = self.running.remove(&id) else {
            return true;
        };
        let error = match outcome {
            Ok(()) if stop.is_cancelled() => return true,
            Ok(()) => E::from(ServiceError::Ended { name }),
            Err(Some(error)) => error,
            // Only the drop of this set aborts a task.
            Err(None) => return true,
        };
        tracing::error!(
            service = name,
            error = shared::error::chain(&error),
            "a service failed; the program ends"
        );
        self.failure.get_or_insert(error);
        true
    }

    fn panicked(&self, error: JoinError) -> Option<E> {
        let name = self.running.get(&error.id())?.name;
        let message = panic_message(error.try_into_panic().ok()?.as_ref());
        Some(ServiceError::Panicked { name, message }.into())
    }
}

/// Returns the text of a panic's payload.
fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> (Services<ServiceError>, CancellationToken, CancellationToken) {
        let (early, late) = (CancellationToken::new(), CancellationToken::new());
        let mut services = Services::default();
        services.spawn("early", &early, early.clone().cancelled_owned());
        services.spawn("late", &late, late.clone().cancelled_owned());
        (services, early, late)
    }

    #[tokio::test]
    async fn services_end_by_their_tokens_without_a_failure() {
        let (mut services, early, late) = services();
        early.cancel();
        services.ended().await;
        assert_eq!(services.running.len(), 1, "the other one runs on");
        late.cancel();
        services.ended().await;
        services.result().unwrap();
    }

    #[tokio::test]
    async fn the_first_failure_is_kept_and_named() {
        let (mut services, early, _late) = services();
        services.spawn("broken", &early, async { panic!("no {}", "reason") });
        services.failed().await;
        assert!(services.has_failed());
        services.spawn("short", &early, async {});
        early.cancel();
        services.ended().await;
        let error = services.result().unwrap_err();
        assert_eq!(error.to_string(), "service broken panicked: no reason");
    }

    #[tokio::test]
    async fn an_end_that_nobody_asked_for_is_a_failure() {
        let (mut services, early, _late) = services();
        services.spawn("short", &early, async {});
        services.failed().await;
        let error = services.result().unwrap_err();
        assert_eq!(error.to_string(), "service short ended unexpectedly");
    }
}
