//! The actors that are not workers: submitters, cancellers, and an operator who writes versions,
//! pauses and archives.

use std::collections::BTreeMap;

use shared::blueprint::Blueprint;
use shared::ids::{BlueprintId, IssueId};
use shared::store::{ExpectedHead, IssueRef, PutOutcome};

use crate::factory;
use crate::simulation::calls::Seen;
use crate::simulation::world::{BLUEPRINTS, World};
use crate::store_fixture::{blueprint_id, marked};

/// The maximum number of undecided issues, which keeps the checks of the rules fast.
const MAX_OPEN: usize = 16;

/// The memory of these actors.
#[derive(Debug, Default)]
pub(super) struct Callers {
    /// Unanswered calls, which are repeated.
    unanswered: Vec<Request>,
    /// The head of each Blueprint, as last read by the operator.
    heads: BTreeMap<BlueprintId, Blueprint>,
}

#[derive(Debug)]
enum Request {
    Submit(BlueprintId, IssueId),
    Cancel(IssueRef),
    /// A Blueprint, or `*`.
    Pause(String),
    Resume(String),
}

impl Callers {
    pub(super) async fn submit(&mut self, world: &mut World) -> Seen<()> {
        if world.rng.one_in(3)
            && let Some(request) = world.rng.draw(&mut self.unanswered)
        {
            return self.send(world, request).await;
        }
        let n = BLUEPRINTS.len();
        let name = blueprint_id(BLUEPRINTS[world.rng.roll(2 * n) % (n + 1) % n]);
        let known = &world.ledger.queues[&name].accepted;
        if world.rng.one_in(6)
            && let Some(id) = world.rng.pick(known)
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
            Request::Pause(name) => world.pause(name).await?.is_some(),
            Request::Resume(name) => world.resume(name).await?.is_some(),
        };
        if !is_answered {
            self.unanswered.push(request);
        }
        Ok(())
    }

    pub(super) async fn cancel(&mut self, world: &mut World) -> Seen<()> {
        let known: Vec<IssueRef> = if world.rng.one_in(4) {
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
        match world.rng.pick(&known) {
            Some(issue) => self.send(world, Request::Cancel(issue)).await,
            None => Ok(()),
        }
    }

    pub(super) async fn operate(&mut self, world: &mut World) -> Seen<()> {
        match world.rng.roll(16) {
            12..14 => name_orbit(world, true).await,
            14..16 => name_orbit(world, false).await,
            0 => self.pause(world).await,
            1..3 => self.resume(world).await,
            3 => archive(world, true).await,
            4..8 => archive(world, false).await,
            _ => self.write(world).await,
        }
    }

    /// Writes a version, mostly of a Blueprint whose issue runs.
    async fn write(&mut self, world: &mut World) -> Seen<()> {
        let leased: Vec<BlueprintId> = world
            .ledger
            .running_leases()
            .into_iter()
            .map(|lease| lease.issue.blueprint_id)
            .collect();
        let name = match world.rng.pick(&leased) {
            Some(name) => name,
            None => blueprint_id(BLUEPRINTS[world.rng.roll(BLUEPRINTS.len())]),
        };
        // Few texts, so that an older content can become the head again.
        let mark = format!("by hand {}", world.rng.roll(4));
        let blueprint = runnable(&marked(name.as_str(), &mark, ""));
        let expected = match self.heads.get(&name) {
            Some(head) if world.rng.one_in(2) => ExpectedHead::At(head.version().clone()),
            _ => ExpectedHead::Any,
        };
        if let Some(PutOutcome::Created(_)) = world.put(&blueprint, &expected).await? {
            self.heads.insert(name, blueprint);
        }
        Ok(())
    }

    async fn pause(&mut self, world: &mut World) -> Seen<()> {
        let name = match world.rng.roll(12) {
            0 => "*",
            n => BLUEPRINTS[n % BLUEPRINTS.len()],
        };
        self.send(world, Request::Pause(name.to_owned())).await
    }

    /// Ends every pause in random order, and sometimes one that does not exist.
    pub(super) async fn resume(&mut self, world: &mut World) -> Seen<()> {
        let mut names: Vec<String> = world.ledger.paused.iter().cloned().collect();
        if names.is_empty() {
            names.push(BLUEPRINTS[world.rng.roll(BLUEPRINTS.len())].to_owned());
        }
        while let Some(name) = world.rng.draw(&mut names) {
            self.send(world, Request::Resume(name)).await?;
        }
        Ok(())
    }
}

/// The document with a flow that decides: a setting accepts only a valid orbit.
fn runnable(document: &Blueprint) -> Blueprint {
    let mut value = serde_json::Value::from(document.doc());
    value["flow"] = factory::denying_flow();
    value["agents"] = serde_json::json!([]);
    Blueprint::parse(&value.to_string()).expect("a Blueprint with another flow")
}

/// Makes a setting name a Blueprint as its orbit, by any selector, or deletes all such settings.
pub(super) async fn name_orbit(world: &mut World, is_orbit: bool) -> Seen<()> {
    // Mostly a Blueprint whose issue a worker holds.
    let leased: Vec<BlueprintId> = world
        .ledger
        .running_leases()
        .into_iter()
        .map(|lease| lease.issue.blueprint_id)
        .collect();
    let at = |id: BlueprintId| BLUEPRINTS.iter().position(|name| *name == id.as_str());
    let any = world.rng.roll(BLUEPRINTS.len());
    let chosen = world.rng.pick(&leased).and_then(at).unwrap_or(any);
    let follows = world.rng.one_in(2);
    for (n, name) in BLUEPRINTS.iter().enumerate() {
        let queue = world
            .ledger
            .queues
            .get_mut(&blueprint_id(name))
            .expect("a queue for each");
        let may_be = is_orbit && n == chosen && !queue.is_archived;
        if queue.is_orbit != is_orbit && (may_be || !is_orbit) {
            queue.is_orbit = is_orbit;
            world.fixture.set_orbit(name, is_orbit, follows).await;
            world
                .trace
                .note("orbit", name, if is_orbit { "yes" } else { "no" });
        }
    }
    Ok(())
}

/// Archives a Blueprint, or unarchives all. A Blueprint that a setting names is not archived.
pub(super) async fn archive(world: &mut World, is_archived: bool) -> Seen<()> {
    let chosen = world.rng.roll(BLUEPRINTS.len());
    for (n, name) in BLUEPRINTS.iter().enumerate() {
        let queue = world
            .ledger
            .queues
            .get_mut(&blueprint_id(name))
            .expect("a queue for each");
        let may_be = n == chosen && !queue.is_orbit;
        if queue.is_archived != is_archived && (may_be || !is_archived) {
            queue.is_archived = is_archived;
            world.fixture.set_archived(name, is_archived).await;
            world
                .trace
                .note("archive", name, if is_archived { "yes" } else { "no" });
        }
    }
    Ok(())
}
