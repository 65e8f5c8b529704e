//! The services of a program: named tasks, each of which runs until it is told to stop.
//!
//! A service that panics, returns an error, or returns before it was told to stop has failed. The
//! first failure ends the program: [`Services::failed`] resolves, the program shuts down in its
//! usual order, and [`Services::result`] has the error for the exit status. Without this, a program
//! whose reaper or consumer is dead passes every probe.
//!
//! A program has one [`Services`] for all its roles. Services that must outlive others (a heartbeat
//! outlives the consumer) get a token of their own; [`Services::ended`] waits for those whose token
//! is cancelled. Dropping [`Services`] aborts what still runs.
//!
//! The fail point `service.<name>` is passed when a service starts: `panic` makes it panic,
//! `return(end)` makes it return.

use std::any::Any;
use std::collections::HashMap;

use shared::fail_point;
use thiserror::Error;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// A service ended although the program was not asked to stop it: a defect of the program.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// It returned.
    #[error("service {name} ended by itself")]
    Ended {
        /// The service.
        name: &'static str,
    },
    /// It panicked.
    #[error("service {name} panicked: {message}")]
    Panicked {
        /// The service.
        name: &'static str,
        /// What the panic says.
        message: String,
    },
}

/// The services of one program, and the first failure among them.
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
    /// Starts a service that may return only once `stop` is cancelled. Several services may share a
    /// name. Must be called inside a runtime.
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

    /// As [`Services::spawn`], for a service that may fail with an error, which is then the failure
    /// of the program.
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

    /// Resolves once a service has failed, and logs which one. Cancel safe.
    pub async fn failed(&mut self) {
        while self.failure.is_none() && self.next().await {}
        if self.failure.is_none() {
            // Nothing runs that could fail.
            std::future::pending::<()>().await;
        }
    }

    /// Resolves once every service has ended whose token is cancelled. Logs each failure. Cancel
    /// safe.
    pub async fn ended(&mut self) {
        while self.running.values().any(|s| s.stop.is_cancelled()) && self.next().await {}
    }

    /// True if a service has failed.
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Aborts what still runs, and returns the first failure, if there was one.
    ///
    /// # Errors
    /// The error of the first service that failed.
    pub fn result(self) -> Result<(), E> {
        self.failure.map_or(Ok(()), Err)
    }

    /// Waits for the end of one service; false if none runs. Cancel safe.
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

/// The text of a panic's payload.
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
        assert_eq!(error.to_string(), "service short ended by itself");
    }
}
