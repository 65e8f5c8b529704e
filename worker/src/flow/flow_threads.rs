//! The threads that flows run on.
//!
//! A flow takes its thread for milliseconds at a time. On the threads that also carry connections, a reply of Redis, a
//! beat or a probe would wait behind it, and a task that such a reply wakes would wait for the flow that the thread
//! goes on with. So flows have a runtime of their own, with one thread for each core, and what talks to Redis
//! stays on the caller's.

use std::io;
use std::panic::resume_unwind;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// A runtime for flows. Dropped, it ends without waiting for them.
#[derive(Debug)]
pub(crate) struct FlowThreads(Option<Runtime>);

impl FlowThreads {
    /// So many threads.
    ///
    /// # Errors
    /// What the system says if it gives none.
    pub(crate) fn start(n_threads: usize) -> io::Result<FlowThreads> {
        let mut threads = Builder::new_multi_thread();
        let runtime = threads
            .worker_threads(n_threads)
            .thread_name("flow")
            .enable_all()
            .build()?;
        Ok(FlowThreads(Some(runtime)))
    }

    /// Runs `flow` there and returns its result. A panic of it goes on here.
    ///
    /// Cancel safety: dropping the future drops `flow` the next time that it waits for something.
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
                // Aborted, because the runtime is ending: then so is whoever waits here.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Drop for FlowThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // The last owner may be a task, which must not wait.
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
