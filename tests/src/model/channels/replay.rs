//! Replays random traces of the model on the real scripts and a real Redis.
//!
//! After each call, the reply, the messages and the content of Redis must equal the model's. So
//! neither side can change alone.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::blueprint::Blueprint;
use shared::domain::actor::Actor;
use shared::domain::channel::MAX_CHANNELS;
use shared::ids::{BlueprintId, ChannelName, Version};
use shared::store::redis::keys::HEADS_CHANNEL;
use shared::store::{
    ArchiveOutcome, DeleteChannelOutcome, ExpectedHead, PutOutcome, SetChannel, SetChannelOutcome,
    StoreError,
};

use crate::events::Events;
use crate::model::channels::mistakes::Mistake;
use crate::model::channels::scenarios::Scenario;
use crate::model::channels::scripts::Message;
use crate::model::channels::state::{ChannelNo, Redis, Reply, Request, VersionNo};
use crate::model::channels::{Action, Channels, Outcome};
use crate::rng::SeededRng;
use crate::store_fixture::{Fixture, blueprint_id, marked};

const BLUEPRINT: &str = "b";
/// The number of channel names in the largest scenario.
const MAX_NUMBER: ChannelNo = 2;

/// What a replay has compared.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The number of calls of all traces.
    pub n_calls: usize,
    /// Every outcome of the calls.
    pub seen: BTreeSet<Outcome>,
}

/// Replays random traces of a scenario, with or without a mistake of the model. The same seed gives
/// the same traces. Deletes the content of the fixture's Redis.
///
/// # Errors
/// The first difference, with the trace to it.
///
/// # Panics
/// If Redis does not answer.
pub async fn replay(
    fixture: &Fixture,
    scenario: Scenario,
    mistake: Option<Mistake>,
    n_traces: usize,
    seed: u64,
) -> Result<Replayed, String> {
    let model = Channels::new(scenario, mistake);
    let events = Events::subscribe(&fixture.redis, HEADS_CHANNEL).await;
    let mut stage = Stage { fixture, events };
    let mut replayed = Replayed::default();
    for trace in 0..n_traces {
        let mut rng = SeededRng::part(seed, trace as u64);
        stage.begin(&model.scenario).await;
        let (mut state, mut way) = (model.scenario.first_state(), Vec::new());
        loop {
            let mut steps = model.steps(&state);
            let Some(action) = rng.draw(&mut steps) else {
                break;
            };
            way.push(action);
            let (after, executed) = model.step(&state, action);
            if let (Some(executed), Action::Execute(request) | Action::Double(request)) =
                (executed, action)
            {
                let reply = stage.call(request).await;
                let is = (reply, stage.messages().await, stage.content().await);
                let should_be = (
                    reply_text(&executed.reply),
                    Vec::from_iter(executed.message.map(|message| json_of(&message))),
                    content_of(&after.redis),
                );
                if is != should_be {
                    return Err(format!(
                        "{}: {action:?}\nRedis: {is:#?}\nthe model: {should_be:#?}\nafter {way:#?}",
                        model.scenario.name
                    ));
                }
                replayed.n_calls += 1;
                let outcome = (request.verb(), executed.reply.outcome());
                replayed.seen.insert(outcome);
            }
            state = after;
        }
    }
    Ok(replayed)
}

/// The Blueprint on a real Redis.
struct Stage<'a> {
    fixture: &'a Fixture,
    events: Events,
}

fn id() -> BlueprintId {
    blueprint_id(BLUEPRINT)
}

/// The document of a version.
fn document(version: VersionNo) -> Blueprint {
    marked(BLUEPRINT, &format!("content {version}"), "")
}

fn version(version: VersionNo) -> Version {
    document(version).version().clone()
}

fn channel(channel: ChannelNo) -> ChannelName {
    ChannelName::parse(&format!("c{channel}")).expect("a name")
}

fn actor() -> Actor {
    Actor::parse("replay").expect("an actor")
}

fn answer<T>(answer: Result<T, StoreError>) -> T {
    answer.expect("the store answers")
}

