//! The costs for Redis of reading, writing and changing a Blueprint do not grow with its history.
//! Only the choice by a requirement reads all labels.
//!
//! The tests count instead of measuring time: the calls that Redis executes, including those of
//! scripts, and the bytes on its socket.

use std::collections::BTreeMap;

use shared::domain::commit::Commit;
use shared::domain::history::HistoryEntry;
use shared::domain::version_selector::VersionSelector;
use shared::ids::Version;
use shared::store::{ImportOutcome, PageRequest, StageOutcome};
use tests::store_fixture::{Fixture, How, LONG, blueprint_id, marked, worker_id};

/// The lengths to compare.
const LENGTHS: [u64; 2] = [10, 100_000];
/// The bytes by which a large commit number, such as 100000, and its label may exceed a small one,
/// such as 10. Every operation below includes fewer numbers than that.
const DIGITS: usize = 96;
/// The maximum number of bytes of a label and its commit number, as Redis sends them.
const LABEL: usize = 32;

/// The number of executions of each command.
async fn calls(fixture: &Fixture) -> BTreeMap<String, u64> {
    let stats: String = fixture.raw(&["INFO", "commandstats"]).await;
    let calls = stats.lines().filter_map(|line| {
        let (name, numbers) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let calls = numbers.split(',').next()?.parse().ok()?;
        (name != "info").then(|| (name.to_owned(), calls))
    });
    calls.collect()
}

/// The bytes on the socket so far, and those of this answer, which are sent after that.
async fn bytes(fixture: &Fixture) -> (usize, usize) {
    let stats: String = fixture.raw(&["INFO", "stats"]).await;
    let number = |name: &str| -> usize {
        let line = stats.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|n| n.parse().ok())
            .expect("a number in INFO stats")
    };
    let sum = number("total_net_input_bytes:") + number("total_net_output_bytes:");
    (sum, stats.len())
}

/// The costs of `operation`: calls, and bytes. They include a constant number of bytes for the
/// count itself.
async fn cost(fixture: &Fixture, operation: impl AsyncFnOnce()) -> (BTreeMap<String, u64>, usize) {
    let calls_before = calls(fixture).await;
    let (before, counting) = bytes(fixture).await;
    operation().await;
    let (after, _) = bytes(fixture).await;
    let made = calls(fixture)
        .await
        .into_iter()
        .filter_map(|(name, calls)| {
            let made = calls - calls_before.get(&name).copied().unwrap_or(0);
            (made > 0).then_some((name, made))
        });
    (made.collect(), after - before - counting)
}

