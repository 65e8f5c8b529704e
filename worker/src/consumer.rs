//! Pops elements and starts a dispatch for each, as many at once as there are slots.
//!
//! A slot is reserved before the pop, so that nothing is popped that cannot be worked on. The
//! pop blocks about a second and is never dropped: dropping it would not take the command back,
//! and Redis might move an element that nobody waits for. After any error on the popping
//! connection it is unknown whether an element moved, so the connection is killed from another
//! one, and what lies in the own processing list is dispatched as if popped.
//!
//! An issue that has to run alone waits for all slots at once. The semaphore is fair, so while it
//! waits nothing else gets a slot, and nothing is popped.

use std::sync::Arc;
use std::time::Duration;

use shared::fail_point;
use shared::store::{ConnectionId, IssueRef, PopLink, StoreError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dispatch::{Dispatcher, Met};
use crate::held::Stop;
use crate::service::{self, Complaint, Pause};

/// How long a pop waits, and so how late the worker may notice that it is to stop.
const BLOCK: Duration = Duration::from_secs(1);
/// How long dispatches get to hand their issues back once they are told to stop.
const HANDING_BACK: Duration = Duration::from_secs(5);

/// The popping role.
pub(crate) struct Consumer {
    dispatcher: Arc<Dispatcher>,
    slots: Arc<Semaphore>,
    n_slots: usize,
    running: TaskTracker,
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
        n_slots: usize,
        stop: CancellationToken,
    ) -> (Consumer, UnboundedSender<IssueRef>) {
        let (sender, found) = unbounded_channel();
        let slots = Arc::new(Semaphore::new(n_slots));
        (
            Consumer {
                dispatcher,
                slots,
                n_slots,
                running: TaskTracker::new(),
                found,
                stop,
                broken: None,
            },
            sender,
        )
    }

    /// Pops until it is to stop. Returns itself, to be drained.
    pub(crate) async fn run(mut self) -> Consumer {
        let mut link: Option<PopLink> = None;
        let (mut complaint, mut pause) = (Complaint::default(), Pause::default());
        while !self.stop.is_cancelled() {
            let round = async {
                if let Some(id) = &self.broken {
                    self.clear_up(id).await?;
                    self.broken = None;
                }
                if link.is_none() {
                    link = Some(self.dispatcher.store.link().pop_link(BLOCK).await?);
                }
                match link.as_mut() {
                    Some(open) => self.run_once(open).await,
                    None => Ok(()),
                }
            };
            match round.await {
                Ok(()) => pause.reset(),
                Err(error) => {
                    complaint.about("consumer", &error);
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

    async fn run_once(&mut self, link: &mut PopLink) -> Result<(), StoreError> {
        let slot = tokio::select! {
            slot = Arc::clone(&self.slots).acquire_owned() => slot,
            () = self.stop.cancelled() => return Ok(()),
        };
        let Ok(slot) = slot else { return Ok(()) };
        if let Ok(issue) = self.found.try_recv() {
            self.start(issue, slot);
            return Ok(());
        }
        let keys = self.dispatcher.store.keys();
        let (from, to) = (
            keys.pending(),
            keys.processing(self.dispatcher.worker_id.as_str()),
        );
        let Some(element) = self.pop(link, &from, &to).await? else {
            return Ok(());
        };
        fail_point::pass("pop.after");
        if self.stop.is_cancelled() {
            // Given back when the worker signs off, and at once if Redis is there.
            if let Some(issue) = IssueRef::parse(&element) {
                self.dispatcher.give_back(&issue).await;
            }
            return Ok(());
        }
        self.start_element(&element, slot);
        // Where one is there may be more: take what fits without waiting.
        let free = self.slots.available_permits();
        if free > 0 && !self.stop.is_cancelled() {
            let permits = Arc::clone(&self.slots).try_acquire_many_owned(free as u32);
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
    /// dropped, but Redis is asked to end it.
    async fn pop(
        &self,
        link: &mut PopLink,
        from: &str,
        to: &str,
    ) -> Result<Option<String>, StoreError> {
        let id = link.id().clone();
        let store = &self.dispatcher.store;
        service::blocking(store, &id, &self.stop, link.pop(from, to)).await
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
        if !self.dispatcher.held.open(&issue) {
            return;
        }
        let work = Work {
            dispatcher: Arc::clone(&self.dispatcher),
            slots: Arc::clone(&self.slots),
            n_slots: self.n_slots as u32,
            stop: self.stop.clone(),
            issue: issue.clone(),
        };
        let dispatcher = Arc::clone(&self.dispatcher);
        self.running.spawn(async move {
            if let Err(panic) = tokio::spawn(work.run(slot)).await {
                // A bug in one issue's way is a failed attempt of that issue, never a dead worker.
                tracing::error!(issue_id = %issue.issue_id, %panic, "dispatch ended by a panic; its lease will run out");
            }
            dispatcher.held.close(&issue);
        });
    }

    /// Makes sure that a broken connection moves nothing any more, then looks at what it may have moved.
    async fn clear_up(&self, connection: &ConnectionId) -> Result<(), StoreError> {
        let store = &self.dispatcher.store;
        store.kill_connection(connection).await?;
        let listed = store.processing(self.dispatcher.worker_id.as_str()).await?;
        let unknown = listed
            .into_iter()
            .filter(|issue| !self.dispatcher.held.is_open(issue));
        for issue in unknown {
            tokio::select! {
                slot = Arc::clone(&self.slots).acquire_owned() => match slot {
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
            Some(id) => self.dispatcher.store.kill_connection(id).await.is_ok(),
            None => true,
        }
    }

    /// Lets what is open finish within `grace`, then has the rest handed back.
    pub(crate) async fn drain(&self, grace: Duration) {
        self.running.close();
        let n_open = self.dispatcher.held.n_open();
        if n_open > 0 {
            tracing::info!(
                n_open,
                n_slots = self.n_slots,
                grace_secs = grace.as_secs(),
                "finishing open issues"
            );
        }
        if tokio::time::timeout(grace, self.running.wait())
            .await
            .is_err()
        {
            tracing::info!(
                n_open = self.dispatcher.held.n_open(),
                "grace period is over; handing the rest back"
            );
            self.dispatcher.held.stop_all(Stop::Shutdown);
            if tokio::time::timeout(HANDING_BACK, self.running.wait())
                .await
                .is_err()
            {
                tracing::warn!(
                    n_open = self.dispatcher.held.n_open(),
                    "some issues could not be handed back; their leases will run out"
                );
            }
        }
    }
}

/// One element, from its slot to its end.
struct Work {
    dispatcher: Arc<Dispatcher>,
    slots: Arc<Semaphore>,
    n_slots: u32,
    stop: CancellationToken,
    issue: IssueRef,
}

impl Work {
    async fn run(self, slot: OwnedSemaphorePermit) {
        if self.dispatcher.run(&self.issue).await == Met::Done {
            return;
        }
        // Two that wait for all slots while each keeps one would wait for ever.
        drop(slot);
        let all_slots = tokio::select! {
            all = Arc::clone(&self.slots).acquire_many_owned(self.n_slots) => all,
            () = self.stop.cancelled() => return self.dispatcher.give_back(&self.issue).await,
        };
        if let Ok(_all) = all_slots {
            self.dispatcher.run_alone(&self.issue).await;
        }
    }
}
