//! Channels in the store: what moves and what is refused, moves in pages, and what is published.

use futures::future::join_all;
use serde_json::json;
use shared::domain::actor::Actor;
use shared::domain::channel::{Channel, ChannelMove, MAX_CHANNELS};
use shared::domain::version_selector::VersionSelector;
use shared::ids::{ChannelName, Version};
use shared::store::redis::keys::HEADS_CHANNEL;
use shared::store::{
    ArchiveOutcome, DeleteChannelOutcome, ExpectedHead, PageRequest, PutSettingOutcome, SetChannel,
    SetChannelOutcome, Store, StoreError,
};
use tests::events::Events;
use tests::store_fixture::{Fixture, blueprint_id, marked};
use tests::store_orbits::orbit_setting;

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).expect("a name")
}

fn actor() -> Actor {
    Actor::parse("größer \"☃\"").expect("an actor")
}

/// Sets a channel of Blueprint `a`, with one reading of its use.
async fn set(
    store: &Store,
    channel: &str,
    version: &Version,
    expected_revision: Option<u64>,
) -> Result<SetChannelOutcome, StoreError> {
    set_of(store, "a", channel, version, expected_revision).await
}

async fn set_of(
    store: &Store,
    blueprint: &str,
    channel: &str,
    version: &Version,
    expected_revision: Option<u64>,
) -> Result<SetChannelOutcome, StoreError> {
    let (id, channel, actor) = (blueprint_id(blueprint), name(channel), actor());
    let set = SetChannel {
        blueprint_id: &id,
        channel: &channel,
        version,
        expected_revision,
        actor: &actor,
        reason: "why \"not\"?\n☃",
    };
    let used = store.channel_use(&id, &channel).await?;
    let outcome = store.set_checked_channel(&set, &used).await?;
    Ok(outcome.expect("no setting changed meanwhile"))
}

async fn delete(
    fixture: &Fixture,
    channel: &str,
    expected_revision: Option<u64>,
) -> Result<DeleteChannelOutcome, StoreError> {
    let (id, channel) = (blueprint_id("a"), name(channel));
    let store = &fixture.store;
    store
        .delete_channel(&id, &channel, expected_revision, &actor())
        .await
}

/// All moves of Blueprint `a`, or of one channel, newest first, by pages of this size.
async fn moves(fixture: &Fixture, channel: Option<&str>, size: usize) -> Vec<ChannelMove> {
    let channel = channel.map(name);
    let (mut moves, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest { size, after };
        let id = blueprint_id("a");
        let part = fixture
            .store
            .list_channel_moves(&id, channel.as_ref(), &page);
        let part = part.await.expect("an answer").expect("a Blueprint");
        assert!(part.items.len() <= size);
        moves.extend(part.items);
        after = part.next;
        if after.is_none() {
            return moves;
        }
    }
}

