//! Takes one issue from claim to settlement.
//!
//! Everything that may go wrong on the way ends in one of four calls: settle (decided), release
//! (given back), nothing (somebody else has it by now), or nothing (Redis is away for longer
//! than the lease is trusted: a reaper will find it).
//!
//! An issue that crashed its worker before may do it again. From its third time on it is claimed
//! *alone*: the caller waits until this worker runs nothing else, so that a poison issue costs its
//! neighbours nothing more.

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

/// How often an issue is worked on anew because the head moved under it.
const MAX_RERUNS: u32 = 10;
/// How many crashes of a worker by one issue are borne beside other issues.
const SHARED_RUN_LIMIT: u32 = 1;

/// What every dispatch works with.
pub(crate) struct Dispatcher {
    pub(crate) store: Store,
    pub(crate) worker_id: WorkerId,
    pub(crate) leases: Arc<Leases>,
    pub(crate) orbits: Orbits,
    pub(crate) host: Arc<FlowHost>,
    /// What runs flows, and whatever else takes time on a document.
    pub(crate) flows: Arc<FlowThreads>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) documents: DocumentCache,
    pub(crate) progress: Progress,
    pub(crate) lease: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) max_retries: u32,
}

/// A claim that was refused because this worker runs other issues.
struct MustBeAlone;

/// What a dispatch begins with.
pub(crate) enum Begun {
    /// A popped element, to be claimed.
    Popped(IssueRef),
    /// An issue that the settle of the one before it has handed over.
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

/// How a dispatch ended.
pub(crate) enum Met {
    /// There is nothing left to do for it.
    Done,
    /// It is to be run alone, and is still in the own list.
    MustBeAlone,
    /// There is nothing left to do for it, and its queue's next issue is this worker's.
    HandedOver(Box<Granted>),
}

/// A lease that was granted.
pub(crate) struct Granted {
    /// The lease, and what the worker needs for it.
    pub(crate) claimed: Claimed,
    /// The document that was named to the store as known: if it is the head, it was not sent, and by now the cache
    /// may hold another.
    known: Option<Arc<Blueprint>>,
    /// Since when the lease may run.
    asked: Instant,
}

/// What became of a settlement.
pub(crate) enum Settled {
    /// The head is another one; the lease is kept.
    Moved(Head),
    /// The issue is through; perhaps the next one was handed over.
    Through(Option<Granted>),
}

/// How the work on one head ended.
enum Worked {
    /// With something to settle.
    Decided(Box<Outcome>),
    /// With a fault that may pass.
    Fault(Box<Fault>),
    /// By being stopped.
    Stopped,
}

impl Dispatcher {
    /// Runs one issue to its end, beside others. Logs what it cannot mend.
    pub(crate) async fn run(self: &Arc<Self>, begun: Begun, hand_overs: &HandOvers) -> Met {
        let next = match begun {
            Begun::HandedOver(granted) => self.run_granted(*granted, None, Some(hand_overs)).await,
            Begun::Popped(issue) => {
                // The last attempt that an issue may have is one alone, as far as there are enough for that.
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

    /// As [`Dispatcher::run`] with a popped element, while this worker runs nothing else.
    pub(crate) async fn run_alone(self: &Arc<Self>, issue: &IssueRef) {
        tracing::warn!(issue_id = %issue.issue_id, "has crashed its worker before; running it alone");
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

    /// Works on a lease until it is through; `popped`: when its element was.
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

    /// The lease; `None` if there is nothing to claim.
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
                // The same nonce again gets the same lease if it was granted.
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

    /// Gives back what was popped and is not going to be claimed. What cannot be given back now is
    /// when the worker signs off, or by a reaper.
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
                // A read is repeated, and costs no attempt, until the lease is not certain any more.
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
        // The text may be long: it moves, and what is left says which head it was.
        let document = claimed.head.document.take();
        let mut head = Arc::new(Head {
            document,
            ..claimed.head.clone()
        });
        for _ in 0..=MAX_RERUNS {
            // Each run has the whole time for itself.
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

    /// The head's document: sent with the claim, or `known` from before it.
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

    /// Settles, and asks for the queue's next issue if `hand_overs` allows it. Repeats the call while
    /// the lease is trusted and it is not known whether it was carried out.
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
        // Telling other shards may take long, and a lease that waits for it is not extended.
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

    /// Whether other shards must be told when this Blueprint is written: it is an orbit in use.
    fn must_tell_of(&self, target: &BlueprintId) -> bool {
        self.store.shards().len() > 1 && self.orbits.names(target)
    }

    /// With several shards: makes the others see that an orbit in use was written. Who cannot be told now
    /// finds out by looking.
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

/// What a claim is known by when it is repeated.
fn new_nonce() -> String {
    format!("{:016x}", fastrand::u64(..))
}
