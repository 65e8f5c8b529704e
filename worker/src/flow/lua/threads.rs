//! Threads for scripts, which may block their thread for an unlimited time.
//!
//! A hook stops Lua between two instructions, but cannot stop a library function written in C: one
//! pattern match can take practically for ever. The caller of a script therefore does not depend on
//! its thread. If the caller is dropped (time limit, cancellation) and the thread is still busy
//! after [`STOP_TIMEOUT`], the thread counts as stuck. Its slot goes to a new thread, and the log
//! names the script. A stuck thread that becomes free is reused. A thread cannot be killed from
//! outside.
//!
//! Every stuck thread uses one core. With [`MAX_STUCK`] of them the worker needs a restart
//! ([`Threads::restart_needed`]): it releases its issues and exits, and its supervisor starts a new
//! one.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use shared::fail_point;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

/// The maximum number of threads that run scripts concurrently; further scripts wait.
const MAX_RUNNING: usize = 256;

/// The time that a thread has to stop after its caller is dropped. The hook takes microseconds, and
/// longer only if single instructions copy very long strings.
const STOP_TIMEOUT: Duration = Duration::from_millis(900);

/// The number of stuck threads after which the worker needs a restart.
const MAX_STUCK: usize = 4;

/// A job; the function that it returns delivers the result.
type Job = Box<dyn FnOnce() -> Delivery + Send>;
type Delivery = Box<dyn FnOnce() + Send>;

/// The reason why a job has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoResult {
    /// The job panicked.
    Panicked,
    /// The system cannot start another thread.
    NoThread,
}

/// A pool of threads.
#[derive(Debug)]
pub(super) struct Threads {
    stop_timeout: Duration,
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<mpsc::Sender<Job>>>,
    n_stuck: AtomicUsize,
    restart_needed: CancellationToken,
}

impl Threads {
    pub(super) fn new() -> Arc<Threads> {
        Threads::with_stop_timeout(STOP_TIMEOUT)
    }

    fn with_stop_timeout(stop_timeout: Duration) -> Arc<Threads> {
        Arc::new(Threads {
            stop_timeout,
            slots: Arc::new(Semaphore::new(MAX_RUNNING)),
            idle: Mutex::default(),
            n_stuck: AtomicUsize::new(0),
            restart_needed: CancellationToken::new(),
        })
    }

    /// Returns a token that is cancelled when so many threads are stuck that the process should
    /// exit.
    pub(super) fn restart_needed(&self) -> &CancellationToken {
        &self.restart_needed
    }

    /// Runs `work` on its own thread and returns its result. `name` identifies it in the log.
    ///
    /// # Errors
    /// [`NoResult`] if `work` panicked, or the system cannot start a thread. In the second case
    /// `work` has not started.
    ///
    /// Cancel safety: dropping the future does not stop `work`. The caller must stop it, within
    /// [`STOP_TIMEOUT`].
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoResult> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.expect("the slots are never closed");
        let (sender, result) = oneshot::channel();
        let phase = Arc::new(Mutex::new(Phase::Running(slot)));
        let _watched = Watched {
            threads: Arc::clone(self),
            name: name.to_owned(),
            phase: Arc::clone(&phase),
        };
        let ending = Ending {
            threads: Arc::clone(self),
            phase,
        };
        let given = self.give(Box::new(move || {
            // Also dropped by a panic, which frees the slot.
            let ending = ending;
            let result = work();
            drop(ending);
            // If the caller was dropped, this drops the result on this thread.
            Box::new(move || drop(sender.send(result)))
        }));
        if let Err(error) = given {
            tracing::warn!(%error, name, "no thread could be started for a script");
            return Err(NoResult::NoThread);
        }
        result.await.map_err(|_| NoResult::Panicked)
    }

    /// Sends `job` to the most recently used idle thread, or to a new one.
    fn give(self: &Arc<Self>, mut job: Job) -> io::Result<()> {
        loop {
            let idle = self.idle().pop();
            let Some(thread) = idle else { break };
            match thread.send(job) {
                Ok(()) => return Ok(()),
                // The thread has exited. This is not expected; the next one takes the job.
                Err(mpsc::SendError(returned)) => job = returned,
            }
        }
        if let Some(why) = fail_point::fault("script.thread") {
            return Err(io::Error::other(why));
        }
        let (sender, jobs) = mpsc::channel::<Job>();
        let threads = Arc::clone(self);
        std::thread::Builder::new()
            .name("script".to_owned())
            .spawn(move || {
                let mut job = job;
                loop {
                    let deliver = job();
                    // Before the delivery, because the receiver may start the next job immediately.
                    threads.idle().push(sender.clone());
                    deliver();
                    match jobs.recv() {
                        Ok(next) => job = next,
                        Err(mpsc::RecvError) => return,
                    }
                }
            })
            .map(drop)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<Job>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stuck(&self, script: &str) {
        let n_stuck = self.n_stuck.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::error!(
            script,
            n_stuck,
            limit = MAX_STUCK,
            "a script does not stop: it is in a library function that nothing interrupts, most likely a pattern with many \
             repetitions; its issue fails, and its thread is stuck and replaced"
        );
        if n_stuck >= MAX_STUCK {
            tracing::error!(
                n_stuck,
                "too many stuck threads; the worker exits and must be restarted"
            );
            self.restart_needed.cancel();
        }
    }
}

