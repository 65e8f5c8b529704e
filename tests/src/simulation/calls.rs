//! Every call of the store in the simulation, each in one function: applies a fault, compares the
//! outcome with the ledger, and checks the rules.
//!
//! A call returns `None` to an actor that gets no answer; only the ledger knows whether it was
//! executed. The actor then follows the protocol and repeats the call.

use shared::blueprint::Blueprint;
use shared::domain::actor::Actor;
use shared::domain::enhance_log::SpawnerUsage;
use shared::domain::issue::Authority;
use shared::ids::{BlueprintId, IssueId, WorkerId};
use shared::store::{
    Beat, CacheOutcome, CachedStep, CancelOutcome, ClaimMode, ClaimOutcome, Claimed, ExpectedHead,
    IssueRef, Lease, NextClaim, PromoteOutcome, PutOutcome, ReapOutcome, Release, ReleaseOutcome,
    ReturnOutcome, SettleOutcome, StoreError, SubmitOutcome,
};

use crate::simulation::ledger::{Ledger, MAX_ATTEMPTS};
use crate::simulation::world::World;
use crate::store_fixture::{Fixture, How, LONG, OVER, new_issue};

/// The authority that cancels issues.
pub(super) const CANCELLER: Authority = Authority::Submitter;

/// The authority that submits an issue: an admin for every second one.
pub(super) fn authority_of(id: &IssueId) -> Authority {
    let last = id.as_str().bytes().last().unwrap_or_default();
    if last.is_multiple_of(2) {
        Authority::Admin
    } else {
        Authority::Submitter
    }
}

/// The result of a call as its actor sees it, or the violated rules.
pub(super) type Seen<T> = Result<T, Vec<String>>;

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Redis does not receive the call.
    RequestLost,
    /// The call is executed, and the caller gets no answer.
    ReplyLost,
    /// The call is executed twice.
    Doubled,
}

impl Fault {
    fn times(self) -> usize {
        match self {
            Fault::RequestLost => 0,
            Fault::None | Fault::ReplyLost => 1,
            Fault::Doubled => 2,
        }
    }
}

/// The subject of a call.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a> {
    blueprint: Option<&'a BlueprintId>,
    issue: Option<&'a IssueId>,
}

pub(super) fn about(issue: &IssueRef) -> About<'_> {
    About {
        blueprint: Some(&issue.blueprint_id),
        issue: Some(&issue.issue_id),
    }
}

impl World {
    fn fault(&mut self) -> Fault {
        if self.is_healed {
            return Fault::None;
        }
        match self.rng.roll(100) {
            0..4 => Fault::RequestLost,
            4..9 => Fault::ReplyLost,
            9..13 => Fault::Doubled,
            _ => Fault::None,
        }
    }

    pub(super) async fn call<T>(
        &mut self,
        name: &str,
        words: &str,
        about: About<'_>,
        make: impl AsyncFn(&Fixture) -> Result<T, StoreError>,
        judge: impl Fn(&mut Ledger, &T) -> &'static str,
    ) -> Seen<Option<T>> {
        let fault = self.fault();
        let mut answer = None;
        for _ in 0..fault.times() {
            let outcome = match make(&self.fixture).await {
                Ok(outcome) => outcome,
                Err(error) => return Err(vec![format!("error: {name} {words}: {error:?}")]),
            };
            let outcome_name = judge(&mut self.ledger, &outcome);
            self.trace.note(name, words, outcome_name);
            self.check(about).await?;
            // The second answer is that of a copy, for which no caller waits.
            answer.get_or_insert(outcome);
        }
        if fault != Fault::None {
            self.trace.note("fault", name, &format!("{fault:?}"));
        }
        Ok(answer.filter(|_| fault != Fault::ReplyLost))
    }

    async fn check(&mut self, about: About<'_>) -> Seen<()> {
        let store = &self.fixture.store;
        let must_be_parked = about
            .blueprint
            .is_some_and(|name| self.ledger.take_parked(name));
        let dropped_by = self.ledger.take_dropped_by();
        let (blueprint, issue) = (about.blueprint, about.issue);
        let check =
            self.invariants
                .check(store, blueprint, issue, must_be_parked, dropped_by.as_ref());
        let found = check.await;
        let mut broken = self.ledger.take_broken();
        broken.extend(found.broken);
        let known = self.ledger.last_decided.as_ref().map(IssueId::as_str);
        if (found.n_decided, found.last_decided.as_str())
            != (self.ledger.n_decided, known.unwrap_or_default())
        {
            broken.push(format!(
                "decided: {} issues are, the last is {:?}; by what was answered it is {} and {known:?}",
                found.n_decided, found.last_decided, self.ledger.n_decided
            ));
        }
        let (is, expected) = ((found.n_over, found.n_due), self.ledger.n_over_and_due());
        if is != expected {
            broken.push(format!(
                "time: {is:?} leases are over and delayed issues due, not {expected:?}"
            ));
        }
        if broken.is_empty() {
            Ok(())
        } else {
            Err(broken)
        }
    }

