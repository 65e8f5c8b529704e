//! Chooses the actor of the next step by the seed, one at a time. Every order of calls of real
//! processes is possible, and the same seed gives the same order again.

use crate::simulation::callers::{Callers, archive};
use crate::simulation::calls::Seen;
use crate::simulation::ledger::Record;
use crate::simulation::reviews::Reviewer;
use crate::simulation::worker::Worker;
use crate::simulation::world::World;
use crate::store_audit::{dump, violations};
use crate::store_fixture::worker_id;

/// The number of worker processes. A dead one is replaced by one with a new id.
const WORKERS: usize = 4;
/// The number of steps between two full checks, in which Rust code checks a dump against the rules.
const AUDIT_EVERY: usize = 1000;
/// The maximum number of steps to decide everything after the last fault. More steps show a hang.
const STEPS_TO_FINISH: usize = 5000;

/// All actors.
#[derive(Debug)]
pub(super) struct Scheduler {
    pub(super) world: World,
    callers: Callers,
    reviewer: Reviewer,
    awake: Vec<Worker>,
    asleep: Vec<Worker>,
}

impl Scheduler {
    pub(super) async fn new(seed: u64) -> Self {
        let mut scheduler = Self {
            world: World::new(seed).await,
            callers: Callers::default(),
            reviewer: Reviewer::default(),
            awake: Vec::new(),
            asleep: Vec::new(),
        };
        for _ in 0..WORKERS {
            scheduler.start_worker();
        }
        scheduler
    }

    fn start_worker(&mut self) {
        let id = worker_id(&self.world.new_name("w"));
        self.world.trace.note("start", id.as_str(), "ok");
        self.awake.push(Worker::new(id));
    }

    /// Runs this many steps of the actors, with faults.
    pub(super) async fn run(&mut self, steps: usize) -> Seen<()> {
        for _ in 0..steps {
            self.world.trace.next_step();
            self.step().await?;
            if self.world.trace.step().is_multiple_of(AUDIT_EVERY) {
                self.audit().await?;
            }
        }
        Ok(())
    }

    async fn step(&mut self) -> Seen<()> {
        match self.world.rng.roll(100) {
            0..20 => self.callers.submit(&mut self.world).await,
            20..62 => self.work().await,
            62..65 => self.reviewer.step(&mut self.world).await,
            65..79 => self.world.keep().await,
            79..90 => self.world.tick().await,
            90..92 => self.callers.cancel(&mut self.world).await,
            92..94 => self.callers.operate(&mut self.world).await,
            94..97 => self.world.arrive().await,
            97 => self.die(),
            98 => self.fall_asleep(),
            _ => self.wake().await,
        }
    }

    async fn work(&mut self) -> Seen<()> {
        let at = self.world.rng.roll(self.awake.len());
        self.awake[at].step(&mut self.world).await
    }

    /// Kills a worker, with its memory. Its sent calls may still be executed.
    fn die(&mut self) -> Seen<()> {
        let at = self.world.rng.roll(self.awake.len());
        let dead = self.awake.swap_remove(at).id;
        self.world.trace.note("die", dead.as_str(), "ok");
        self.world.dead.push(dead);
        self.start_worker();
        Ok(())
    }

    /// Suspends a worker. It resumes with its old plan, whatever happened to its leases.
    fn fall_asleep(&mut self) -> Seen<()> {
        if self.awake.len() > 2 {
            let at = self.world.rng.roll(self.awake.len());
            let worker = self.awake.swap_remove(at);
            self.world.trace.note("sleep", worker.id.as_str(), "ok");
            self.world.silent.insert(worker.id.clone());
            self.asleep.push(worker);
        }
        Ok(())
    }

    /// The heartbeat, which is a separate thread, usually resumes first.
    async fn wake(&mut self) -> Seen<()> {
        if let Some(worker) = self.world.rng.draw(&mut self.asleep) {
            self.world.trace.note("wake", worker.id.as_str(), "ok");
            self.world.silent.remove(&worker.id);
            self.awake.push(worker);
            if !self.world.rng.one_in(3) {
                let worker = self.awake.last_mut().expect("it was pushed just now");
                return worker.beat(&mut self.world).await;
            }
        }
        Ok(())
    }

    /// Ends all faults and lets the actors work until everything is decided.
    pub(super) async fn finish(&mut self) -> Seen<()> {
        self.world.is_healed = true;
        while !self.asleep.is_empty() {
            self.wake().await?;
        }
        while !self.world.late.is_empty() {
            self.world.arrive().await?;
        }
        archive(&mut self.world, false).await?;
        self.callers.resume(&mut self.world).await?;
        for _ in 0..STEPS_TO_FINISH {
            if self.world.is_done().await {
                return self.audit().await;
            }
            self.world.trace.next_step();
            match self.world.rng.roll(20) {
                0..11 => self.work().await?,
                11 => self.reviewer.step(&mut self.world).await?,
                12..17 => self.world.keep().await?,
                _ => self.world.tick().await?,
            }
        }
        let open: Vec<&Record> = self.world.ledger.open_issues().collect();
        Err(vec![format!(
            "end: after {STEPS_TO_FINISH} steps without faults some elements are left, and {open:?}"
        )])
    }

    async fn audit(&self) -> Seen<()> {
        let broken = violations(&dump(&self.world.fixture.store).await);
        if broken.is_empty() {
            Ok(())
        } else {
            Err(broken)
        }
    }
}