/// The state of a job.
#[derive(Debug)]
enum Phase {
    Running(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit),
    Stuck,
    Ended,
}

fn change(phase: &Mutex<Phase>, to: impl FnOnce(&Phase) -> Option<Phase>) -> Option<Phase> {
    let mut phase = phase.lock().unwrap_or_else(PoisonError::into_inner);
    let next = to(&phase)?;
    Some(std::mem::replace(&mut *phase, next))
}

/// Marks the end of the job when its thread drops it.
struct Ending {
    threads: Arc<Threads>,
    phase: Arc<Mutex<Phase>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(Phase::Stuck) = change(&self.phase, |_| Some(Phase::Ended)) {
            self.threads.n_stuck.fetch_sub(1, Ordering::Relaxed);
            tracing::info!("a stuck script has ended");
        }
    }
}

/// Starts the check for a stuck thread when the caller is dropped.
struct Watched {
    threads: Arc<Threads>,
    name: String,
    phase: Arc<Mutex<Phase>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let phase = Arc::clone(&self.phase);
        let has_ended = matches!(
            *phase.lock().unwrap_or_else(PoisonError::into_inner),
            Phase::Ended
        );
        // Without a runtime the process is exiting, which ends its threads.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if has_ended {
            return;
        }
        let (threads, name) = (Arc::clone(&self.threads), std::mem::take(&mut self.name));
        runtime.spawn(async move {
            tokio::time::sleep(threads.stop_timeout).await;
            // Dropping the old slot lets another thread run.
            let slot = change(&phase, |now| {
                matches!(now, Phase::Running(_)).then_some(Phase::Stuck)
            });
            if slot.is_some() {
                threads.is_stuck(&name);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_serves_again_and_a_panic_is_survived() {
        let threads = Threads::new();
        let id = || std::thread::current().id();
        let first = threads.run("a", id).await.unwrap();
        assert_eq!(threads.run("b", id).await, Ok(first));
        let panics = threads.run("c", || panic!("as asked")).await;
        assert_eq!(panics, Err::<(), _>(NoResult::Panicked));
        assert_ne!(threads.run("d", id).await, Ok(first));
        assert_eq!(threads.slots.available_permits(), MAX_RUNNING);
    }

    #[tokio::test]
    async fn threads_that_do_not_stop_are_replaced_until_there_are_too_many() {
        let threads = Threads::with_stop_timeout(Duration::from_millis(1));
        let mut releases = Vec::new();
        for n in 1..=MAX_STUCK {
            assert!(!threads.restart_needed().is_cancelled());
            let (release, released) = mpsc::channel::<()>();
            releases.push(release);
            let (runs, is_running) = oneshot::channel();
            let waiting = threads.run("stuck", move || {
                let _ = runs.send(());
                let _ = released.recv();
            });
            tokio::select! {
                biased;
                _ = waiting => panic!("it waits for its release"),
                running = is_running => running.unwrap(),
            }
            while threads.n_stuck.load(Ordering::Relaxed) < n {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(threads.slots.available_permits(), MAX_RUNNING);
            assert_eq!(threads.run("next", || 7).await, Ok(7));
        }
        assert!(threads.restart_needed().is_cancelled());
        drop(releases);
        while threads.n_stuck.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
