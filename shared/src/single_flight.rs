//! Shares one run of a piece of work among the tasks that need its result.
//!
//! An asynchronous mutex would release its waiters one after the other. Here all callers wait for
//! the same future, and its result wakes them all at once. Every waiting caller polls the future.
//! The future continues while at least one caller waits, and is dropped with the last one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, WeakShared};

/// The work of one kind in progress, with the key that identifies it.
pub struct SingleFlight<K, T: Clone>(Mutex<Option<UnderWay<K, T>>>);

type UnderWay<K, T> = (K, WeakShared<BoxFuture<'static, T>>);

impl<K, T: Clone> Default for SingleFlight<K, T> {
    fn default() -> Self {
        SingleFlight(Mutex::new(None))
    }
}

impl<K: PartialEq, T: Clone> SingleFlight<K, T> {
    /// Returns the result of the work in progress for `key`. Without such work, it starts `begin`,
    /// which other callers can join. A caller never joins finished work: only the callers that
    /// waited receive its result.
    ///
    /// Cancel safety: a dropped call leaves the work to the remaining callers.
    pub async fn join(&self, key: K, begin: impl FnOnce() -> BoxFuture<'static, T>) -> T {
        let joint = {
            let mut under_way = self.lock();
            let found = under_way.as_ref().filter(|(known, _)| *known == key);
            let found = found.and_then(|(_, work)| work.upgrade());
            match found.filter(|work| work.peek().is_none()) {
                Some(work) => work,
                None => {
                    let work = begin().shared();
                    *under_way = work.downgrade().map(|weak| (key, weak));
                    work
                }
            }
        };
        joint.await
    }

    fn lock(&self) -> MutexGuard<'_, Option<UnderWay<K, T>>> {
        // A panic in `begin` changes nothing in the guarded value.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn all_that_ask_meanwhile_get_what_one_has_done() {
        let flight = SingleFlight::<u8, usize>::default();
        let (times, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let work = || {
            let (times, go) = (Arc::clone(&times), Arc::clone(&go));
            async move {
                go.notified().await;
                times.fetch_add(1, Ordering::Relaxed) + 1
            }
            .boxed()
        };
        let asking = join_all((0..50).map(|_| flight.join(7, work)));
        let (answers, ()) = tokio::join!(asking, async { go.notify_one() });
        assert_eq!(answers, vec![1; 50]);
        // A caller joins neither finished work nor work with another key.
        go.notify_one();
        assert_eq!(flight.join(7, work).await, 2);
        go.notify_one();
        assert_eq!(flight.join(8, work).await, 3);
    }

    #[tokio::test]
    async fn work_that_everybody_has_left_is_begun_anew() {
        let flight = SingleFlight::<(), u8>::default();
        let mut left = Box::pin(flight.join((), || std::future::pending().boxed()));
        assert!(futures::poll!(&mut left).is_pending());
        drop(left);
        assert_eq!(flight.join((), || std::future::ready(1).boxed()).await, 1);
    }
}