    pub(super) async fn submit(
        &mut self,
        blueprint: &BlueprintId,
        id: &IssueId,
    ) -> Seen<Option<SubmitOutcome>> {
        let issue = IssueRef {
            blueprint_id: blueprint.clone(),
            issue_id: id.clone(),
        };
        let new = new_issue(blueprint.as_str(), id.as_str()).on_authority(authority_of(id));
        self.call(
            "submit",
            &issue.element(),
            about(&issue),
            async |fixture| fixture.store.submit(&new).await,
            |ledger, outcome| ledger.submitted(&issue, outcome),
        )
        .await
    }

    /// Pops an element. Not a script, so the ledger does not check it; the rules check the position
    /// of the element.
    pub(super) async fn pop(&mut self, worker: &WorkerId) -> Seen<Option<IssueRef>> {
        let answer = self
            .call(
                "pop",
                worker.as_str(),
                About::default(),
                async |fixture| Ok(fixture.pop(worker).await),
                |_, outcome| {
                    if outcome.is_some() {
                        "popped"
                    } else {
                        "nothing"
                    }
                },
            )
            .await?;
        if let Some(Some(issue)) = &answer {
            let words = format!("{worker} {}", issue.element());
            self.trace.note("popped", &words, "ok");
        }
        Ok(answer.flatten())
    }

    pub(super) async fn claim(&mut self, claim: &Claim) -> Seen<Option<ClaimOutcome>> {
        let Claim {
            issue,
            worker,
            nonce,
            is_short,
            claim_mode,
        } = claim;
        let lease_ms = if *is_short { OVER } else { LONG };
        self.call(
            "claim",
            &format!("{} {worker} {nonce} {claim_mode:?}", issue.element()),
            about(issue),
            async |fixture| {
                fixture
                    .store
                    .claim(issue, worker, nonce, lease_ms, None, *claim_mode)
                    .await
            },
            |ledger, outcome| ledger.claimed(claim, outcome),
        )
        .await
    }

    pub(super) async fn settle(
        &mut self,
        claimed: &Claimed,
        how: How,
        asked: Option<&AskedNext>,
    ) -> Seen<Option<(SettleOutcome, Option<Box<Claimed>>)>> {
        let lease = &claimed.lease;
        let next = asked.map(|asked| NextClaim {
            nonce: &asked.nonce,
            lease_ms: if asked.is_short { OVER } else { LONG },
            known: None,
            yields: asked.yields,
        });
        self.call(
            "settle",
            &format!(
                "{} {} {how:?} at {}, next {}",
                lease.issue.element(),
                lease.token,
                claimed.head.seq,
                asked.map_or("-", |asked| &asked.nonce)
            ),
            about(&lease.issue),
            async |fixture| fixture.settle_with(claimed, how, next.as_ref()).await,
            |ledger, (outcome, handed_over)| {
                let name = ledger.settled(lease, how, claimed.head.seq, outcome);
                let is_first = !name.ends_with("again");
                let handed_over = handed_over.as_deref();
                match ledger.handed_over(lease, outcome, asked, handed_over, is_first) {
                    false => name,
                    true if is_first => "handed over",
                    true => "handed over again",
                }
            },
        )
        .await
    }

    pub(super) async fn release(
        &mut self,
        lease: &Lease,
        how: &Release,
    ) -> Seen<Option<ReleaseOutcome>> {
        self.call(
            "release",
            &format!("{} {}", lease.issue.element(), lease.token),
            about(&lease.issue),
            async |fixture| fixture.store.release(lease, how).await,
            |ledger, outcome| ledger.released(lease, how, *outcome),
        )
        .await
    }

    /// Stores a paid output. The ledger accepts it from the holder of the lease, also after its
    /// expiry, and from no other worker.
    pub(super) async fn remember(&mut self, lease: &Lease) -> Seen<Option<CacheOutcome>> {
        let step = CachedStep {
            output: "{}".to_owned(),
            usage: SpawnerUsage::default(),
        };
        self.call(
            "remember",
            &format!("{} {}", lease.issue.element(), lease.token),
            about(&lease.issue),
            async |fixture| fixture.store.cache_step(lease, "a", &step).await,
            |ledger, outcome| ledger.remembered(lease, *outcome),
        )
        .await
    }

    pub(super) async fn return_element(
        &mut self,
        issue: &IssueRef,
        holder: &WorkerId,
    ) -> Seen<Option<ReturnOutcome>> {
        self.call(
            "return",
            &format!("{} of {holder}", issue.element()),
            about(issue),
            async |fixture| fixture.store.return_element(issue, holder.as_str()).await,
            |ledger, outcome| ledger.returned(issue, holder, *outcome),
        )
        .await
    }

