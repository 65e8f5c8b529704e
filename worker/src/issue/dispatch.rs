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
use std::time::{Duration, Instant, SystemTime};

use shared::blueprint::Blueprint;
use shared::domain::bundled::DEFAULT_TTL_SECS;
use shared::error::chain;
use shared::fail_point;
use shared::ids::{BlueprintId, WorkerId};
use shared::store::{
    ClaimMode, ClaimOutcome, Claimed, Head, IssueRef, Lease, NextClaim, ReturnOutcome,
    SettleOutcome, Settlement, Store, StoreError,
};
use shared::telemetry::trace;
use shared::whole_ms::whole_ms;
use tracing::Instrument;

use crate::flow::flow_threads::FlowThreads;
use crate::flow::{FlowHost, Memory, StepRecorder};
use crate::issue::attempt::{Attempt, Fault, Ran};
use crate::issue::documents::DocumentCache;
use crate::issue::hand_over::HandOvers;
use crate::issue::leases::{Leases, Signal};
use crate::issue::orbits::{Launch, LaunchError, Orbits};
use crate::issue::progress::Progress;
use crate::issue::run_outcome::Outcome;
use crate::metrics::{self, Metrics};
use crate::pause::Pause;

/// The maximum number of reruns of an issue because its head moved.
const MAX_RERUNS: u32 = 10;
/// The maximum number of worker crashes by an issue that still runs beside other issues.
const SHARED_RUN_LIMIT: u32 = 1;

/// The shared state of all dispatches.
pub(crate) struct Dispatcher {
    pub(crate) store: Store,
    pub(crate) worker_id: WorkerId,
    pub(crate) leases: Arc<Leases>,
    pub(crate) orbits: Orbits,
    pub(crate) host: Arc<FlowHost>,
    /// Runs flows and other long work on documents.
    pub(crate) flows: Arc<FlowThreads>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) documents: DocumentCache,
    pub(crate) progress: Progress,
    pub(crate) lease: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) max_retries: u32,
}

/// The claim was refused because this worker runs other issues.
struct MustBeAlone;

/// The start of a dispatch.
pub(crate) enum Begun {
    /// A popped element that is not claimed yet.
    Popped(IssueRef),
    /// An issue that the settle of the previous issue has handed over.
    HandedOver(Box<Granted>),
}

impl Begun {
    /// The issue.
    pub(crate) fn issue(&self) -> &IssueRef {
        match self {
            Begun::Popped(issue) => issue,
            Begun::HandedOver(granted) => &granted.claimed.lease.issue,
        }
    }
}

/// The outcome of a dispatch.
pub(crate) enum Met {
    /// The dispatch is complete.
    Done,
    /// The issue needs an exclusive run and is still in the worker's own list.
    MustBeAlone,
    /// The dispatch is complete, and the worker has a lease on the queue's next issue.
    HandedOver(Box<Granted>),
}

/// A granted lease.
pub(crate) struct Granted {
    /// The lease and the data of its issue.
    pub(crate) claimed: Claimed,
    /// The cached document whose version was sent with the claim. If it is the head, the store did
    /// not send the document. The cache may contain another version by now.
    known: Option<Arc<Blueprint>>,
    /// The earliest possible start of the lease.
    asked: Instant,
}

/// The outcome of a settlement.
pub(crate) enum Settled {
    /// The head has changed; the worker keeps the lease.
    Moved(Head),
    /// The issue is complete; contains the next issue if one was handed over.
    Through(Option<Granted>),
}

/// The outcome of the work on one head.
enum Worked {
    /// The outcome can be settled.
    Decided(Box<Outcome>),
    /// The work failed with a temporary fault.
    Fault(Box<Fault>),
    /// The work was stopped.
    Stopped,
}

impl Dispatcher {
    /// Runs one issue to completion, beside other issues. Logs unrecoverable errors.
    pub(crate) async fn run(self: &Arc<Self>, begun: Begun, hand_overs: &HandOvers) -> Met {
        let next = match begun {
            Begun::HandedOver(granted) => self.run_granted(*granted, None, Some(hand_overs)).await,
            Begun::Popped(issue) => {
                // The last allowed attempt of an issue is exclusive, if `max_attempts` permits.
                let shared_run_limit = SHARED_RUN_LIMIT.min(self.max_attempts.saturating_sub(2));
                let claim_mode = ClaimMode::Shared { shared_run_limit };
                match self.run_in(&issue, claim_mode, Some(hand_overs)).await {
                    Ok(next) => next,
                    Err(MustBeAlone) => return Met::MustBeAlone,
                }
            }
        };
        next.map_or(Met::Done, |next| Met::HandedOver(Box::new(next)))
    }

