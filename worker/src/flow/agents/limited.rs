//! The limit of concurrent runs of an agent over all workers (`spec.max_concurrency`).
//!
//! A run holds one of the agent's slots in Redis (see
//! [`agent_slots`](shared::store::workers::agent_slots)) and renews it while it
//! runs. If all slots are held, the run asks again after a pause, for a bounded time. Then the
//! issue goes back to the queue, which does not count as a retry. A longer wait would use up the
//! time limit of the flow. A waiting run holds no lock and no connection, and ends when its step is
//! dropped.
//!
//! Agents with the same kind, name and model (or program) share their slots, even if different
//! orbits or settings declare them. Without a store (`draftsman verifier test`) the limit does not
//! apply.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use shared::blueprint::Doc;
use shared::error::chain;
use shared::ids::sha256_hex;
use shared::store::{SlotOutcome, Store};
use uuid::Uuid;

use crate::flow::agents::Agent;
use crate::flow::error::StepError;
use crate::flow::step_context::StepContext;

/// The lifetime of a slot that is not renewed.
const SLOT_TTL: Duration = Duration::from_secs(15);
/// The interval of renewals.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// The maximum wait of a step for a slot: this duration, or this fraction of its remaining time, if
/// shorter.
const MAX_WAIT: Duration = Duration::from_secs(20);
const WAIT_PART: u32 = 2;
/// The pauses between attempts: from 25 ms, doubled up to 500 ms, and up to as much again at
/// random.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(25))
    .with_max_delay(Duration::from_millis(500))
    .with_jitter()
    .without_max_times();

/// Runs `agent` while it holds a slot.
#[derive(Debug)]
pub(in crate::flow) struct Limited<A> {
    agent: A,
    name: String,
    key: String,
    n_slots: Option<u32>,
}

impl<A: Agent> Limited<A> {
    /// Wraps `agent`, called `name`, with `n_slots` slots, or without a limit. `what` is its model
    /// or its program.
    pub(in crate::flow) fn new(
        agent: A,
        kind: &str,
        name: &str,
        what: &str,
        n_slots: Option<u32>,
    ) -> Self {
        let identity = Doc::array(vec![Doc::from(kind), Doc::from(name), Doc::from(what)]);
        Self {
            agent,
            name: name.to_owned(),
            key: sha256_hex(shared::blueprint::json::emit(&identity).as_bytes()),
            n_slots,
        }
    }

    /// Waits for a slot.
    async fn wait(
        &self,
        store: &Store,
        n_slots: u32,
        deadline: Instant,
    ) -> Result<HeldSlot, StepError> {
        let slot = HeldSlot {
            store: store.clone(),
            agent: self.key.clone(),
            holder: Uuid::now_v7().to_string(),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let until = Instant::now() + MAX_WAIT.min(left / WAIT_PART);
        let mut pauses = PAUSES.build();
        loop {
            let leases = slot.hold(n_slots).await;
            let may_pass = match leases {
                Ok(SlotOutcome::Held) => return Ok(slot),
                Ok(SlotOutcome::Full) => None,
                Err(error) if error.is_retryable() => Some(error),
                Err(error) => return Err(unknown(&error)),
            };
            let pause = pauses.next().expect("the number of pauses is not limited");
            if Instant::now() + pause > until {
                return Err(match may_pass {
                    Some(error) => unknown(&error),
                    None => StepError::Busy {
                        message: format!(
                            "agent {:?} is at its limit: spec.max_concurrency of {n_slots} is reached over all workers",
                            self.name
                        ),
                    },
                });
            }
            tokio::time::sleep(pause).await;
        }
    }
}

fn unknown(error: &shared::store::StoreError) -> StepError {
    StepError::Transient {
        message: format!("the slots of the agent could not be read: {}", chain(error)),
        retry_after: None,
    }
}

#[async_trait]
impl<A: Agent> Agent for Limited<A> {
    async fn run(&self, input: Doc, cx: &StepContext<'_>) -> Result<Doc, StepError> {
        let (Some(n_slots), Some(memory)) = (self.n_slots, cx.run.memory()) else {
            return self.agent.run(input, cx).await;
        };
        let slot = self.wait(memory.store(), n_slots, cx.run.deadline).await?;
        tokio::select! {
            ended = self.agent.run(input, cx) => ended,
            never = slot.keep(n_slots) => match never {},
        }
    }
}

/// A slot that is held or requested. Dropping it frees the slot.
struct HeldSlot {
    store: Store,
    agent: String,
    holder: String,
}

impl HeldSlot {
    async fn hold(&self, n_slots: u32) -> Result<SlotOutcome, shared::store::StoreError> {
        self.store
            .hold_slot(&self.agent, &self.holder, n_slots, SLOT_TTL)
            .await
    }

    /// Renews the slot until the future is dropped.
    async fn keep(&self, n_slots: u32) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            // The run continues even if the renewal fails, because it is already paid for.
            match self.hold(n_slots).await {
                Ok(SlotOutcome::Held) => {}
                Ok(SlotOutcome::Full) => tracing::warn!(
                    "an agent's slot was lost while Redis was unavailable; more than spec.max_concurrency may run for a while"
                ),
                Err(error) => {
                    tracing::debug!(
                        error = chain(&error),
                        "an agent's slot could not be renewed"
                    );
                }
            }
        }
    }
}

impl Drop for HeldSlot {
    fn drop(&mut self) {
        // Without a runtime the process is exiting; the slot then expires.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (store, agent) = (self.store.clone(), std::mem::take(&mut self.agent));
        let holder = std::mem::take(&mut self.holder);
        runtime.spawn(async move {
            if let Err(error) = store.free_slot(&agent, &holder).await {
                tracing::debug!(error = chain(&error), "an agent's slot could not be freed");
            }
        });
    }
}