    pub(super) async fn promote(&mut self, issue: &IssueRef) -> Seen<Option<PromoteOutcome>> {
        self.call(
            "promote",
            &issue.element(),
            about(issue),
            async |fixture| fixture.store.promote(issue).await,
            |ledger, outcome| ledger.promoted(issue, *outcome),
        )
        .await
    }

    pub(super) async fn reap(&mut self, issue: &IssueRef) -> Seen<Option<ReapOutcome>> {
        self.call(
            "reap",
            &issue.element(),
            about(issue),
            // Without jitter: the issue is due at once, and the run does not depend on wall time.
            async |fixture| fixture.store.reap(issue, MAX_ATTEMPTS, 0.0).await,
            |ledger, outcome| ledger.reaped(issue, outcome),
        )
        .await
    }

    pub(super) async fn cancel(&mut self, issue: &IssueRef) -> Seen<Option<CancelOutcome>> {
        self.call(
            "cancel",
            &issue.element(),
            about(issue),
            async |fixture| fixture.store.cancel_issue(&issue.issue_id, CANCELLER).await,
            |ledger, outcome| ledger.cancelled(issue, outcome),
        )
        .await
    }

    /// Pauses `name`: a Blueprint, or `*`.
    pub(super) async fn pause(&mut self, name: &str) -> Seen<Option<bool>> {
        let target = target(name);
        self.call(
            "pause",
            name,
            About::default(),
            async |fixture| {
                fixture
                    .store
                    .pause_queue(target.as_ref(), &Actor::anonymous())
                    .await
            },
            |ledger, known| ledger.was_paused(name, *known),
        )
        .await
    }

    pub(super) async fn resume(&mut self, name: &str) -> Seen<Option<bool>> {
        let target = target(name);
        self.call(
            "resume",
            name,
            About::default(),
            async |fixture| fixture.store.resume_queue(target.as_ref()).await,
            |ledger, known| ledger.was_resumed(name, *known),
        )
        .await
    }

    pub(super) async fn beat(&mut self, worker: &WorkerId, held: &[Lease]) -> Seen<Option<Beat>> {
        self.call(
            "beat",
            &format!("{worker} {}", held.len()),
            About::default(),
            async |fixture| fixture.store.beat(worker, LONG, held).await,
            |ledger, outcome| ledger.beaten(held, LONG, outcome),
        )
        .await
    }

    pub(super) async fn put(
        &mut self,
        blueprint: &Blueprint,
        expected: &ExpectedHead,
    ) -> Seen<Option<PutOutcome>> {
        let id = blueprint.id();
        let about = About {
            blueprint: Some(id),
            issue: None,
        };
        self.call(
            "put",
            &format!("{id} {}", &blueprint.version().as_str()[..8]),
            about,
            async |fixture| {
                fixture
                    .store
                    .put_blueprint(blueprint, expected.clone(), "by hand")
                    .await
            },
            |ledger, outcome| ledger.put(id, expected, outcome),
        )
        .await
    }

    /// Lets one lease expire, or makes one delayed issue due, by moving its score into the past.
    pub(super) async fn strike(&mut self, index: &str, issue: &IssueRef) -> Seen<()> {
        let element = issue.element();
        self.trace.note("clock", &element, "struck");
        let _: i64 = self
            .fixture
            .raw(&["ZADD", index, "XX", "1", &element])
            .await;
        self.ledger.struck(issue);
        self.check(about(issue)).await
    }

    /// Reads a list of the store, in an order that does not depend on the time of day.
    pub(super) async fn look(
        &mut self,
        name: &str,
        read: impl AsyncFn(&Fixture) -> Result<Vec<IssueRef>, StoreError>,
    ) -> Seen<Vec<IssueRef>> {
        let mut found = read(&self.fixture)
            .await
            .map_err(|error| vec![format!("error: {name}: {error:?}")])?;
        found.sort_by_key(IssueRef::element);
        self.trace.note("look", name, &found.len().to_string());
        Ok(found)
    }
}

/// The Blueprint of that name; `None` for all.
fn target(name: &str) -> Option<BlueprintId> {
    BlueprintId::parse(name).ok()
}

/// The arguments of a claim, kept for a repetition.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) issue: IssueRef,
    pub(super) worker: WorkerId,
    pub(super) nonce: String,
    /// Whether the lease has expired when the claim is answered.
    pub(super) is_short: bool,
    pub(super) claim_mode: ClaimMode,
}

/// A settle's request for the queue's next issue, kept for a repetition.
#[derive(Debug, Clone)]
pub(super) struct AskedNext {
    pub(super) nonce: String,
    /// Whether the lease has expired when the settle is answered.
    pub(super) is_short: bool,
    /// Whether the settle requests nothing while another queue waits in `pending`.
    pub(super) yields: bool,
}
