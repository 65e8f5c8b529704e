//! Pops elements and starts a dispatch for each, as many at once as there are slots.
//!
//! A slot is reserved before the pop, so that nothing is popped that cannot be worked on. The
//! pop blocks about a second and is never dropped: dropping it would not take the command back,
//! and Redis might move an element that nobody waits for. After any error on the popping
//! connection it is unknown whether an element moved, so the connection is killed from another
//! one, and what lies in the own processing list is dispatched as if popped.
//!
//! Each shard has a consumer of its own; all of them share the worker's slots, which are given out in turn, so that
//! a busy shard starves no other. A consumer that waited for an element with a slot in its hand would keep
//! it from the others. So where there are several, one that finds nothing at once waits without a slot, and gives
//! what comes back if all are taken by then.
//!
//! An issue that has to run alone waits for all slots at once. The semaphore is fair, so while it
//! waits nothing else gets a slot, and nothing is popped.
//!
//! A slot keeps on with what a settle hands over, as long as [`HandOvers`] allows.

use std::sync::Arc;
use std::time::Duration;

use shared::fail_point;
use shared::store::{ConnectionId, IssueRef, PopHandle, Shard, StoreError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::issue::dispatch::{Begun, Dispatcher, Met};
use crate::issue::hand_over::HandOvers;
use crate::issue::slots::{Slots, permits};
use crate::pause::{Pause, RepeatedErrorLog};
use crate::roles::background_loop;

/// How long a pop waits, and so how late the worker may notice that it is to stop.
const BLOCK: Duration = Duration::from_secs(1);

/// The popping role, in one shard.
pub(crate) struct Consumer {
    dispatcher: Arc<Dispatcher>,
    shard: Shard,
    slots: Arc<Slots>,
    found: UnboundedReceiver<IssueRef>,
    stop: CancellationToken,
    /// A popping connection that broke and is not known to be dead: Redis may still move elements for it.
    broken: Option<ConnectionId>,
}

impl Consumer {
    /// A consumer that pops until `stop`, and where to send elements that were popped without it
    /// knowing.
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

    /// Pops until it is to stop. Returns itself, to be drained.
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
                    error_log.about("consumer", &error);
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
                // If Redis is not there, it is given back when the worker signs off, or claimed after a heartbeat.
                if let Some(issue) = IssueRef::parse(&element) {
                    self.dispatcher.give_back(&issue).await;
                }
                return Ok(());
            }
        };
        self.start_element(&element, slot);
        // Where one is there may be more: take what fits without waiting.
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

    /// Waits for an element, about a second or until the worker is to stop: then the pop is not
    /// dropped, but Redis is asked to end it. What came while all slots were taken comes without one.
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
            None => tracing::error!(
                element,
                "the pending list holds something that is no element"
            ),
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

    /// Makes sure that a broken connection moves nothing any more, then looks at what it may have moved.
    async fn clear_up(&self, connection: &ConnectionId) -> Result<(), StoreError> {
        self.shard.kill_connection(connection).await?;
        let listed = self
            .shard
            .processing(self.dispatcher.worker_id.as_str())
            .await?;
        for issue in listed {
            // One that has a lease was not popped: a settle has handed it over, and its answer is on the way.
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

    /// True if nothing can come into the own list any more, once this has ended popping.
    pub(crate) async fn is_over(&self) -> bool {
        match &self.broken {
            Some(id) => self.shard.kill_connection(id).await.is_ok(),
            None => true,
        }
    }
}

/// One element, from its slot to its end, and what is handed over after it.
struct Work {
    dispatcher: Arc<Dispatcher>,
    slots: Arc<Slots>,
    stop: CancellationToken,
}

impl Work {
    async fn run(self, issue: IssueRef, slot: OwnedSemaphorePermit) {
        let mut hand_overs = HandOvers::none_yet(Arc::clone(&self.slots), self.stop.clone());
        let mut begun = Begun::Popped(issue);
        loop {
            let issue = begun.issue().clone();
            let (dispatcher, so_far) = (Arc::clone(&self.dispatcher), hand_overs.clone());
            let running = tokio::spawn(async move { dispatcher.run(begun, &so_far).await });
            let met = running
                .await
                .unwrap_or_else(|panic| ended_by_panic(&issue, &panic));
            if let Met::MustBeAlone = met {
                // Two that wait for all slots while each keeps one would wait for ever.
                drop(slot);
                self.run_alone(&issue).await;
                return self.dispatcher.leases.close(&issue);
            }
            self.dispatcher.leases.close(&issue);
            let Met::HandedOver(next) = met else { return };
            if !self.dispatcher.leases.open(&next.claimed.lease.issue) {
                // It was popped since: the answer came after its lease had run out.
                return;
            }
            hand_overs.add();
            begun = Begun::HandedOver(next);
        }
    }

    async fn run_alone(&self, issue: &IssueRef) {
        let wanted = self.slots.want_all();
        let all_slots = tokio::select! {
            all = Arc::clone(&self.slots.free).acquire_many_owned(permits(self.slots.n)) => all,
            () = self.stop.cancelled() => return self.dispatcher.give_back(issue).await,
        };
        drop(wanted);
        if let Ok(_all) = all_slots {
            let (dispatcher, own) = (Arc::clone(&self.dispatcher), issue.clone());
            let running = tokio::spawn(async move { dispatcher.run_alone(&own).await });
            if let Err(panic) = running.await {
                ended_by_panic(issue, &panic);
            }
        }
    }
}

/// A bug in one issue's way is a failed attempt of that issue, never a dead worker.
fn ended_by_panic(issue: &IssueRef, panic: &tokio::task::JoinError) -> Met {
    tracing::error!(issue_id = %issue.issue_id, %panic, "dispatch ended by a panic; its lease will run out");
    Met::Done
}
