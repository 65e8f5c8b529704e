//! Threads for scripts, which may hold theirs for longer than anybody can allow.
//!
//! A hook stops Lua between two instructions, and nothing stops a library function written in C: one
//! match of a pattern can take longer than the world has existed. So whoever waits for a script does
//! not wait for its thread. When he goes away (the ceiling, a cancel) and the thread is not free
//! [`PATIENCE`] later, it counts as stuck: its slot goes to a new thread, and the log says which
//! script it was. It may come free after all and then serves again; a thread cannot be ended from outside.
//!
//! Every stuck thread takes a core's time from the others. With [`MAX_STUCK`] of them the worker is
//! worn out ([`Threads::worn_out`]): it lets go of what it has and ends, for its supervisor to start
//! a fresh one.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use shared::fail_point;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

/// Threads that run scripts at the same time; further scripts wait for their turn.
const MAX_RUNNING: usize = 256;

/// How long a thread may take to notice that nobody waits any more. The hook takes microseconds, and
/// longer only where single instructions copy very long strings.
const PATIENCE: Duration = Duration::from_millis(900);

/// So many stuck threads wear a worker out.
const MAX_STUCK: usize = 4;

/// A piece of work; what it returns hands the result over.
type Job = Box<dyn FnOnce() -> Delivery + Send>;
type Delivery = Box<dyn FnOnce() + Send>;

/// Why work has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoResult {
    /// It has panicked.
    Panicked,
    /// The system has no thread to spare.
    NoThread,
}

/// Lends threads out.
#[derive(Debug)]
pub(super) struct Threads {
    patience: Duration,
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<mpsc::Sender<Job>>>,
    n_stuck: AtomicUsize,
    worn_out: CancellationToken,
}

impl Threads {
    pub(super) fn new() -> Arc<Threads> {
        Threads::with_patience(PATIENCE)
    }

    fn with_patience(patience: Duration) -> Arc<Threads> {
        Arc::new(Threads {
            patience,
            slots: Arc::new(Semaphore::new(MAX_RUNNING)),
            idle: Mutex::default(),
            n_stuck: AtomicUsize::new(0),
            worn_out: CancellationToken::new(),
        })
    }

    /// Cancelled once so many threads are stuck that the process had better end.
    pub(super) fn worn_out(&self) -> &CancellationToken {
        &self.worn_out
    }

    /// Runs `work`, which is called `name` in the log, on a thread of its own and returns its result.
    ///
    /// # Errors
    /// [`NoResult`] if it panicked, or the system has no more threads; then it has not begun.
    ///
    /// Cancel safety: dropping the future leaves `work` to itself; it is expected to end within
    /// [`PATIENCE`] of whatever its caller tells it.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoResult> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.expect("nobody closes the slots");
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
            // Dropped by a panic as well: the slot is free again.
            let ending = ending;
            let result = work();
            drop(ending);
            // Nobody waits any more: then it is dropped here, on this thread.
            Box::new(move || drop(sender.send(result)))
        }));
        if let Err(error) = given {
            tracing::warn!(%error, name, "no thread could be started for a script");
            return Err(NoResult::NoThread);
        }
        result.await.map_err(|_| NoResult::Panicked)
    }

    /// Gives `job` to the thread that was busy last, or to a new one.
    fn give(self: &Arc<Self>, mut job: Job) -> io::Result<()> {
        loop {
            let idle = self.idle().pop();
            let Some(thread) = idle else { break };
            match thread.send(job) {
                Ok(()) => return Ok(()),
                // It has ended; cannot be, but then there is another.
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
                    // Before the result is there: who waits for it may have the next job at once.
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
             repetitions; its issue was given up, its thread is abandoned and replaced"
        );
        if n_stuck >= MAX_STUCK {
            tracing::error!(
                n_stuck,
                "too many abandoned threads; this worker ends, its supervisor has to start it again"
            );
            self.worn_out.cancel();
        }
    }
}

/// Where a piece of work stands.
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

/// Lives on the thread for as long as the work.
struct Ending {
    threads: Arc<Threads>,
    phase: Arc<Mutex<Phase>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(Phase::Stuck) = change(&self.phase, |_| Some(Phase::Ended)) {
            self.threads.n_stuck.fetch_sub(1, Ordering::Relaxed);
            tracing::info!("an abandoned script has ended after all");
        }
    }
}

/// Lives for as long as somebody waits.
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
        // Without a runtime the process is ending, and its threads with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if has_ended {
            return;
        }
        let (threads, name) = (Arc::clone(&self.threads), std::mem::take(&mut self.name));
        runtime.spawn(async move {
            tokio::time::sleep(threads.patience).await;
            // Dropping the slot that was taken out lets another thread run.
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
        let threads = Threads::with_patience(Duration::from_millis(1));
        let mut releases = Vec::new();
        for n in 1..=MAX_STUCK {
            assert!(!threads.worn_out().is_cancelled());
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
        assert!(threads.worn_out().is_cancelled());
        drop(releases);
        while threads.n_stuck.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
