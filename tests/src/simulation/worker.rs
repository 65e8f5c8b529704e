//! A simulated worker: the leases that it believes to hold, and its next step. Each step makes at
//! most one call. Without an answer, the worker keeps its state and repeats the same call.

use shared::ids::WorkerId;
use shared::store::{ClaimMode, ClaimOutcome, Claimed, IssueRef, Lease, Release, SettleOutcome};

use crate::simulation::calls::{AskedNext, Claim, Seen};
use crate::simulation::ledger::SHARED_RUN_LIMIT;
use crate::simulation::reviews::needs_review;
use crate::simulation::world::{Late, World};
use crate::store_fixture::{How, LONG, busy, fault};

/// The number of issues that a worker runs at once.
const SLOTS: usize = 2;

/// A worker process.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    /// Whether it has sent a heartbeat, which comes before its first pop.
    is_registered: bool,
    jobs: Vec<Job>,
}

/// A slot: an issue between its pop and its end.
#[derive(Debug)]
enum Job {
    /// Popped; the claim is the next or an unanswered call.
    Popped(Claim),
    /// Claimed; the issue runs.
    Working(Claimed),
    /// The settlement was sent and is not answered.
    Settling(Claimed, How, Option<AskedNext>),
    /// The release was sent and is not answered.
    Releasing(Lease, Release),
}

impl Job {
    fn issue(&self) -> &IssueRef {
        match self {
            Job::Popped(claim) => &claim.issue,
            Job::Working(claimed) | Job::Settling(claimed, ..) => &claimed.lease.issue,
            Job::Releasing(lease, _) => &lease.issue,
        }
    }

    fn lease(&self) -> Option<&Lease> {
        match self {
            Job::Popped(_) => None,
            Job::Working(claimed) | Job::Settling(claimed, ..) => Some(&claimed.lease),
            Job::Releasing(lease, _) => Some(lease),
        }
    }
}

impl Worker {
    pub(super) fn new(id: WorkerId) -> Self {
        Self {
            id,
            is_registered: false,
            jobs: Vec::new(),
        }
    }

    /// Makes one step: a heartbeat, a pop, or one call for one of its issues.
    pub(super) async fn step(&mut self, world: &mut World) -> Seen<()> {
        if !self.is_registered || world.rng.one_in(7) {
            return self.beat(world).await;
        }
        let waits_alone = |job: &Job| {
            matches!(
                job,
                Job::Popped(claim) if claim.claim_mode == ClaimMode::Exclusive
            )
        };
        let (alone, others): (Vec<Job>, Vec<Job>) = std::mem::take(&mut self.jobs)
            .into_iter()
            .partition(waits_alone);
        let is_free = alone.is_empty() && others.len() < SLOTS;
        // An exclusive run waits until the other issues are done.
        let (mut jobs, waiting) = if others.is_empty() {
            (alone, others)
        } else {
            (others, alone)
        };
        let job = if is_free && world.rng.one_in(3) {
            None
        } else {
            world.rng.draw(&mut jobs)
        };
        self.jobs = jobs;
        self.jobs.extend(waiting);
        let Some(job) = job else {
            return self.pop(world).await;
        };
        let next = match job {
            Job::Popped(claim) if world.rng.one_in(12) => give_back(world, claim).await?,
            Job::Popped(claim) => send_claim(world, claim).await?,
            Job::Working(claimed) => judge(world, claimed).await?,
            Job::Settling(claimed, how, next) => settle(world, claimed, how, next).await?,
            Job::Releasing(lease, how) => release(world, lease, how).await?,
        };
        self.jobs.extend(next);
        Ok(())
    }

    /// Extends its leases, drops lost issues, and takes unclaimed elements of its list.
    pub(super) async fn beat(&mut self, world: &mut World) -> Seen<()> {
        let held: Vec<Lease> = self.jobs.iter().filter_map(Job::lease).cloned().collect();
        let Some(beat) = world.beat(&self.id, &held).await? else {
            return Ok(());
        };
        self.is_registered = true;
        let is_ended =
            |issue: &IssueRef| beat.lost.contains(issue) || beat.cancelled.contains(issue);
        self.jobs
            .retain(|job| job.lease().is_none() || !is_ended(job.issue()));
        for issue in beat.unleased {
            // The reply of their pop was lost.
            self.take(world, issue);
        }
        Ok(())
    }

    async fn pop(&mut self, world: &mut World) -> Seen<()> {
        if world.is_late() {
            world.late.push(Late::Pop(self.id.clone()));
            return Ok(());
        }
        if let Some(issue) = world.pop(&self.id).await? {
            self.take(world, issue);
        }
        Ok(())
    }