    /// Runs a popped element like [`Dispatcher::run`], while this worker runs nothing else.
    pub(crate) async fn run_alone(self: &Arc<Self>, issue: &IssueRef) {
        tracing::warn!(issue_id = %issue.issue_id, "has crashed its worker before; running it alone");
        shared::fail_point::event("issue.alone", &[("issue_id", &issue.issue_id)]);
        let _ = self.run_in(issue, ClaimMode::Exclusive, None).await;
    }

    async fn run_in(
        self: &Arc<Self>,
        issue: &IssueRef,
        claim_mode: ClaimMode,
        hand_overs: Option<&HandOvers>,
    ) -> Result<Option<Granted>, MustBeAlone> {
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
        let span = tracing::info_span!("issue", %issue_id, attempt = claimed.attempt,
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

    /// Claims the issue. Returns `None` if it cannot be claimed.
    async fn claim(
        &self,
        issue: &IssueRef,
        claim_mode: ClaimMode,
    ) -> Result<Option<Granted>, MustBeAlone> {
        let nonce = new_nonce();
        let lease_ms = whole_ms(self.lease);
        let known = self.documents.get(&issue.blueprint_id);
        let known_version = known.as_ref().map(|b| b.version());
        let mut pause = Pause::default();
        let deadline = Instant::now() + self.lease;
        let (mut asked, mut is_certain) = (Instant::now(), true);
        loop {
            let claimed = self
                .store
                .claim(
                    issue,
                    &self.worker_id,
                    &nonce,
                    lease_ms,
                    known_version,
                    claim_mode,
                )
                .await;
            match claimed {
                Ok(ClaimOutcome::Claimed(claimed)) => {
                    return Ok(Some(Granted {
                        claimed: *claimed,
                        known,
                        asked,
                    }));
                }
                Ok(ClaimOutcome::MustBeAlone) => return Err(MustBeAlone),
                Ok(other) => {
                    tracing::debug!(issue_id = %issue.issue_id, outcome = ?other, "not claimed");
                    return Ok(None);
                }
                // A repeated claim with the same nonce returns the lease that was already granted.
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    tracing::debug!(issue_id = %issue.issue_id, error = chain(&error), "claim is repeated");
                    is_certain &= error.certainly_not_executed();
                    pause.wait().await;
                    if is_certain {
                        asked = Instant::now();
                    }
                }
                Err(error) => {
                    tracing::warn!(issue_id = %issue.issue_id, error = chain(&error), "could not claim");
                    return Ok(None);
                }
            }
        }
    }

    /// Returns a popped element that this worker does not claim. If the call fails, the worker
    /// returns the element at sign-off, or a reaper does.
    pub(crate) async fn give_back(&self, issue: &IssueRef) {
        let returned = self.store.return_element(issue, self.worker_id.as_str());
        match returned.await {
            Ok(ReturnOutcome::Returned | ReturnOutcome::Gone | ReturnOutcome::NotMine) => {}
            Ok(ReturnOutcome::Leased) => {
                tracing::error!(issue_id = %issue.issue_id, "was claimed by nobody known; its lease will run out");
            }
            Err(error) => {
                tracing::debug!(issue_id = %issue.issue_id, error = chain(&error), "could not give back yet");
            }
        }
    }

    async fn work(
        self: &Arc<Self>,
        mut claimed: Claimed,
        known: Option<Arc<Blueprint>>,
        signal: &Signal,
        hand_overs: Option<&HandOvers>,
    ) -> Option<Granted> {
        let mut pause = Pause::default();
        let launch = loop {
            let blueprint_id = &claimed.lease.issue.blueprint_id;
            match self.orbits.at(claimed.settings_counter, blueprint_id).await {
                Ok(launch) => break launch,
                // A read does not cost an attempt. It is repeated until the lease is no longer
                // trusted.
                Err(LaunchError::Store(error)) if error.is_retryable() => {
                    tracing::debug!(error = chain(&error), "the setting is read again");
                    tokio::select! {
                        () = pause.wait() => {}
                        () = signal.token().cancelled() => {}
                    }
                    if signal.why().is_some() {
                        self.stopped(&claimed, signal).await;
                        return None;
                    }
                }
                Err(error) => {
                    let outcome = Outcome::of_error(&claimed, None, &chain(&error));
                    self.settle(&claimed, claimed.head.seq, outcome, None).await;
                    return None;
                }
            }
        };
        tracing::Span::current().record("setting", launch.setting.id.as_str());
        // Moves the document out, because it may be large; the version of the head stays.
        let document = claimed.head.document.take();
        let mut head = Arc::new(Head {
            document,
            ..claimed.head.clone()
        });
        for _ in 0..=MAX_RERUNS {
            // Each run has the full time limit.
            self.leases.set_ceiling(
                &claimed.lease.issue.issue_id,
                Duration::from_secs(launch.setting.ttl_secs),
            );
            let outcome = match self
                .work_on(&claimed, &head, known.clone(), &launch, signal)
                .await
            {
                Worked::Decided(mut outcome) => {
                    if launch.setting.no_verification {
                        outcome.warn_of_no_verification(&launch.setting.id);
                    }
                    *outcome
                }
                Worked::Fault(fault) => {
                    self.put_off(&claimed, &head, *fault).await;
                    return None;
                }
                Worked::Stopped => {
                    self.stopped(&claimed, signal).await;
                    return None;
                }
            };
            match self.settle(&claimed, head.seq, outcome, hand_overs).await {
                Settled::Moved(moved) => {
                    tracing::info!(from = %head.version, to = %moved.version, "head moved; starting over");
                    head = Arc::new(moved);
                }
                Settled::Through(next) => return next,
            }
        }
        let problem = format!(
            "the head moved {MAX_RERUNS} times while the issue was worked on; retry it when the Blueprint is quieter"
        );
        self.settle(
            &claimed,
            head.seq,
            Outcome::of_error(&claimed, Some(&head), &problem),
            None,
        )
        .await;
        None
    }

    /// Runs the flow once, on this head.
    async fn work_on(
        self: &Arc<Self>,
        claimed: &Claimed,
        head: &Arc<Head>,
        known: Option<Arc<Blueprint>>,
        launch: &Arc<Launch>,
        signal: &Signal,
    ) -> Worked {
        let issue = claimed.lease.issue.clone();
        let steps = Arc::new(StepRecorder::new(&launch.setting.verifier_axes));
        let followed = self
            .progress
            .follow(&issue.issue_id, claimed.attempt, &steps);
        let memory = Memory::of_issue(self.store.clone(), claimed.lease.clone());
        let (intent, started_at_ms) = (claimed.intent.clone(), claimed.claimed_at_ms);
        let (me, launch, head_there) = (Arc::clone(self), Arc::clone(launch), Arc::clone(head));
        let cancel = signal.token().clone();
        let running = self.flows.run(async move {
            let attempt = Attempt {
                prev: me.document(&issue, &head_there, known)?,
                issue,
                intent,
                started_at_ms,
                steps: Some(steps),
                memory,
            };
            Ok((
                attempt.run(&me.host, &launch, &cancel).await,
                attempt.epoch(),
            ))
        });
        let ran: Result<_, StoreError> = running.await;
        followed.end().await;
        if signal.why().is_some() {
            return Worked::Stopped;
        }
        match ran {
            Err(error) => Worked::Decided(Box::new(Outcome::of_error(
                claimed,
                Some(head),
                &chain(&error),
            ))),
            Ok((Ran::Decided(report), epoch)) => {
                Worked::Decided(Box::new(Outcome::of_report(claimed, head, epoch, *report)))
            }
            Ok((Ran::Failed(failure), _)) => {
                Worked::Decided(Box::new(Outcome::of_failure(claimed, head, *failure)))
            }
            Ok((Ran::Fault(fault), _)) => Worked::Fault(fault),
            Ok((Ran::Stopped, _)) => Worked::Stopped,
        }
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

    /// Settles the outcome, and asks for the queue's next issue if `hand_overs` allows it. Repeats
    /// the call while the lease is trusted and the result is unknown.
    pub(crate) async fn settle(
        &self,
        claimed: &Claimed,
        head_seq: u64,
        outcome: Outcome,
        hand_overs: Option<&HandOvers>,
    ) -> Settled {
        let IssueRef {
            blueprint_id,
            issue_id: issue,
        } = &claimed.lease.issue;
        // Notifying other shards may take long, and the lease of a handed-over issue is not
        // extended meanwhile.
        let asks = hand_overs.is_some_and(HandOvers::may_go_on) && !self.must_tell_of(blueprint_id);
        let cached = match outcome.blueprint() {
            None if asks => self.documents.get(blueprint_id),
            _ => None,
        };
        let nonce = new_nonce();
        let next = asks.then(|| NextClaim {
            nonce: &nonce,
            lease_ms: whole_ms(self.lease),
            known: outcome
                .blueprint()
                .or(cached.as_deref())
                .map(Blueprint::version),
            yields: hand_overs.is_some_and(HandOvers::yields),
        });
        let (mut asked, mut is_certain) = (Instant::now(), true);
        let mut pause = Pause::default();
        loop {
            if !self.leases.is_trusted(issue) {
                tracing::warn!("lease is not certain any more; the decision is dropped");
                self.let_go(claimed).await;
                return Settled::Through(None);
            }
            let settled = self
                .settle_once(&claimed.lease, &outcome.settlement(head_seq), next.as_ref())
                .instrument(tracing::debug_span!(target: trace::TARGET, "settle"))
                .await;
            match settled {
                Ok((SettleOutcome::Settled(_), next)) => {
                    outcome.log_settled();
                    outcome.count(&self.metrics);
                    self.tell_of_orbit(blueprint_id).await;
                    let written = outcome.into_blueprint().map(Arc::new);
                    if let Some(written) = &written {
                        self.documents.put(Arc::clone(written));
                    }
                    return Settled::Through(next.map(|claimed| Granted {
                        claimed: *claimed,
                        known: written.or(cached),
                        asked,
                    }));
                }
                Ok((SettleOutcome::MovedHead(head), _)) => return Settled::Moved(head),
                Ok((SettleOutcome::Stale, _)) => {
                    Metrics::count(&self.metrics.stale);
                    tracing::info!("decided or taken over elsewhere; the decision is dropped");
                    return Settled::Through(None);
                }
                Ok((SettleOutcome::Archived, _)) => {
                    Metrics::count(&self.metrics.failed);
                    tracing::info!("blueprint was archived meanwhile; failed");
                    return Settled::Through(None);
                }
                Ok((SettleOutcome::OrbitNeedsAdmin, _)) => {
                    Metrics::count(&self.metrics.failed);
                    tracing::warn!(
                        "blueprint has become an orbit meanwhile, and no admin filed the issue; failed"
                    );
                    return Settled::Through(None);
                }
                Err(error) if error.is_retryable() => {
                    tracing::debug!(error = chain(&error), "settle is repeated");
                    is_certain &= error.certainly_not_executed();
                    pause.wait().await;
                    if is_certain {
                        asked = Instant::now();
                    }
                }
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "could not settle; the lease will run out"
                    );
                    return Settled::Through(None);
                }
            }
        }
    }

