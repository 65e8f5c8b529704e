//! Pops elements and starts a dispatch for each, up to the number of slots.
//!
//! The consumer reserves a slot before the pop, so that it can run every element that it pops. The
//! pop blocks for about a second and is never dropped. Dropping it would not cancel the command,
//! and Redis might move an element without a receiver. After any error on the popping connection it
//! is unknown whether an element moved. The consumer then kills that connection from another one
//! and dispatches the elements in the worker's own processing list.
//!
//! Each shard has its own consumer. All consumers share the worker's slots, and the semaphore
//! grants slots in order, so a busy shard cannot starve another. With several consumers, a consumer
//! whose first pop returns nothing waits without a slot. If all slots are taken when an element
//! arrives, it returns the element to the queue.
//!
//! An issue that needs an exclusive run waits for all slots at once. The semaphore is fair: during
//! that wait no other task gets a slot, and no consumer pops.
//!
//! A slot continues with the issue that a settle hands over, as long as [`HandOvers`] allows.

use std::sync::Arc;
use std::time::Duration;

use shared::fail_point;
use shared::store::{ConnectionId, IssueRef, PopHandle, Shard, StoreError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::issue::dispatcher::{DispatchStart, Dispatcher, NeedsExclusiveRun};
use crate::issue::hand_over::HandOvers;
use crate::issue::slots::{Slots, permits};
use crate::pause::{Pause, RepeatedErrorLog};
use crate::roles::background_loop;

/// The duration of a blocking pop, and thus the maximum delay before the worker notices a stop.
const BLOCK: Duration = Duration::from_secs(1);

/// The consumer role of one shard.
pub(crate) struct Consumer {
    dispatcher: Arc<Dispatcher>,
    shard: Shard,
    slots: Arc<Slots>,
    found: UnboundedReceiver<IssueRef>,
    stop: CancellationToken,
    /// A failed popping connection that may still be open: Redis may still move elements for it.
    broken: Option<ConnectionId>,
}

impl Consumer {
    /// Returns a consumer that pops until `stop`, and the sender for elements that Redis moved
    /// without this process knowing.
    pub(crate) fn new(
        dispatcher: Arc<Dispatcher>,
        shard: Shard,
        slots: Arc<Slots>,
        stop: CancellationToken,
    ) -> (Consumer, UnboundedSender<IssueRef>) {
        let (sender, found) = unbounded_channel();
        (
            Consumer {
                dispatcher,
                shard,
                slots,
                found,
                stop,
                broken: None,
            },
            sender,
        )
    }

    /// Pops until `stop`. Returns itself, for [`Consumer::is_over`].
    pub(crate) async fn run(mut self) -> Consumer {
        let mut link: Option<PopHandle> = None;
        let (mut error_log, mut pause) = (RepeatedErrorLog::default(), Pause::default());
        while !self.stop.is_cancelled() {
            let round = async {
                if let Some(id) = &self.broken {
                    self.clear_up(id).await?;
                    self.broken = None;
                }
                if link.is_none() {
                    link = Some(self.shard.handle().pop_handle(BLOCK).await?);
                }
                match link.as_mut() {
                    Some(open) => self.run_once(open).await,
                    None => Ok(()),
                }
            };
            match round.await {
                Ok(()) => pause.reset(),
                Err(error) => {
                    error_log.log("consumer", &error);
                    self.broken = link
                        .take()
                        .map(|link| link.id().clone())
                        .or(self.broken.take());
                    pause.wait().await;
                }
            }
        }
        self
    }

    async fn run_once(&mut self, link: &mut PopHandle) -> Result<(), StoreError> {
        let slot = tokio::select! {
            slot = Arc::clone(&self.slots.free).acquire_owned() => slot,
            () = self.stop.cancelled() => return Ok(()),
        };
        let Ok(slot) = slot else { return Ok(()) };
        if let Ok(issue) = self.found.try_recv() {
            self.start(issue, slot);
            return Ok(());
        }
        let keys = self.shard.keys();
        let (from, to) = (
            keys.pending(),
            keys.processing(self.dispatcher.worker_id.as_str()),
        );
        let Some((element, slot)) = self.pop(link, &from, &to, slot).await? else {
            return Ok(());
        };
        fail_point::pass("pop.after");
        let slot = match slot {
            Some(slot) if !self.stop.is_cancelled() => slot,
            _ => {
                // If Redis is unavailable, the element is returned at sign-off, or claimed after a
                // heartbeat.
                if let Some(issue) = IssueRef::parse(&element) {
                    self.dispatcher.return_element(&issue).await;
                }
                return Ok(());
            }
        };
        self.start_element(&element, slot);
        // More elements may be pending: takes as many as there are free slots, without waiting.
        let free = self.slots.free.available_permits();
        if free > 0 && !self.stop.is_cancelled() {
            let permits = Arc::clone(&self.slots.free).try_acquire_many_owned(permits(free));
            let Ok(mut permits) = permits else {
                return Ok(());
            };
            for element in link.pop_ready(&from, &to, free).await? {
                if let Some(slot) = permits.split(1) {
                    self.start_element(&element, slot);
                }
            }
        }
        Ok(())
    }

    /// Waits for an element, for about a second or until the worker stops. On stop it asks Redis to
    /// end the pop instead of dropping it. Returns the element without a slot if all slots are
    /// taken.
    async fn pop(
        &self,
        link: &mut PopHandle,
        from: &str,
        to: &str,
        slot: OwnedSemaphorePermit,
    ) -> Result<Option<(String, Option<OwnedSemaphorePermit>)>, StoreError> {
        let mut slot = Some(slot);
        if self.slots.n_consumers > 1 {
            if let Some(element) = link.pop_ready(from, to, 1).await?.pop() {
                return Ok(Some((element, slot)));
            }
            slot = None;
        }
        let id = link.id().clone();
        let popped =
            background_loop::blocking(&self.shard, &id, &self.stop, link.pop(from, to)).await?;
        let free = || Arc::clone(&self.slots.free).try_acquire_owned().ok();
        Ok(popped.map(|element| (element, slot.or_else(free))))
    }

    fn start_element(&self, element: &str, slot: OwnedSemaphorePermit) {
        match IssueRef::parse(element) {
            Some(issue) => self.start(issue, slot),
            None => tracing::error!(element, "the pending list contains an invalid element"),
        }
    }

    fn start(&self, issue: IssueRef, slot: OwnedSemaphorePermit) {
        if !self.dispatcher.leases.open(&issue) {
            return;
        }
        let work = Work {
            dispatcher: Arc::clone(&self.dispatcher),
            slots: Arc::clone(&self.slots),
            stop: self.stop.clone(),
        };
        self.slots.running.spawn(work.run(issue, slot));
    }

    /// Kills a failed connection, then dispatches the elements that it may have moved.
    async fn clear_up(&self, connection: &ConnectionId) -> Result<(), StoreError> {
        self.shard.kill_connection(connection).await?;
        let listed = self
            .shard
            .processing(self.dispatcher.worker_id.as_str())
            .await?;
        for issue in listed {
            // An issue with a lease was not popped: a settle has handed it over and its answer is
            // pending.
            if self.dispatcher.leases.is_open(&issue) || self.shard.has_lease(&issue).await? {
                continue;
            }
            tokio::select! {
                slot = Arc::clone(&self.slots.free).acquire_owned() => match slot {
                    Ok(slot) => self.start(issue, slot),
                    Err(_) => return Ok(()),
                },
                () = self.stop.cancelled() => return Ok(()),
            }
        }
        Ok(())
    }

    /// True if no more elements can arrive in the worker's own list after the consumer has stopped.
    pub(crate) async fn is_over(&self) -> bool {
        match &self.broken {
            Some(id) => self.shard.kill_connection(id).await.is_ok(),
            None => true,
        }
    }
}

/// The run of one element in its slot, followed by the issues that are handed over to the slot.
struct Work {
    dispatcher: Arc<Dispatcher>,
    slots: Arc<Slots>,
    stop: CancellationToken,
}

impl Work {
    async fn run(self, issue: IssueRef, slot: OwnedSemaphorePermit) {
        let mut hand_overs = HandOvers::new(Arc::clone(&self.slots), self.stop.clone());
        let mut start = DispatchStart::Popped(issue);
        loop {
            let issue = start.issue().clone();
            let (dispatcher, so_far) = (Arc::clone(&self.dispatcher), hand_overs.clone());
            let running = tokio::spawn(async move { dispatcher.run(start, &so_far).await });
            let next = match running.await {
                Ok(Ok(next)) => next,
                Ok(Err(NeedsExclusiveRun)) => {
                    // Two tasks that each hold one slot and wait for all slots would deadlock.
                    drop(slot);
                    self.run_alone(&issue).await;
                    return self.dispatcher.leases.close(&issue);
                }
                Err(panic) => {
                    log_panic(&issue, &panic);
                    None
                }
            };
            self.dispatcher.leases.close(&issue);
            let Some(next) = next else { return };
            if !self.dispatcher.leases.open(&next.claimed.lease.issue) {
                // Already popped: the answer of the settle arrived after the lease had expired.
                return;
            }
            hand_overs.add();
            start = DispatchStart::HandedOver(Box::new(next));
        }
    }

    async fn run_alone(&self, issue: &IssueRef) {
        let wanted = self.slots.want_all();
        let all_slots = tokio::select! {
            all = Arc::clone(&self.slots.free).acquire_many_owned(permits(self.slots.n)) => all,
            () = self.stop.cancelled() => return self.dispatcher.return_element(issue).await,
        };
        drop(wanted);
        if let Ok(_all) = all_slots {
            let (dispatcher, own) = (Arc::clone(&self.dispatcher), issue.clone());
            let running = tokio::spawn(async move { dispatcher.run_alone(&own).await });
            if let Err(panic) = running.await {
                log_panic(issue, &panic);
            }
        }
    }
}

/// Logs a panic. A bug in one issue is a failed attempt of that issue and does not end the worker.
fn log_panic(issue: &IssueRef, panic: &tokio::task::JoinError) {
    tracing::error!(issue_id = %issue.issue_id, %panic, "dispatch ended by a panic; its lease will expire");
}
