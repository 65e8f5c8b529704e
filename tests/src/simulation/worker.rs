//! A simulated worker: what it believes to hold, and what it does next. Each of its steps makes at
//! most one call; an answer that does not come leaves it where it is, to call again the same way.

use shared::ids::WorkerId;
use shared::store::{ClaimMode, ClaimOutcome, Claimed, IssueRef, Lease, Release, SettleOutcome};

use crate::simulation::calls::{AskedNext, Claim, Seen};
use crate::simulation::ledger::SHARED_RUN_LIMIT;
use crate::simulation::world::{Late, World};
use crate::store_fixture::{How, LONG, busy, fault};

/// As many issues a worker has at once.
const SLOTS: usize = 2;

/// One process.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    /// It beats before its first pop.
    is_registered: bool,
    jobs: Vec<Job>,
}

/// One slot: an issue on its way from the pop to its end.
#[derive(Debug)]
enum Job {
    /// Popped; the claim is (to be) sent.
    Popped(Claim),
    /// Claimed and worked on.
    Working(Claimed),
    /// Judged; the settlement is sent and no answer came.
    Settling(Claimed, How, Option<AskedNext>),
    /// Given up; the release is sent and no answer came.
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

    /// One step: a heartbeat, a pop, or one call for one of its issues.
    pub(super) async fn step(&mut self, world: &mut World) -> Seen<()> {
        if !self.is_registered || world.rng.one_in(7) {
            return self.beat(world).await;
        }
        let waits_alone = |job: &Job| matches!(job, Job::Popped(claim) if claim.claim_mode == ClaimMode::Exclusive);
        let (alone, others): (Vec<Job>, Vec<Job>) = std::mem::take(&mut self.jobs)
            .into_iter()
            .partition(waits_alone);
        let is_free = alone.is_empty() && others.len() < SLOTS;
        // Who has to be alone waits until the others are through.
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

    /// Extends its leases, drops what is lost, and takes on what lies in its list unclaimed.
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
            // Popped, and the reply got lost.
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

    /// Takes an element up, unless it is still busy with that issue: a release that got no answer
    /// is repeated first, and the heartbeat tells of the element again.
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
        // It takes the work down with it; what was under way may still arrive.
        let late = if world.rng.one_in(2) {
            Late::Release(claimed.lease, Release::Shutdown)
        } else {
            let next = asked_next(world);
            Late::Settle(claimed, How::Applied, next)
        };
        world.late.push(late);
        return Ok(None);
    }
    if world.rng.one_in(4) {
        // Whatever it answers, the work goes on.
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
        _ => How::Applied,
    };
    let next = asked_next(world);
    settle(world, claimed, how, next).await
}

/// Mostly a worker asks for the queue's next issue.
fn asked_next(world: &mut World) -> Option<AskedNext> {
    (!world.rng.one_in(4)).then(|| AskedNext {
        nonce: world.new_name("n"),
        is_short: !world.is_healed && world.rng.one_in(8),
        yields: world.rng.one_in(3),
    })
}

/// Some issues are never answered by those who work on them.
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
        let late = Late::Settle(claimed.clone(), how, next.clone());
        world.late.push(late);
        return Ok(Some(Job::Settling(claimed, how, next)));
    }
    Ok(match world.settle(&claimed, how, next.as_ref()).await? {
        None => Some(Job::Settling(claimed, how, next)),
        Some((SettleOutcome::MovedHead(head), _)) => {
            claimed.head = head;
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