    /// Takes an element, unless a slot still has that issue: the worker first repeats an unanswered
    /// release, and a later heartbeat returns the element again.
    fn take(&mut self, world: &mut World, issue: IssueRef) {
        if self.jobs.iter().any(|job| *job.issue() == issue) {
            return;
        }
        self.jobs.push(Job::Popped(Claim {
            issue,
            worker: self.id.clone(),
            nonce: world.new_name("n"),
            is_short: !world.is_healed && world.rng.one_in(8),
            claim_mode: ClaimMode::Shared {
                shared_run_limit: SHARED_RUN_LIMIT,
            },
        }));
    }
}

async fn send_claim(world: &mut World, claim: Claim) -> Seen<Option<Job>> {
    if world.is_late() {
        world.late.push(Late::Claim(claim.clone()));
        return Ok(Some(Job::Popped(claim)));
    }
    Ok(match world.claim(&claim).await? {
        None => Some(Job::Popped(claim)),
        Some(ClaimOutcome::Claimed(claimed)) => Some(Job::Working(*claimed)),
        Some(ClaimOutcome::MustBeAlone) => Some(Job::Popped(Claim {
            nonce: world.new_name("n"),
            claim_mode: ClaimMode::Exclusive,
            ..claim
        })),
        Some(_) => None,
    })
}

async fn give_back(world: &mut World, claim: Claim) -> Seen<Option<Job>> {
    let answer = world.return_element(&claim.issue, &claim.worker).await?;
    Ok(answer.is_none().then_some(Job::Popped(claim)))
}

async fn judge(world: &mut World, claimed: Claimed) -> Seen<Option<Job>> {
    if is_poison(&claimed) && !world.is_healed {
        // The issue crashes its worker; pending calls may still be executed.
        let late = if world.rng.one_in(2) {
            Late::Release(claimed.lease, Release::Shutdown)
        } else {
            let next = asked_next(world);
            Late::Settle(Box::new(claimed), How::Applied, next)
        };
        world.late.push(late);
        return Ok(None);
    }
    if world.rng.one_in(4) {
        // The work continues, whatever the outcome.
        world.remember(&claimed.lease).await?;
    }
    let how = match world.rng.roll(14) {
        0 => return release(world, claimed.lease, Release::Shutdown).await,
        1 => return release(world, claimed.lease, fault(0)).await,
        2 => return release(world, claimed.lease, fault(LONG)).await,
        3 => return release(world, claimed.lease, busy(0)).await,
        4 => return release(world, claimed.lease, busy(LONG)).await,
        5 => How::Denied,
        6 => How::Failed,
        7 => How::Dead,
        _ if needs_review(&claimed.lease.issue.issue_id) => How::Review,
        _ => How::Applied,
    };
    let next = asked_next(world);
    settle(world, claimed, how, next).await
}

/// A request for the queue's next issue, which a worker usually makes.
fn asked_next(world: &mut World) -> Option<AskedNext> {
    (!world.rng.one_in(4)).then(|| AskedNext {
        nonce: world.new_name("n"),
        is_short: !world.is_healed && world.rng.one_in(8),
        yields: world.rng.one_in(3),
    })
}

/// Whether the issue crashes every worker that runs it.
fn is_poison(claimed: &Claimed) -> bool {
    claimed.lease.issue.issue_id.as_str().ends_with('7')
}

async fn settle(
    world: &mut World,
    mut claimed: Claimed,
    how: How,
    next: Option<AskedNext>,
) -> Seen<Option<Job>> {
    if world.is_late() {
        let late = Late::Settle(Box::new(claimed.clone()), how, next.clone());
        world.late.push(late);
        return Ok(Some(Job::Settling(claimed, how, next)));
    }
    Ok(match world.settle(&claimed, how, next.as_ref()).await? {
        None => Some(Job::Settling(claimed, how, next)),
        Some((
            SettleOutcome::MovedHead {
                head,
                settings_counter,
            },
            _,
        )) => {
            claimed.head = head;
            claimed.settings_counter = settings_counter;
            Some(Job::Working(claimed))
        }
        Some((_, handed_over)) => handed_over.map(|claimed| Job::Working(*claimed)),
    })
}

async fn release(world: &mut World, lease: Lease, how: Release) -> Seen<Option<Job>> {
    if world.is_late() {
        world.late.push(Late::Release(lease.clone(), how.clone()));
        return Ok(Some(Job::Releasing(lease, how)));
    }
    let answer = world.release(&lease, &how).await?;
    Ok(answer.is_none().then_some(Job::Releasing(lease, how)))
}
