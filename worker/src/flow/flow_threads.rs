//! The threads that run flows.
//!
//! A flow blocks its thread for milliseconds at a time. On the threads that also serve connections,
//! a reply of Redis, a heartbeat or a probe would wait for the flow. A task that such a reply wakes
//! would wait for the flow too. Flows therefore have their own runtime with one thread for each
//! core. Calls of Redis stay on the caller's runtime.

use std::io;
use std::panic::resume_unwind;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// A runtime for flows. Dropping it does not wait for running flows.
#[derive(Debug)]
pub(crate) struct FlowThreads(Option<Runtime>);

impl FlowThreads {
    /// Starts the runtime with this number of threads.
    ///
    /// # Errors
    /// The I/O error if the system cannot start the threads.
    pub(crate) fn start(n_threads: usize) -> io::Result<FlowThreads> {
        let mut threads = Builder::new_multi_thread();
        let runtime = threads
            .worker_threads(n_threads)
            .thread_name("flow")
            .enable_all()
            .build()?;
        Ok(FlowThreads(Some(runtime)))
    }

    /// Runs `flow` on this runtime and returns its result. Propagates a panic of the flow.
    ///
    /// Cancel safety: dropping the future drops `flow` at its next await point.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        flow: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let runtime = self.0.as_ref().expect("it is taken out by `drop` only");
        let flow = AbortOnDropHandle::new(runtime.spawn(flow.in_current_span()));
        match flow.await {
            Ok(result) => result,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Aborted, because the runtime is shutting down; so is the task of the caller.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for FlowThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The last owner may be an async task, which must not block.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn a_flow_runs_elsewhere_and_its_panic_comes_back() {
        let flows = FlowThreads::start(1).unwrap();
        let there = flows.run(async { thread::current().id() }).await;
        assert_ne!(there, thread::current().id());
        let panics = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(
            flows.run(async { panic!("as asked") }),
        ));
        let panic: Result<(), _> = panics.await;
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"as asked"));
        assert_eq!(flows.run(async { 7 }).await, 7);
    }

    #[tokio::test]
    async fn a_flow_that_nobody_waits_for_is_dropped() {
        let flows = FlowThreads::start(1).unwrap();
        let (leases, released) = tokio::sync::oneshot::channel::<()>();
        let mut flow = Box::pin(flows.run(async move {
            let _held = leases;
            std::future::pending::<()>().await
        }));
        assert!(futures::poll!(&mut flow).is_pending());
        drop(flow);
        assert!(released.await.is_err());
    }
}