impl Stage<'_> {
    /// Writes the first state. Other channels fill the Blueprint up to the limit of the scenario.
    async fn begin(&mut self, scenario: &Scenario) {
        let _: String = self.fixture.raw(&["FLUSHALL"]).await;
        for version in scenario.commits {
            self.fixture.put(&document(*version)).await;
        }
        let key = self.fixture.store.keys().channels(&id());
        for n in scenario.limit..MAX_CHANNELS {
            let _: i64 = self
                .fixture
                .raw(&["HSET", &key, &format!("other-{n}"), "{}"])
                .await;
        }
        self.messages().await;
    }

    /// Executes a call, and returns its reply as text.
    async fn call(&self, request: Request) -> String {
        let (store, id) = (&self.fixture.store, id());
        match request {
            Request::Set {
                channel: number,
                version: to,
                expected,
            } => {
                let (channel, to, actor) = (channel(number), version(to), actor());
                let set = SetChannel {
                    blueprint_id: &id,
                    channel: &channel,
                    version: &to,
                    expected_revision: expected.map(u64::from),
                    actor: &actor,
                    reason: "",
                };
                let whole = &self.fixture.whole;
                let used = answer(whole.channel_use(&id, &channel).await);
                match answer(whole.set_checked_channel(&set, &used).await) {
                    Some(SetChannelOutcome::Moved(to)) => pointer("moved", to.seq, to.revision),
                    Some(SetChannelOutcome::Unchanged(at)) => {
                        pointer("unchanged", at.seq, at.revision)
                    }
                    Some(SetChannelOutcome::UnknownBlueprint) => "unknown".to_owned(),
                    Some(SetChannelOutcome::Archived) => "archived".to_owned(),
                    Some(SetChannelOutcome::ChannelMoved { actual }) => {
                        format!("channel_moved {actual}")
                    }
                    Some(SetChannelOutcome::UnknownVersion) => "unknown_version".to_owned(),
                    Some(SetChannelOutcome::TooManyChannels) => "too_many".to_owned(),
                    None => "orbit_in_use".to_owned(),
                }
            }
            Request::Delete {
                channel: number,
                expected,
            } => {
                let expected = expected.map(u64::from);
                let (channel, actor) = (channel(number), actor());
                let deleted = store.delete_channel(&id, &channel, expected, &actor);
                match answer(deleted.await) {
                    DeleteChannelOutcome::Deleted => "deleted".to_owned(),
                    DeleteChannelOutcome::UnknownBlueprint => "unknown".to_owned(),
                    DeleteChannelOutcome::Archived => "archived".to_owned(),
                    DeleteChannelOutcome::UnknownChannel => "unknown_channel".to_owned(),
                    DeleteChannelOutcome::ChannelMoved { actual } => {
                        format!("channel_moved {actual}")
                    }
                    DeleteChannelOutcome::InUse(_) => "in_use".to_owned(),
                }
            }
            Request::Put(version) => {
                let document = document(version);
                let put = store.put_blueprint(&document, ExpectedHead::Any, "by hand");
                match answer(put.await) {
                    PutOutcome::Created(_) => "created".to_owned(),
                    PutOutcome::Unchanged(_) => "unchanged".to_owned(),
                    PutOutcome::Archived => "archived".to_owned(),
                    other => format!("{other:?}"),
                }
            }
            Request::Archive(is_archived) => {
                match answer(store.set_archived(&id, is_archived).await) {
                    ArchiveOutcome::Done(_) => "done".to_owned(),
                    ArchiveOutcome::Unknown => "unknown".to_owned(),
                    ArchiveOutcome::InUse(_) => "in_use".to_owned(),
                }
            }
        }
    }

    /// The messages since the last call.
    async fn messages(&mut self) -> Vec<Value> {
        self.events.so_far(&self.fixture.redis, HEADS_CHANNEL).await
    }

    /// The content of Redis as text.
    async fn content(&self) -> String {
        let (store, id) = (&self.fixture.store, id());
        let head: Vec<Option<String>> = self
            .fixture
            .raw(&[
                "HMGET",
                &store.keys().blueprint(&id),
                "seq",
                "version",
                "archived",
            ])
            .await;
        let [seq, head, archived] = &head[..] else {
            panic!("three fields")
        };
        let mut lines = vec![format!(
            "head {} {} archived {}",
            seq.as_deref().unwrap_or("0"),
            head.as_deref().unwrap_or("-"),
            archived.as_deref().unwrap_or("0"),
        )];
        for number in 0..MAX_NUMBER {
            let name = channel(number);
            if let Some(channel) = answer(store.channel(&id, &name).await) {
                let (to, seq, revision) = (channel.version, channel.seq, channel.revision);
                lines.push(format!("{name} {to}@{seq} revision {revision}"));
            }
        }
        let n_moves = answer(store.n_channel_moves(&id).await).unwrap_or_default();
        if n_moves > 0 {
            let moves = answer(store.channel_moves(&id, 0, n_moves).await);
            lines.extend(moves.into_iter().map(|moved| {
                move_text(
                    &moved.channel,
                    moved.from.as_ref(),
                    moved.to.as_ref(),
                    moved.seq,
                    moved.revision,
                )
            }));
        }
        lines.join("\n")
    }
}

fn pointer(outcome: &str, seq: u64, revision: u64) -> String {
    format!("{outcome} {seq} revision {revision}")
}

fn reply_text(reply: &Reply) -> String {
    match reply {
        Reply::Moved(to) | Reply::Unchanged(to) => {
            pointer(reply.outcome(), to.seq.into(), to.revision.into())
        }
        Reply::ChannelMoved(actual) => format!("channel_moved {actual}"),
        other => other.outcome().to_owned(),
    }
}

fn move_text(
    channel: &ChannelName,
    from: Option<&Version>,
    to: Option<&Version>,
    seq: u64,
    revision: u64,
) -> String {
    let text = |version: Option<&Version>| version.map_or("-".to_owned(), Version::to_string);
    format!(
        "{channel} from {} to {}@{seq} revision {revision}",
        text(from),
        text(to)
    )
}

/// The content of the model's Redis as text.
fn content_of(redis: &Redis) -> String {
    let head = redis.commits.last().map(|head| version(*head).to_string());
    let mut lines = vec![format!(
        "head {} {} archived {}",
        redis.commits.len(),
        head.unwrap_or_else(|| "-".to_owned()),
        u8::from(redis.is_archived)
    )];
    for (number, pointer) in (0..).zip(&redis.channels) {
        if let Some(pointer) = pointer {
            let (name, to) = (channel(number), version(pointer.version));
            let (seq, revision) = (pointer.seq, pointer.revision);
            lines.push(format!("{name} {to}@{seq} revision {revision}"));
        }
    }
    lines.extend(redis.moves.iter().map(|moved| {
        move_text(
            &channel(moved.channel),
            moved.from.map(version).as_ref(),
            moved.to.map(version).as_ref(),
            moved.seq.into(),
            moved.revision.into(),
        )
    }));
    lines.join("\n")
}

fn json_of(message: &Message) -> Value {
    let version = message.version.map(|to| version(to).to_string());
    let channel = message.channel.map(|number| channel(number).to_string());
    json!({
        "blueprint_id": BLUEPRINT,
        "version": version.unwrap_or_default(),
        "seq": message.seq,
        "channel": channel.unwrap_or_default(),
        "channel_revision": message.revision,
        "archived": message.is_archived,
    })
}
