//! Takes one issue from claim to settlement.
//!
//! Every dispatch ends in one of four ways:
//!
//! - Settle: the issue is decided.
//! - Release: the issue is given back.
//! - No call: another worker has the issue.
//! - No call: Redis is unavailable for longer than the lease is trusted. A reaper finds the issue.
//!
//! An issue that crashed its worker may do so again. From its third attempt on it needs an
//! *exclusive* run: the caller waits until this worker runs nothing else. A further crash then does
//! not affect other issues.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use shared::blueprint::Blueprint;
use shared::domain::actor::Actor;
use shared::domain::bundled::DEFAULT_TTL_SECS;
use shared::error::chain;
use shared::fail_point;
use shared::store::{ClaimMode, Claimed, Head, IssueRef, StoreError};
use shared::telemetry::trace;
use tracing::Instrument;

use crate::flow::{FlowError, FlowInput, Memory, RunOutcome, StepRecorder};
use crate::issue::dispatcher::{DispatchStart, Dispatcher, Granted, NeedsExclusiveRun};
use crate::issue::hand_over::HandOvers;
use crate::issue::launch::{Launch, LaunchError};
use crate::issue::leases::Signal;
use crate::issue::settlement;
use crate::metrics::{self, Metrics};
use crate::pause::Pause;

/// The maximum number of reruns of an issue because its head moved.
const MAX_RERUNS: u32 = 10;
/// The maximum number of worker crashes by an issue that still runs beside other issues.
const SHARED_RUN_LIMIT: u32 = 1;

impl Dispatcher {
    /// Runs one issue to completion, beside other issues. Logs unrecoverable errors. Returns the
    /// queue's next issue if this worker has been given a lease on it.
    ///
    /// # Errors
    /// [`NeedsExclusiveRun`]: run the issue with [`Dispatcher::run_alone`].
    pub(crate) async fn run(
        self: &Arc<Self>,
        start: DispatchStart,
        hand_overs: &HandOvers,
    ) -> Result<Option<Granted>, NeedsExclusiveRun> {
        match start {
            DispatchStart::HandedOver(granted) => {
                Ok(self.run_granted(*granted, None, Some(hand_overs)).await)
            }
            DispatchStart::Popped(issue) => {
                // The last allowed attempt of an issue is exclusive, if `max_attempts` permits.
                let shared_run_limit = SHARED_RUN_LIMIT.min(self.max_attempts.saturating_sub(2));
                let claim_mode = ClaimMode::Shared { shared_run_limit };
                self.run_in(&issue, claim_mode, Some(hand_overs)).await
            }
        }
    }

    /// Runs a popped element like [`Dispatcher::run`], while this worker runs nothing else.
    pub(crate) async fn run_alone(self: &Arc<Self>, issue: &IssueRef) {
        tracing::warn!(issue_id = %issue.issue_id, "has crashed its worker before; running it exclusively");
        shared::fail_point::event("issue.alone", &[("issue_id", &issue.issue_id)]);
        let _ = self.run_in(issue, ClaimMode::Exclusive, None).await;
    }

    async fn run_in(
        self: &Arc<Self>,
        issue: &IssueRef,
        claim_mode: ClaimMode,
        hand_overs: Option<&HandOvers>,
    ) -> Result<Option<Granted>, NeedsExclusiveRun> {
        let popped = SystemTime::now();
        let Some(granted) = self.claim(issue, claim_mode).await? else {
            return Ok(None);
        };
        fail_point::pass("claim.after");
        Ok(self.run_granted(granted, Some(popped), hand_overs).await)
    }

    /// Works on a lease until the issue is complete. `popped` is the time of the pop.
    async fn run_granted(
        self: &Arc<Self>,
        granted: Granted,
        popped: Option<SystemTime>,
        hand_overs: Option<&HandOvers>,
    ) -> Option<Granted> {
        let Granted {
            claimed,
            known,
            asked,
        } = granted;
        Metrics::count(&self.metrics.claimed);
        let signal = self
            .leases
            .keep(&claimed.lease, asked, Duration::from_secs(DEFAULT_TTL_SECS));
        let issue_id = &claimed.lease.issue.issue_id;
        let actor = claimed.submitted_by.as_ref().map(Actor::as_str);
        let span = tracing::info_span!("issue", %issue_id, attempt = claimed.attempt, actor,
            setting = tracing::field::Empty);
        if let Some(parent) = &claimed.trace {
            trace::continue_from(&span, parent);
            if let Some(popped) = popped {
                trace::record_past("pop", parent, popped);
            }
        }
        if claimed.attempt == 1 {
            let wait_ms = claimed
                .claimed_at_ms
                .saturating_sub(claimed.submitted_at_ms);
            metrics::waited(Duration::from_millis(wait_ms));
        }
        let working = self.work(claimed, known, &signal, hand_overs);
        let next = working.instrument(span).await;
        metrics::claim_ended(asked.elapsed());
        next
    }

