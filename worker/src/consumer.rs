//! Pops elements and starts a dispatch for each, as many at once as there are slots.
//!
//! A slot is reserved before the pop, so that nothing is popped that cannot be worked on. The
//! pop blocks about a second and is never dropped: dropping it would not take the command back,
//! and Redis might move an element that nobody waits for. After any error on the popping
//! connection it is unknown whether an element moved, so the connection is killed from another
//! one, and what lies in the own processing list is dispatched as if popped.

use std::sync::Arc;
use std::time::Duration;

use shared::store::{IssueRef, PopLink, StoreError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dispatch::Dispatcher;
use crate::held::Stop;
use crate::service::{Complaint, Pause};

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
}

impl Consumer {
    /// A consumer, and where to send elements that were popped without it knowing.
    pub(crate) fn new(
        dispatcher: Arc<Dispatcher>,
        n_slots: usize,
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
            },
            sender,
        )
    }

    /// Pops until `stop`. Returns itself, to be drained.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Consumer {
        let mut link: Option<PopLink> = None;
        let (mut complaint, mut pause) = (Complaint::default(), Pause::default());
        while !stop.is_cancelled() {
            let round = async {
                if link.is_none() {
                    link = Some(self.dispatcher.store.link().pop_link(BLOCK).await?);
                }
                match link.as_mut() {
                    Some(open) => self.run_once(open, &stop).await,
                    None => Ok(()),
                }
            };
            match round.await {
                Ok(()) => pause.reset(),
                Err(error) => {
                    complaint.about("consumer", &error);
                    self.give_up(link.take()).await;
                    pause.wait().await;
                }
            }
        }
        self
    }

    async fn run_once(
        &mut self,
        link: &mut PopLink,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let slot = tokio::select! {
            slot = Arc::clone(&self.slots).acquire_owned() => slot,
            () = stop.cancelled() => return Ok(()),
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
        let Some(element) = link.pop(&from, &to).await? else {
            return Ok(());
        };
        self.start_element(&element, slot);
        // Where one is there may be more: take what fits without waiting.
        let free = self.slots.available_permits();
        if free > 0 && !stop.is_cancelled() {
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
        let dispatcher = Arc::clone(&self.dispatcher);
        self.running.spawn(async move {
            let work = tokio::spawn({
                let (dispatcher, issue) = (Arc::clone(&dispatcher), issue.clone());
                async move { dispatcher.run(&issue).await }
            });
            if let Err(panic) = work.await {
                // A bug in one issue's way is a failed attempt of that issue, never a dead worker.
                tracing::error!(issue_id = %issue.issue_id, %panic, "dispatch ended by a panic; its lease will run out");
            }
            dispatcher.held.close(&issue);
            drop(slot);
        });
    }

    /// Makes sure that a broken connection moves nothing any more, then looks at what it may have moved.
    async fn give_up(&self, link: Option<PopLink>) {
        let Some(link) = link else { return };
        let store = &self.dispatcher.store;
        let id = link.id();
        drop(link);
        let looked = async {
            store.kill_connection(id).await?;
            store.processing(self.dispatcher.worker_id.as_str()).await
        };
        match looked.await {
            Ok(elements) => {
                for issue in elements
                    .into_iter()
                    .filter(|issue| !self.dispatcher.held.is_open(issue))
                {
                    let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                        return;
                    };
                    self.start(issue, slot);
                }
            }
            // The heartbeat lists the same elements once Redis is back.
            Err(error) => tracing::debug!(
                error = shared::error::chain(&error),
                "could not look at the own list yet"
            ),
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