type Costs = Vec<(&'static str, BTreeMap<String, u64>, usize)>;

/// The costs of each operation at the present length of the history.
async fn costs(fixture: &Fixture, mark: &str) -> Costs {
    let (store, id) = (&fixture.store, blueprint_id("long"));
    // Commits of issues are longer than those of writes, so a page has both.
    let mut version = None;
    for n in 0..5 {
        let blueprint = marked("long", &format!("{mark} {n}"), "1.0.0");
        version = Some(fixture.put(&blueprint).await.version);
    }
    let version = version.expect("five commits");
    let selectors = [
        ("latest", VersionSelector::Latest),
        ("fixed", VersionSelector::Fixed(version)),
        (
            "semver_req",
            VersionSelector::SemverReq("^1".parse().expect("a requirement")),
        ),
    ];
    let mut costs = Vec::new();
    for (name, selector) in &selectors {
        let (calls, bytes) = cost(fixture, async || {
            let found = store.blueprint(&id, selector).await.expect("an answer");
            found.expect("a version");
        })
        .await;
        costs.push((*name, calls, bytes));
    }
    let (calls, bytes) = cost(fixture, async || {
        let page = PageRequest {
            size: 5,
            after: None,
        };
        let page = store
            .list_commits(&id, None, &page)
            .await
            .expect("an answer");
        assert_eq!(page.expect("a page").items.len(), 5);
    })
    .await;
    costs.push(("list commits", calls, bytes));
    let (calls, bytes) = cost(fixture, async || {
        fixture.put(&marked("long", mark, "1.0.0")).await;
    })
    .await;
    costs.push(("put", calls, bytes));

    let worker = worker_id("w");
    let issue = mark.replace(' ', "-");
    let (calls, bytes) = cost(fixture, async || {
        let new = tests::store_fixture::new_issue("long", &issue);
        store.submit(&new).await.expect("an answer");
    })
    .await;
    costs.push(("submit", calls, bytes));
    let popped = fixture.pop(&worker).await.expect("an element");
    let mut claimed = None;
    let (calls, bytes) = cost(fixture, async || {
        let claim = store.claim(
            &popped,
            &worker,
            "nonce",
            LONG,
            None,
            tests::store_fixture::BESIDE,
        );
        claimed = Some(tests::store_fixture::claimed(
            claim.await.expect("an answer"),
        ));
    })
    .await;
    costs.push(("claim", calls, bytes));
    let claimed = claimed.expect("a lease");
    let (calls, bytes) = cost(fixture, async || {
        fixture
            .settle(&claimed, How::Applied)
            .await
            .expect("an answer");
    })
    .await;
    costs.push(("settle", calls, bytes));
    costs
}

/// Creates a history of this length with a label for each commit, as applied issues do.
async fn grow(fixture: &Fixture, length: u64) {
    let id = blueprint_id("long");
    let import = fixture.store.begin_import(&id).await.expect("an answer");
    let mut import = import.expect("it is not there");
    // Replaces text, because parsing each document would take longer than the test.
    let template = marked("long", "mark 000000", "1.0.0");
    let template = template.canonical_yaml();
    let (mut parents, mut batch) = (Vec::new(), Vec::new());
    for seq in 1..=length {
        let label = format!("1.0.{seq}");
        let document = template
            .replace("mark 000000", &format!("mark {seq:06}"))
            .replace("1.0.0", &label);
        let version = Version::of(&document);
        let commit = Commit {
            blueprint_id: id.clone(),
            seq,
            version: version.clone(),
            parents: std::mem::replace(&mut parents, vec![version]),
            version_label: label,
            rationale: "by hand".to_owned(),
            patch_hash: String::new(),
            issue_id: None,
            epoch: None,
            author: None,
            decided_by: None,
            comment: String::new(),
            committed_at_ms: seq,
        };
        batch.push(HistoryEntry { commit, document });
        if batch.len() == 1_000 || seq == length {
            let staged = import.stage(&batch).await.expect("an answer");
            assert_eq!(staged, StageOutcome::Staged);
            batch.clear();
        }
    }
    let finished = import.finish().await.expect("an answer");
    assert_eq!(finished, ImportOutcome::Imported);
}

/// The costs of each operation after a history of this length.
async fn costs_after(length: u64) -> Costs {
    let fixture = Fixture::start().await;
    grow(&fixture, length).await;
    // A first run without a measurement loads the scripts and creates the keys.
    costs(&fixture, "mark 900000").await;
    let head = fixture.store.head_seq(&blueprint_id("long")).await;
    assert!(head.expect("an answer").expect("a head") > length);
    costs(&fixture, "mark 900001").await
}

#[tokio::test]
async fn a_hundred_thousand_commits_cost_what_ten_do() {
    let (few, many) = (costs_after(LENGTHS[0]).await, costs_after(LENGTHS[1]).await);
    for ((name, few_calls, few_bytes), (_, many_calls, many_bytes)) in few.iter().zip(&many) {
        assert!(
            !few_calls.is_empty() && *few_bytes > 0,
            "{name} was measured"
        );
        assert_eq!(few_calls, many_calls, "{name}");
        // A submission reads the memory of Redis once a second, which may or may not add some
        // bytes.
        let allowed = match *name {
            // It reads every label.
            "semver_req" => DIGITS + (LENGTHS[1] - LENGTHS[0]) as usize * LABEL,
            _ => DIGITS,
        };
        assert!(
            *name == "submit" || (*few_bytes..=few_bytes + allowed).contains(many_bytes),
            "{name}: {few_bytes} bytes, then {many_bytes}"
        );
    }
    assert_eq!((few.len(), many.len()), (8, 8));
}
