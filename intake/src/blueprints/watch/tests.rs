use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shared::domain::id_pattern::IdPattern;
use shared::ids::{BlueprintId, ChannelName, ConsumerId, Version};
use shared::store::{HeadPointer, Heads, Store};

use super::inbox::{Inbox, Next};
use super::index::{Index, Look, Pattern};

fn id(text: &str) -> BlueprintId {
    BlueprintId::parse(text).unwrap()
}

fn version(n: u64) -> Version {
    Version::of(&n.to_string())
}

fn exact(text: &str) -> Pattern {
    Pattern::Exact(id(text))
}

fn wildcard(text: &str) -> Pattern {
    Pattern::Wildcard(IdPattern::parse(text).unwrap())
}

fn pointer(n: u64) -> HeadPointer {
    HeadPointer {
        seq: n,
        version: version(n),
        revision: 0,
    }
}

/// The heads of a Blueprint with `n` commits.
fn heads(n: u64) -> Heads {
    Heads {
        head: Some(pointer(n)),
        ..Heads::default()
    }
}

/// An index of one shard, over a store that is not used.
struct Watches(Index);

impl Watches {
    fn new() -> Self {
        Self(Index::new(Store::open("redis://127.0.0.1:1", 1).unwrap()))
    }

    fn register(&mut self, patterns: &[Pattern], known: &[(&str, u64)]) -> (u64, Arc<Inbox>) {
        let known = known.iter().map(|(name, n)| (id(name), version(*n)));
        self.0.register(patterns, None, None, known.collect())
    }

    /// Reads what is due. A Blueprint that is not named does not exist. Returns the number of ids.
    fn read(&mut self, present: &[(&str, Heads)]) -> usize {
        let mut count = 0;
        while let Some(batch) = self.0.take(0) {
            count += batch.ids.len();
            let found = batch.ids.iter().map(|read| {
                let found = present.iter().find(|(name, _)| read.as_str() == *name);
                Ok(found.map_or_else(Heads::default, |(_, heads)| heads.clone()))
            });
            let found = found.collect();
            for read in batch.read(found) {
                self.0.apply(read);
            }
        }
        count
    }
}

/// What a watcher would send now: ids with versions, or `synced`.
fn sent(inbox: &Inbox) -> Vec<(String, Option<Version>)> {
    let mut sent = Vec::new();
    loop {
        match inbox.next() {
            Next::Nothing => return sent,
            Next::Synced => sent.push(("synced".to_owned(), None)),
            Next::Moved(moved) => {
                let version = moved.state.version(inbox.channel()).cloned();
                sent.push((moved.state.blueprint_id.to_string(), version));
            }
        }
    }
}

fn told(name: &str, n: u64) -> (String, Option<Version>) {
    (name.to_owned(), (n > 0).then(|| version(n)))
}

fn synced() -> (String, Option<Version>) {
    ("synced".to_owned(), None)
}

#[test]
fn a_watcher_gets_the_difference_then_each_move() {
    let mut watches = Watches::new();
    let known = [("a", 1), ("b", 1), ("gone", 1), ("other", 1)];
    let patterns = [exact("a"), exact("b"), exact("none"), wildcard("g*")];
    let (_, inbox) = watches.register(&patterns, &known);
    assert!(sent(&inbox).is_empty(), "nothing was read");
    let present = [("a", heads(1)), ("b", heads(2))];
    assert_eq!(watches.read(&present), 4);
    assert_eq!(sent(&inbox), [told("b", 2), told("gone", 0), synced()]);
    // An event without a change, and one for a Blueprint that nobody watches.
    assert_eq!(watches.0.ask_if_watched(&id("a")), Some(0));
    assert_eq!(watches.0.ask_if_watched(&id("other")), None);
    assert_eq!(watches.read(&present), 1);
    assert!(sent(&inbox).is_empty());
    // A Blueprint that is new.
    watches.0.ask_if_watched(&id("green"));
    watches.read(&[("green", heads(1))]);
    assert_eq!(sent(&inbox), [told("green", 1)]);
    watches.0.ask_all(Look::Count);
    watches.read(&[("a", heads(1)), ("b", heads(3)), ("green", heads(1))]);
    assert_eq!(sent(&inbox), [told("b", 3)]);
}