    async fn work(
        self: &Arc<Self>,
        mut claimed: Claimed,
        known: Option<Arc<Blueprint>>,
        signal: &Signal,
        hand_overs: Option<&HandOvers>,
    ) -> Option<Granted> {
        let mut launch = self.launch(&claimed, signal).await?;
        tracing::Span::current().record("setting", launch.setting.id.as_str());
        // Moves the document out, because it may be large; the version of the head stays.
        let document = claimed.head.document.take();
        let mut head = Arc::new(Head {
            document,
            ..claimed.head.clone()
        });
        for _ in 0..=MAX_RERUNS {
            let setting = &launch.setting;
            // Each run has the full time limit.
            self.leases.set_time_limit(
                &claimed.lease.issue.issue_id,
                Duration::from_secs(setting.ttl_secs),
            );
            let outcome = self
                .run_flow(&claimed, &head, known.clone(), &launch, signal)
                .await;
            let decision = &outcome.decision;
            if signal.why().is_some() || matches!(decision, Err(FlowError::Cancelled)) {
                self.stopped(&claimed, signal).await;
                return None;
            }
            if let Err(error) = decision
                && error.is_transient()
            {
                self.retry_later(&claimed, &head, error, &outcome).await;
                return None;
            }
            let settlement = settlement::of_run(&claimed, &head, outcome, setting);
            match self.settle(&claimed, settlement, hand_overs).await {
                Ok(next) => return next,
                Err(moved) => {
                    tracing::info!(from = %head.version, to = %moved.head.version,
                        "head or settings moved; starting over");
                    head = Arc::new(moved.head);
                    if claimed.settings_counter != moved.settings_counter {
                        claimed.settings_counter = moved.settings_counter;
                        launch = self.launch(&claimed, signal).await?;
                    }
                }
            }
        }
        let problem = format!(
            "the head moved {MAX_RERUNS} times during the run; retry the issue when the Blueprint changes less often"
        );
        self.fail(&claimed, Some(&head), &problem).await;
        None
    }

    /// Returns the setting and orbit of the issue as of its settings counter; `None` if the work
    /// is stopped or the issue has failed.
    async fn launch(&self, claimed: &Claimed, signal: &Signal) -> Option<Arc<Launch>> {
        let mut pause = Pause::default();
        loop {
            let blueprint_id = &claimed.lease.issue.blueprint_id;
            match self.orbits.at(claimed.settings_counter, blueprint_id).await {
                // A read does not cost an attempt. It is repeated until the lease is no longer
                // trusted.
                Err(LaunchError::Store(error)) if error.is_retryable() => {
                    tracing::debug!(error = chain(&error), "the setting is read again");
                    tokio::select! {
                        () = pause.wait() => {}
                        () = signal.token().cancelled() => {}
                    }
                    if signal.why().is_some() {
                        self.stopped(claimed, signal).await;
                        return None;
                    }
                }
                Ok(launch) => return Some(launch),
                Err(error) => {
                    self.fail(claimed, None, &chain(&error)).await;
                    return None;
                }
            }
        }
    }

    /// Decides the issue as failed.
    async fn fail(&self, claimed: &Claimed, head: Option<&Head>, problem: &str) {
        let settlement = settlement::of_error(claimed, head, problem);
        // A failure does not depend on the head.
        let _ = self.settle(claimed, settlement, None).await;
    }

    /// Runs the flow once, on this head.
    async fn run_flow(
        self: &Arc<Self>,
        claimed: &Claimed,
        head: &Arc<Head>,
        known: Option<Arc<Blueprint>>,
        launch: &Arc<Launch>,
        signal: &Signal,
    ) -> RunOutcome {
        let issue = claimed.lease.issue.clone();
        let steps = Arc::new(StepRecorder::new(&launch.setting.verifier_axes));
        let followed = self
            .progress
            .follow(&issue.issue_id, claimed.attempt, &steps);
        let memory = Memory::of_issue(self.store.clone(), claimed.lease.clone());
        let (intent, started_at_ms) = (claimed.intent.clone(), claimed.claimed_at_ms);
        let stored_patch = claimed.stored_patch.clone();
        let (me, launch, head) = (Arc::clone(self), Arc::clone(launch), Arc::clone(head));
        let cancel = signal.token().clone();
        let running = self.flows.run(async move {
            let prev = match me.document(&issue, &head, known) {
                Ok(prev) => prev,
                Err(error) => return RunOutcome::not_started(error.into()),
            };
            let input = FlowInput {
                steps: Some(steps),
                stored_patch,
                ..launch.input(issue, intent, prev, started_at_ms, memory)
            };
            launch.run(&me.host, &me.store, input, &cancel).await
        });
        let outcome = running.await;
        followed.end().await;
        outcome
    }

    /// Returns the head's document: the one sent with the claim, or `known` from the cache.
    fn document(
        &self,
        issue: &IssueRef,
        head: &Head,
        known: Option<Arc<Blueprint>>,
    ) -> Result<Arc<Blueprint>, StoreError> {
        if let Some(known) = known.filter(|b| *b.version() == head.version) {
            return Ok(known);
        }
        let damaged = |problem: String| StoreError::Damaged {
            what: "document",
            id: issue.blueprint_id.to_string(),
            problem,
        };
        let text = head
            .document
            .as_deref()
            .ok_or_else(|| damaged(format!("version {} has no content", head.version)))?;
        let blueprint =
            Blueprint::from_stored(&head.version, text).map_err(|source| StoreError::Document {
                blueprint_id: issue.blueprint_id.to_string(),
                source,
            })?;
        let blueprint = Arc::new(blueprint);
        self.documents.put(Arc::clone(&blueprint));
        Ok(blueprint)
    }
}
