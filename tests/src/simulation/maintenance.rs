//! The maintenance tasks of workers: reap, promote, return elements of silent workers, and forget
//! workers that left nothing. Also the clock, which expires leases and ends delays.
//!
//! A maintenance task reads a list in one step and acts on it in later ones, so its data is often
//! outdated.

use shared::store::IssueRef;

use crate::simulation::calls::Seen;
use crate::simulation::world::{Chore, Late, World};

/// The number of items that a task reads at once; more than ever exist.
const BATCH: usize = 100;

impl World {
    pub(super) async fn keep(&mut self) -> Seen<()> {
        if self.rng.roll(10) < 7
            && let Some(chore) = self.rng.draw(&mut self.chores)
        {
            return self.work_off(chore).await;
        }
        match self.rng.roll(10) {
            0..3 => {
                let found = self
                    .look("expired", async |fixture| {
                        fixture.store.expired_leases(BATCH).await
                    })
                    .await?;
                self.chores.extend(found.into_iter().map(Chore::Reap));
            }
            3..6 => {
                let found = self
                    .look("due", async |fixture| fixture.store.due_issues(BATCH).await)
                    .await?;
                self.chores.extend(found.into_iter().map(Chore::Promote));
            }
            6..8 => self.look_at_the_silent().await?,
            8 => {
                let found = self
                    .look("due reviews", async |fixture| {
                        fixture.store.due_reviews(BATCH).await
                    })
                    .await?;
                // Also one that is not due any more, or not yet.
                let others = self.ledger.in_review();
                let other = self.rng.pick(&others).filter(|_| self.rng.one_in(4));
                let found = found.into_iter().chain(other);
                self.chores.extend(found.map(Chore::Expire));
            }
            // Acts on a list that is older than a beat, a claim or a promotion.
            _ => {
                let running: Vec<IssueRef> = self
                    .ledger
                    .running_leases()
                    .into_iter()
                    .map(|lease| lease.issue)
                    .collect();
                self.chores.extend(self.rng.pick(&running).map(Chore::Reap));
                let delayed = self.ledger.delayed(false);
                self.chores
                    .extend(self.rng.pick(&delayed).map(Chore::Promote));
            }
        }
        Ok(())
    }

    async fn work_off(&mut self, chore: Chore) -> Seen<()> {
        // An unanswered task is not repeated: a later task finds the item again.
        match chore {
            Chore::Reap(issue) => {
                self.reap(&issue).await?;
            }
            Chore::Promote(issue) => {
                self.promote(&issue).await?;
            }
            Chore::Expire(issue) => {
                self.expire(&issue).await?;
            }
            Chore::Return(issue, worker) => {
                self.return_element(&issue, &worker).await?;
            }
        }
        Ok(())
    }

    /// Reads the list of a worker that is dead or silent.
    async fn look_at_the_silent(&mut self) -> Seen<()> {
        let mut silent = self.dead.clone();
        silent.extend(self.silent.iter().cloned());
        let Some(worker) = self.rng.pick(&silent) else {
            return Ok(());
        };
        let left = self
            .look("silent", async |fixture| {
                fixture.store.processing(worker.as_str()).await
            })
            .await?;
        let is_awaited = self
            .late
            .iter()
            .any(|late| matches!(late, Late::Pop(of) if *of == worker));
        if left.is_empty() && !is_awaited && self.dead.contains(&worker) {
            self.dead.retain(|dead| *dead != worker);
            let forgotten = self.fixture.store.forget_worker(&worker).await;
            forgotten.map_err(|error| vec![format!("error: forget {worker}: {error:?}")])?;
            self.trace.note("forget", worker.as_str(), "ok");
        }
        self.chores.extend(
            left.into_iter()
                .map(|issue| Chore::Return(issue, worker.clone())),
        );
        Ok(())
    }

    /// Lets one lease expire, or makes one delayed issue due; prefers leases of silent holders.
    pub(super) async fn tick(&mut self) -> Seen<()> {
        if self.rng.one_in(12) {
            return self.end_review().await;
        }
        if self.rng.one_in(2) {
            let delayed = self.ledger.delayed(false);
            let Some(issue) = self.rng.pick(&delayed) else {
                return Ok(());
            };
            let index = self.fixture.store.keys().delayed();
            return self.strike(&index, &issue).await;
        }
        let mut leases = self.ledger.running_leases();
        if self.rng.one_in(2) {
            leases.retain(|lease| {
                self.silent.contains(&lease.worker_id) || self.dead.contains(&lease.worker_id)
            });
        }
        let Some(lease) = self.rng.pick(&leases) else {
            return Ok(());
        };
        let index = self.fixture.store.keys().leases();
        self.strike(&index, &lease.issue).await
    }
}