#[test]
fn only_the_newest_state_waits_and_a_return_is_no_news() {
    let mut watches = Watches::new();
    let (_, inbox) = watches.register(&[exact("a")], &[("a", 1)]);
    watches.read(&[("a", heads(1))]);
    assert_eq!(sent(&inbox), [synced()]);
    for n in 2..50 {
        watches.0.ask_if_watched(&id("a"));
        watches.read(&[("a", heads(n))]);
    }
    assert_eq!(sent(&inbox), [told("a", 49)]);
    for n in [50, 49] {
        watches.0.ask_if_watched(&id("a"));
        watches.read(&[("a", heads(n))]);
    }
    assert!(sent(&inbox).is_empty(), "the consumer has it");
}

#[test]
fn a_newcomer_waits_for_a_read_that_begins_after_it() {
    let mut watches = Watches::new();
    let (_, first) = watches.register(&[exact("a")], &[]);
    let early = watches.0.take(0).unwrap();
    let (_, late) = watches.register(&[exact("a")], &[("a", 2)]);
    for read in early.read(vec![Ok(heads(1))]) {
        watches.0.apply(read);
    }
    assert_eq!(sent(&first), [told("a", 1), synced()]);
    assert!(sent(&late).is_empty(), "the read began before");
    watches.read(&[("a", heads(2))]);
    assert_eq!(sent(&first), [told("a", 2)]);
    assert_eq!(sent(&late), [synced()], "the consumer has it");
}

#[test]
fn a_failed_read_is_repeated_with_its_newcomers() {
    let mut watches = Watches::new();
    let (_, inbox) = watches.register(&[exact("a")], &[]);
    let failed = watches.0.take(0).unwrap();
    watches.0.put_back(0, failed);
    assert_eq!(watches.read(&[("a", heads(1))]), 1);
    assert_eq!(sent(&inbox), [told("a", 1), synced()]);
    // A failed send returns to the inbox, where a newer state replaces it.
    watches.0.ask_if_watched(&id("a"));
    watches.read(&[("a", heads(2))]);
    let Next::Moved(unsent) = inbox.next() else {
        panic!("a move")
    };
    watches.0.ask_if_watched(&id("a"));
    watches.read(&[("a", heads(1))]);
    inbox.put_back(unsent);
    assert!(sent(&inbox).is_empty(), "it has the first one again");
}

#[test]
fn a_channel_hides_moves_of_the_head() {
    let mut watches = Watches::new();
    let channel = ChannelName::parse("production").unwrap();
    let (_, inbox) = watches.0.register(
        &[wildcard("*")],
        Some(channel.clone()),
        None,
        HashMap::new(),
    );
    watches.0.list(0, vec![id("a")]);
    let with = |head: u64, channel_at: Option<u64>| Heads {
        channels: channel_at
            .map(|n| (channel.clone(), pointer(n)))
            .into_iter()
            .collect(),
        ..heads(head)
    };
    watches.read(&[("a", with(2, None))]);
    assert_eq!(sent(&inbox), [synced()]);
    for (now, expected) in [
        (with(3, Some(1)), vec![told("a", 1)]),
        (with(4, Some(1)), vec![]),
        (with(4, Some(4)), vec![told("a", 4)]),
        (with(5, None), vec![told("a", 0)]),
    ] {
        watches.0.ask_if_watched(&id("a"));
        watches.read(&[("a", now)]);
        assert_eq!(sent(&inbox), expected);
    }
    let archived = Heads {
        is_archived: true,
        ..with(5, Some(5))
    };
    watches.0.ask_if_watched(&id("a"));
    watches.read(&[("a", archived)]);
    assert!(sent(&inbox).is_empty(), "it had none before");
}

#[test]
fn a_busy_blueprint_does_not_delay_the_others() {
    let mut watches = Watches::new();
    let (_, inbox) = watches.register(&[exact("a"), exact("b"), exact("c")], &[]);
    let mut order = Vec::new();
    for n in 1..=5 {
        watches.0.ask_all(Look::Count);
        watches.read(&[("a", heads(n)), ("b", heads(1)), ("c", heads(1))]);
        if let Next::Moved(moved) = inbox.next() {
            order.push(moved.state.blueprint_id.to_string());
        }
    }
    assert_eq!(order, ["a", "b", "c", "a"]);
}