fn moved(outcome: SetChannelOutcome) -> Channel {
    match outcome {
        SetChannelOutcome::Moved(channel) => channel,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_channel_moves_and_each_move_is_kept() {
    let fixture = Fixture::with(&["a"]).await;
    let (store, whole, id) = (&fixture.store, &fixture.whole, blueprint_id("a"));
    let first = marked("a", "first", "1.0.0").version().clone();
    let second = fixture.put(&marked("a", "second", "")).await.version;
    let mut heads = Events::subscribe(&fixture.redis, HEADS_CHANNEL).await;
    let message = |version: &str, seq: u64, revision: u64| {
        json!({
            "blueprint_id": "a",
            "version": version,
            "seq": seq,
            "channel": "production",
            "channel_revision": revision,
            "archived": false,
        })
    };

    let made = moved(set(whole, "production", &first, Some(0)).await.unwrap());
    assert_eq!(heads.next().await, message(first.as_str(), 1, 1));
    let expected = Channel {
        blueprint_id: id.clone(),
        name: name("production"),
        version: first.clone(),
        seq: 1,
        version_label: "1.0.0".to_owned(),
        revision: 1,
        moved_at_ms: made.moved_at_ms,
        moved_by: actor(),
        reason: "why \"not\"?\n☃".to_owned(),
    };
    assert_eq!(made, expected);
    let stored = store.list_channels(&id).await.unwrap();
    assert_eq!(stored.as_deref(), Some(&[made.clone()][..]));
    let selector = VersionSelector::Channel(name("production"));
    let found = store.blueprint(&id, &selector).await.unwrap();
    assert_eq!(found.expect("a version").commit.version, first);

    let unchanged = fixture
        .refused(set(whole, "production", &first, Some(1)))
        .await;
    assert_eq!(unchanged, SetChannelOutcome::Unchanged(made.clone()));
    let next = moved(set(whole, "production", &second, Some(1)).await.unwrap());
    assert_eq!(heads.next().await, message(second.as_str(), 2, 2));
    assert_eq!((next.seq, next.revision), (2, 2));
    assert_eq!(next.version_label, "");

    let deleted = delete(&fixture, "production", Some(2)).await.unwrap();
    assert_eq!(deleted, DeleteChannelOutcome::Deleted);
    assert_eq!(heads.next().await, message("", 0, 3));
    assert_eq!(store.list_channels(&id).await.unwrap().unwrap(), []);
    assert!(store.blueprint(&id, &selector).await.unwrap().is_none());
    // A new channel of that name continues the revisions.
    let stale = fixture
        .refused(set(whole, "production", &first, Some(3)))
        .await;
    assert_eq!(stale, SetChannelOutcome::ChannelMoved { actual: 0 });
    let again = moved(set(whole, "production", &first, Some(0)).await.unwrap());
    assert_eq!(again.revision, 4);

    let kept = moves(&fixture, None, 3).await;
    let steps: Vec<_> = kept
        .iter()
        .map(|m| (m.from.clone(), m.to.clone(), m.seq, m.revision))
        .collect();
    let (first, second) = (Some(first), Some(second));
    let expected = [
        (None, first.clone(), 1, 4),
        (second.clone(), None, 0, 3),
        (first.clone(), second, 2, 2),
        (None, first, 1, 1),
    ];
    assert_eq!(steps, expected);
    assert_eq!(kept[3].moved_at_ms, made.moved_at_ms);
    assert_eq!(kept[3].channel("1.0.0"), Some(made));
}

#[tokio::test]
async fn what_cannot_move_is_refused_and_changes_nothing() {
    let fixture = Fixture::with(&["a", "archived"]).await;
    let whole = &fixture.whole;
    let first = marked("a", "first", "1.0.0").version().clone();
    moved(set(whole, "production", &first, None).await.unwrap());
    fixture.set_archived("archived", true).await;
    let unknown = Version::of("unknown");
    use SetChannelOutcome as Set;
    // With several reasons, the first one of the documented order.
    let cases = [
        (
            "nobody",
            "production",
            &unknown,
            Some(7),
            Set::UnknownBlueprint,
        ),
        ("archived", "production", &unknown, Some(7), Set::Archived),
        (
            "a",
            "production",
            &unknown,
            Some(7),
            Set::ChannelMoved { actual: 1 },
        ),
        (
            "a",
            "production",
            &first,
            Some(0),
            Set::ChannelMoved { actual: 1 },
        ),
        (
            "a",
            "other",
            &first,
            Some(1),
            Set::ChannelMoved { actual: 0 },
        ),
        ("a", "production", &unknown, Some(1), Set::UnknownVersion),
        ("a", "other", &unknown, Some(0), Set::UnknownVersion),
    ];
    for (blueprint, channel, version, expected, outcome) in cases {
        let what = format!("{blueprint} {channel} {expected:?}");
        let call = set_of(whole, blueprint, channel, version, expected);
        assert_eq!(fixture.refused(call).await, outcome, "{what}");
    }

    for n in 1..MAX_CHANNELS {
        moved(set(whole, &format!("c{n}"), &first, Some(0)).await.unwrap());
    }
    let call = set(whole, "one-more", &first, Some(0));
    assert_eq!(fixture.refused(call).await, Set::TooManyChannels);
    // A channel that exists still moves.
    let second = fixture.put(&marked("a", "second", "")).await.version;
    moved(set(whole, "c1", &second, Some(1)).await.unwrap());

    use DeleteChannelOutcome as Delete;
    for (channel, expected, outcome) in [
        ("unknown", None, Delete::UnknownChannel),
        ("unknown", Some(7), Delete::UnknownChannel),
        ("production", Some(7), Delete::ChannelMoved { actual: 1 }),
        ("production", Some(0), Delete::ChannelMoved { actual: 1 }),
    ] {
        let call = delete(&fixture, channel, expected);
        assert_eq!(fixture.refused(call).await, outcome, "{channel}");
    }
    for (blueprint, outcome) in [
        ("nobody", Delete::UnknownBlueprint),
        ("archived", Delete::Archived),
    ] {
        let (id, channel, actor) = (blueprint_id(blueprint), name("production"), actor());
        let call = fixture.store.delete_channel(&id, &channel, None, &actor);
        assert_eq!(fixture.refused(call).await, outcome, "{blueprint}");
    }
    let nobody = fixture.store.list_channels(&blueprint_id("nobody")).await;
    assert!(nobody.expect("an answer").is_none());
}

/// Racing writers with the same expected revision: exactly one moves the channel.
#[tokio::test]
async fn exactly_one_of_racing_writers_wins_per_revision() {
    const RACES: u64 = 1_000;
    let fixture = Fixture::with(&["a"]).await;
    let mut versions = vec![marked("a", "first", "1.0.0").version().clone()];
    for n in 0..3 {
        let put = fixture.put(&marked("a", &format!("mark {n}"), "")).await;
        versions.push(put.version);
    }
    let clients: Vec<Store> = (0..4)
        .map(|_| Store::open(&fixture.redis.socket_url(), 1).expect("a URL"))
        .collect();
    moved(
        set(&fixture.whole, "raced", &versions[0], Some(0))
            .await
            .unwrap(),
    );
    for revision in 1..=RACES {
        // No writer sets the present version, which would not be a move.
        let present = fixture
            .store
            .channel(&blueprint_id("a"), &name("raced"))
            .await;
        let present = present.expect("an answer").expect("a channel");
        assert_eq!(present.revision, revision);
        let others = versions.iter().filter(|v| **v != present.version);
        let racing = others
            .zip(&clients)
            .map(|(version, client)| set(client, "raced", version, Some(revision)));
        let outcomes: Vec<SetChannelOutcome> = join_all(racing)
            .await
            .into_iter()
            .map(|outcome| outcome.expect("an answer"))
            .collect();
        let winners = outcomes.iter().filter(
            |outcome| matches!(outcome, SetChannelOutcome::Moved(c) if c.revision == revision + 1),
        );
        assert_eq!(winners.count(), 1, "{outcomes:?}");
        let actual = revision + 1;
        let lost = SetChannelOutcome::ChannelMoved { actual };
        let losers = outcomes.iter().filter(|outcome| **outcome == lost);
        assert_eq!(losers.count(), outcomes.len() - 1, "{outcomes:?}");
    }
    let kept = moves(&fixture, Some("raced"), 1_000).await;
    let revisions: Vec<u64> = kept.iter().rev().map(|m| m.revision).collect();
    assert_eq!(revisions, (1..=RACES + 1).collect::<Vec<_>>());
    for pair in kept.windows(2) {
        assert_eq!(pair[0].from, pair[1].to);
    }
}

#[tokio::test]
async fn moves_are_listed_by_channel_in_pages_of_any_size() {
    let fixture = Fixture::with(&["a"]).await;
    let first = marked("a", "first", "1.0.0").version().clone();
    let second = fixture.put(&marked("a", "second", "")).await.version;
    moved(set(&fixture.whole, "rare", &first, None).await.unwrap());
    for n in 0..1_250 {
        let version = [&first, &second][n % 2];
        moved(set(&fixture.whole, "busy", version, None).await.unwrap());
    }
    moved(set(&fixture.whole, "rare", &second, None).await.unwrap());
    let all = moves(&fixture, None, 1_000).await;
    assert_eq!(all.len(), 1_252);
    assert_eq!(moves(&fixture, None, 7).await, all);
    for (channel, n) in [("rare", 2), ("busy", 1_250), ("unknown", 0)] {
        let expected: Vec<_> = all
            .iter()
            .filter(|m| m.channel.as_str() == channel)
            .cloned()
            .collect();
        assert_eq!(expected.len(), n);
        for size in [1, 300, 1_000] {
            let listed = moves(&fixture, Some(channel), size).await;
            assert_eq!(listed, expected, "{channel} by {size}");
        }
    }
    let id = blueprint_id("a");
    let page = PageRequest {
        size: 3,
        after: Some("x".to_owned()),
    };
    let bad = fixture.store.list_channel_moves(&id, None, &page).await;
    assert!(matches!(bad, Err(StoreError::Cursor(_))), "{bad:?}");
}

#[tokio::test]
async fn a_channel_that_a_setting_follows_is_an_orbit_in_use() {
    let fixture = Fixture::with(&["a"]).await;
    let (store, whole, id) = (&fixture.store, &fixture.whole, blueprint_id("a"));
    let first = marked("a", "first", "1.0.0").version().clone();
    let second = fixture.put(&marked("a", "second", "")).await.version;
    let follows = VersionSelector::Channel(name("live"));
    let setting = orbit_setting("s", "a", follows);
    let counter = async || store.settings_counter().await.expect("an answer");

    // Without the channel, the setting has no version.
    let missing = fixture.refused(whole.put_setting(&setting, None)).await;
    assert_eq!(missing, PutSettingOutcome::OrbitMoved);
    moved(set(whole, "live", &first, None).await.unwrap());
    moved(set(whole, "other", &first, None).await.unwrap());
    assert_eq!(counter().await, 0);

    // The channel moves between the check of a setting and its write.
    let checked = whole.orbit_state(&setting).await.expect("an answer");
    moved(set(whole, "live", &second, None).await.unwrap());
    let late = fixture
        .refused(whole.put_checked_setting(&setting, None, checked))
        .await;
    assert_eq!(late, PutSettingOutcome::OrbitMoved);
    let checked = whole.orbit_state(&setting).await.expect("an answer");
    let put = whole.put_checked_setting(&setting, None, checked).await;
    assert!(matches!(put, Ok(PutSettingOutcome::Stored(_))), "{put:?}");
    assert_eq!(
        store.setting(&setting.id).await.unwrap().unwrap().selector,
        setting.selector
    );

    // A move with a reading from before the setting is refused; the next one is noticed.
    let (live, actor) = (name("live"), actor());
    let request = SetChannel {
        blueprint_id: &id,
        channel: &live,
        version: &first,
        expected_revision: None,
        actor: &actor,
        reason: "",
    };
    let used = whole.channel_use(&id, &live).await.expect("an answer");
    let ids: Vec<&str> = used.settings.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["s"]);
    let again = whole.put_setting(&setting, None).await;
    assert!(
        matches!(again, Ok(PutSettingOutcome::Stored(_))),
        "{again:?}"
    );
    let refused = fixture
        .refused(whole.set_checked_channel(&request, &used))
        .await;
    assert_eq!(refused, None);
    let before = counter().await;
    moved(set(whole, "live", &first, None).await.unwrap());
    assert_eq!(counter().await, before + 1, "workers see it");
    moved(set(whole, "other", &second, None).await.unwrap());
    assert_eq!(
        counter().await,
        before + 1,
        "only the followed channel counts"
    );
    // Neither does a stale reading of another channel matter.
    let other = name("other");
    let request = SetChannel {
        channel: &other,
        ..request
    };
    let outcome = whole.set_checked_channel(&request, &used).await;
    moved(outcome.expect("an answer").expect("not followed"));

    let deleted = fixture.refused(delete(&fixture, "live", None)).await;
    assert_eq!(deleted, DeleteChannelOutcome::InUse(vec!["s".to_owned()]));
    let archived = fixture.refused(store.set_archived(&id, true)).await;
    assert_eq!(archived, ArchiveOutcome::InUse(vec!["s".to_owned()]));
    // A new head is not selected, so it is written without a check.
    let used = whole.orbit_use(&marked("a", "third", "")).await.unwrap();
    assert!(used.settings.is_empty());
    let deleted = delete(&fixture, "other", None).await.unwrap();
    assert_eq!(deleted, DeleteChannelOutcome::Deleted);
    whole.delete_setting(&setting.id).await.unwrap();
    let deleted = delete(&fixture, "live", None).await.unwrap();
    assert_eq!(deleted, DeleteChannelOutcome::Deleted);
}

#[tokio::test]
async fn times_of_moves_are_those_of_the_server() {
    let fixture = Fixture::with(&["a"]).await;
    let version = marked("a", "first", "1.0.0").version().clone();
    let now = async || -> u64 {
        let (secs, micros): (u64, u64) = fixture.raw(&["TIME"]).await;
        secs * 1000 + micros / 1000
    };
    let began = now().await;
    let made = moved(set(&fixture.whole, "c", &version, None).await.unwrap());
    delete(&fixture, "c", None).await.unwrap();
    let ended = now().await;
    let kept = moves(&fixture, None, 10).await;
    for at in [made.moved_at_ms, kept[0].moved_at_ms, kept[1].moved_at_ms] {
        assert!((began..=ended).contains(&at), "{began} {at} {ended}");
    }
}

#[tokio::test]
async fn every_shard_is_notified_of_a_move_of_a_channel_in_use() {
    let fixture = Fixture::start().await;
    let store = Store::open(&fixture.redis.socket_url(), 4).expect("a URL");
    // In another shard than the settings.
    let (orbit, id) = ("support-swarm", blueprint_id("support-swarm"));
    assert_ne!(store.of(&id).number(), store.home().number());
    let documents = ["first", "second"].map(|mark| marked(orbit, mark, ""));
    for document in &documents {
        let put = store.put_blueprint(document, ExpectedHead::Any, "").await;
        put.expect("it is written");
    }
    let [first, second] = documents.map(|document| document.version().clone());
    let setting = orbit_setting("s", orbit, VersionSelector::Channel(name("live")));
    let missing = store.put_setting(&setting, None).await.unwrap();
    assert_eq!(missing, PutSettingOutcome::OrbitMoved);
    moved(set_of(&store, orbit, "live", &first, None).await.unwrap());
    let checked = store.orbit_state(&setting).await.unwrap();
    moved(set_of(&store, orbit, "live", &second, None).await.unwrap());
    let late = store.put_checked_setting(&setting, None, checked).await;
    assert_eq!(late.unwrap(), PutSettingOutcome::OrbitMoved);
    let put = store.put_setting(&setting, None).await;
    assert!(matches!(put, Ok(PutSettingOutcome::Stored(_))), "{put:?}");

    let before = store.settings_counters().await;
    moved(set_of(&store, orbit, "live", &first, None).await.unwrap());
    let after = store.settings_counters().await;
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| before < after)
    );
    let shard = store.of(&id);
    let deleted = shard
        .delete_channel(&id, &name("live"), None, &actor())
        .await;
    let in_use = DeleteChannelOutcome::InUse(vec!["s".to_owned()]);
    assert_eq!(deleted.unwrap(), in_use);
}
