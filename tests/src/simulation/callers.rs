//! Those who are no workers: submitters, cancellers, and an operator who writes versions by hand,
//! pauses and archives.

use std::collections::BTreeMap;

use shared::blueprint::Blueprint;
use shared::ids::{BlueprintId, IssueId};
use shared::store::{ExpectedHead, IssueRef, PutOutcome};

use super::calls::Seen;
use super::world::{BLUEPRINTS, World};
use crate::store_stand::{blueprint_id, marked};

/// No more issues than these are open at once, so that the rules are checked quickly.
const MAX_OPEN: usize = 16;

/// What these actors remember.
#[derive(Debug, Default)]
pub(super) struct Callers {
    /// Submissions and cancellations whose answer did not come: to be repeated.
    unanswered: Vec<Request>,
    /// Queues that were parked when a pause was lifted. Nothing resumes them yet: their heads are
    /// cancelled, which places the next.
    parked: Vec<BlueprintId>,
    /// What the operator took for each head when last looking.
    heads: BTreeMap<BlueprintId, Blueprint>,
}

#[derive(Debug)]
enum Request {
    Submit(BlueprintId, IssueId),
    Cancel(IssueRef),
}

impl Callers {
    pub(super) async fn submit(&mut self, world: &mut World) -> Seen<()> {
        if world.dice.one_in(3)
            && let Some(request) = world.dice.draw(&mut self.unanswered)
        {
            return self.send(world, request).await;
        }
        let n = BLUEPRINTS.len();
        let name = blueprint_id(BLUEPRINTS[world.dice.roll(2 * n) % (n + 1) % n]);
        let known = &world.ledger.queues[&name].accepted;
        if world.dice.one_in(6)
            && let Some(id) = world.dice.pick(known)
        {
            return self.send(world, Request::Submit(name, id)).await;
        }
        if world.ledger.open_issues().count() >= MAX_OPEN {
            return Ok(());
        }
        let id = IssueId::parse(&world.new_name("i")).expect("an id");
        self.send(world, Request::Submit(name, id)).await
    }

    async fn send(&mut self, world: &mut World, request: Request) -> Seen<()> {
        let is_answered = match &request {
            Request::Submit(name, id) => world.submit(name, id).await?.is_some(),
            Request::Cancel(issue) => world.cancel(issue).await?.is_some(),
        };
        if !is_answered {
            self.unanswered.push(request);
        }
        Ok(())
    }

    /// Calls off the head of a queue that is parked and not paused any more, if there is one.
    pub(super) async fn cancel_parked(&mut self, world: &mut World) -> Seen<()> {
        let Some(blueprint_id) = world.dice.draw(&mut self.parked) else {
            return Ok(());
        };
        let head = world.ledger.queues[&blueprint_id].open.front().cloned();
        let issue = head.map(|issue_id| IssueRef {
            blueprint_id,
            issue_id,
        });
        match issue {
            Some(issue) => self.send(world, Request::Cancel(issue)).await,
            None => Ok(()),
        }
    }

    pub(super) async fn cancel(&mut self, world: &mut World) -> Seen<()> {
        if !self.parked.is_empty() {
            return self.cancel_parked(world).await;
        }
        let known: Vec<IssueRef> = if world.dice.one_in(4) {
            world
                .ledger
                .issues
                .values()
                .map(|record| record.issue.clone())
                .collect()
        } else {
            world
                .ledger
                .open_issues()
                .map(|record| record.issue.clone())
                .collect()
        };
        match world.dice.pick(&known) {
            Some(issue) => self.send(world, Request::Cancel(issue)).await,
            None => Ok(()),
        }
    }

    pub(super) async fn operate(&mut self, world: &mut World) -> Seen<()> {
        match world.dice.roll(12) {
            0 => self.pause(world).await,
            1..3 => self.lift(world).await,
            3 => archive(world, true).await,
            4..8 => archive(world, false).await,
            _ => self.write(world).await,
        }
    }

    /// Puts a version by hand, mostly under a Blueprint that somebody works on.
    async fn write(&mut self, world: &mut World) -> Seen<()> {
        let leased: Vec<BlueprintId> = world
            .ledger
            .running_leases()
            .into_iter()
            .map(|lease| lease.issue.blueprint_id)
            .collect();
        let name = match world.dice.pick(&leased) {
            Some(name) => name,
            None => blueprint_id(BLUEPRINTS[world.dice.roll(BLUEPRINTS.len())]),
        };
        // Few texts, so that an older content becomes the head again.
        let mark = format!("by hand {}", world.dice.roll(4));
        let blueprint = marked(name.as_str(), &mark, "");
        let expected = match self.heads.get(&name) {
            Some(head) if world.dice.one_in(2) => ExpectedHead::At(head.version().clone()),
            _ => ExpectedHead::Any,
        };
        if let Some(PutOutcome::Created(_)) = world.put(&blueprint, &expected).await? {
            self.heads.insert(name, blueprint);
        }
        Ok(())
    }

    async fn pause(&mut self, world: &mut World) -> Seen<()> {
        let name = match world.dice.roll(12) {
            0 => "*",
            n => BLUEPRINTS[n % BLUEPRINTS.len()],
        };
        world.stand.pause(name).await;
        world.ledger.paused.insert(name.to_owned());
        world.trace.note("pause", name, "ok");
        Ok(())
    }

    /// Lifts every pause.
    pub(super) async fn lift(&mut self, world: &mut World) -> Seen<()> {
        for name in std::mem::take(&mut world.ledger.paused) {
            world.stand.lift_pause(&name).await;
            world.trace.note("lift", &name, "ok");
        }
        for name in BLUEPRINTS {
            if world.stand.place(name).await == "parked" {
                self.parked.push(blueprint_id(name));
            }
        }
        Ok(())
    }
}

/// Archives a Blueprint, or takes that back for all.
pub(super) async fn archive(world: &mut World, is_archived: bool) -> Seen<()> {
    let chosen = world.dice.roll(BLUEPRINTS.len());
    for (n, name) in BLUEPRINTS.iter().enumerate() {
        let queue = world
            .ledger
            .queues
            .get_mut(&blueprint_id(name))
            .expect("a queue for each");
        if queue.is_archived != is_archived && (n == chosen || !is_archived) {
            queue.is_archived = is_archived;
            world.stand.set_archived(name, is_archived).await;
            world
                .trace
                .note("archive", name, if is_archived { "yes" } else { "no" });
        }
    }
    Ok(())
}