#[test]
fn what_nobody_watches_is_forgotten() {
    let mut watches = Watches::new();
    let both = [exact("a"), wildcard("b*")];
    let (first, _first) = watches.register(&both, &[]);
    let (second, _second) = watches.register(&[wildcard("*")], &[("missing", 1)]);
    watches.0.list(0, vec![id("a"), id("b1"), id("z")]);
    let present = [("a", heads(1)), ("b1", heads(1)), ("z", heads(1))];
    watches.read(&present);
    assert!(watches.0.must_list(0, Look::Count, 4) && !watches.0.must_list(0, Look::Count, 3));
    assert!(watches.0.must_list(0, Look::List, 3) && !watches.0.must_list(0, Look::Away, 4));
    let watched = |watches: &mut Watches| {
        watches.0.ask_all(Look::Count);
        watches.read(&present)
    };
    assert_eq!(watched(&mut watches), 3, "a missing one is not kept");
    watches.0.remove(second, &[wildcard("*")]);
    assert_eq!(watched(&mut watches), 2);
    watches.0.remove(first, &both);
    assert_eq!((watches.0.n_watchers(), watched(&mut watches)), (0, 0));
    assert_eq!(watches.0.ask_all(Look::List), 0);
}

#[test]
fn a_new_blueprint_is_known_without_another_list() {
    let mut watches = Watches::new();
    watches.0.list(0, vec![id("a")]);
    let (_, inbox) = watches.register(&[wildcard("*")], &[]);
    watches.read(&[("a", heads(1))]);
    watches.0.ask_if_watched(&id("b"));
    let present = [("a", heads(1)), ("b", heads(1))];
    watches.read(&present);
    assert_eq!(sent(&inbox), [told("a", 1), synced(), told("b", 1)]);
    assert!(!watches.0.must_list(0, Look::Count, 2));
    // One that Redis has lost does not hide another one.
    watches.0.ask_all(Look::Count);
    watches.read(&[("a", heads(1))]);
    assert!(watches.0.must_list(0, Look::Count, 2));
    // Only a poll looks: a read of a moved Blueprint does not.
    watches.0.ask_if_watched(&id("a"));
    let batch = watches.0.take(0).expect("a read");
    assert_eq!(batch.look, Look::Away);
    assert!(!watches.0.must_list(0, batch.look, 7));
    watches.0.put_back(0, batch);
    watches.0.ask_all(Look::List);
    assert_eq!(watches.0.take(0).expect("a read").look, Look::List);
}

#[test]
fn a_watcher_with_overlapping_patterns_is_told_once() {
    let mut watches = Watches::new();
    let overlapping = [exact("a1"), wildcard("a*"), wildcard("*1"), wildcard("b*")];
    let (_, inbox) = watches.register(&overlapping, &[]);
    watches.register(&[wildcard("*")], &[]);
    assert_eq!(watches.0.watchers(&id("a1")).count(), 2);
    assert_eq!(watches.0.watchers(&id("c1")).count(), 2);
    assert_eq!(watches.0.watchers(&id("a2")).count(), 2);
    assert_eq!(watches.0.watchers(&id("c2")).count(), 1);
    // One that takes the change between two notes of it would send it twice.
    watches.read(&[("a1", heads(1))]);
    assert_eq!(sent(&inbox), [told("a1", 1), synced()]);
}

#[test]
fn consumers_are_those_with_a_stream_once_each() {
    let mut watches = Watches::new();
    let consumer = |name: &str| ConsumerId::parse(name).unwrap();
    for (pattern, name) in [("*", "one"), ("a*", "one"), ("b", "two")] {
        let pattern = [if pattern == "b" {
            exact(pattern)
        } else {
            wildcard(pattern)
        }];
        let name = Some(consumer(name));
        watches.0.register(&pattern, None, name, HashMap::new());
    }
    watches.register(&[exact("a")], &[]);
    assert_eq!(watches.0.consumers(&id("a")), [consumer("one")]);
    let both = [consumer("one"), consumer("two")];
    assert_eq!(watches.0.consumers(&id("b")), both);
}

#[test]
fn commits_and_documents_are_shared_with_the_next_state() {
    let mut watches = Watches::new();
    let (_, inbox) = watches.register(&[exact("a")], &[]);
    let channel = ChannelName::parse("production").unwrap();
    let mut contents = Vec::new();
    for head in [1, 2] {
        let now = Heads {
            channels: BTreeMap::from([(channel.clone(), pointer(1))]),
            ..heads(head)
        };
        watches.0.ask_all(Look::Count);
        watches.read(&[("a", now)]);
        while let Next::Moved(moved) = inbox.next() {
            let selected = moved.state.select(Some(&channel)).unwrap();
            contents.push(Arc::clone(selected.content));
        }
    }
    assert!(Arc::ptr_eq(&contents[0], &contents[1]));
}