    async fn settle_once(
        &self,
        lease: &Lease,
        settlement: &Settlement<'_>,
        next: Option<&NextClaim<'_>>,
    ) -> Result<(SettleOutcome, Option<Box<Claimed>>), StoreError> {
        let settled = match next {
            Some(next) => {
                let settled = self.store.settle_and_claim_next(lease, settlement, next);
                settled.await
            }
            None => {
                let settled = self.store.settle(lease, settlement).await;
                settled.map(|outcome| (outcome, None))
            }
        };
        match &settled {
            Ok((_, Some(_))) => fail_point::pass("hand_over.after"),
            _ => fail_point::pass("settle.after"),
        }
        settled
    }

    /// True if this Blueprint is an orbit in use and other shards need a notification of its
    /// writes.
    fn must_tell_of(&self, target: &BlueprintId) -> bool {
        self.store.shards().len() > 1 && self.orbits.names(target)
    }

    /// Notifies the other shards that an orbit in use was written. A shard that cannot be notified
    /// is covered by the orbit watcher.
    async fn tell_of_orbit(&self, target: &BlueprintId) {
        if self.must_tell_of(target)
            && let Err(error) = self.store.orbit_was_written(target).await
        {
            tracing::debug!(
                error = chain(&error),
                "could not tell the other shards of a new orbit"
            );
        }
    }
}

/// Returns a nonce that identifies a repeated claim.
fn new_nonce() -> String {
    format!("{:016x}", fastrand::u64(..))
}
