//! Measures the costs of a long history: the time of each operation, and the memory of each commit
//! and decision.

use std::time::{Duration, Instant};

use shared::domain::commit::Commit;
use shared::domain::history::HistoryEntry;
use shared::domain::version_selector::VersionSelector;
use shared::ids::Version;
use shared::store::{ImportOutcome, PageRequest, StageOutcome, Store};
use tests::redis_server::{Aof, RedisServer};
use tests::store_fixture::{blueprint_id, marked};

use crate::fixture::{Fixture, Scale, Spread, intent};

/// The lengths to compare.
const LENGTHS: [u64; 3] = [1_000, 10_000, 100_000];
/// The number of repetitions of each operation at each length. The result is the median.
const N_TIMES: usize = 201;
const FOR: Duration = Duration::from_secs(5);
/// The numbers of decisions at the first and at the second reading of memory.
const DECISIONS: [usize; 2] = [500, 1_500];

/// Prints the times and the memory.
pub(crate) async fn print() {
    for (name, n_labels) in [("7 labels", 7), ("a label for each commit", u64::MAX)] {
        println!("{name}: median µs at {LENGTHS:?} commits");
        let mut rows: Vec<(&str, Vec<f64>)> = Vec::new();
        for length in LENGTHS {
            for (n, (operation, time)) in times(length, n_labels).await.into_iter().enumerate() {
                if rows.len() <= n {
                    rows.push((operation, Vec::new()));
                }
                rows[n].1.push(time.as_secs_f64() * 1e6);
            }
        }
        for (operation, times) in rows {
            let ratio = times[LENGTHS.len() - 1] / times[0];
            let times: Vec<String> = times.iter().map(|time| format!("{time:.0}")).collect();
            println!("  {operation:<12} {}  ratio {ratio:.2}", times.join("  "));
        }
    }
    println!("bytes of Redis for each applied issue against a Blueprint of 2 KB");
    for (what, bytes) in bytes().await {
        println!("  {what:<12} {bytes:.0}");
    }
}

/// The median time of each operation on a history of this length.
async fn times(length: u64, n_labels: u64) -> Vec<(&'static str, Duration)> {
    let redis = RedisServer::start(Aof::None);
    let store = Store::open(&redis.socket_url(), 1).expect("a URL");
    let id = blueprint_id("long");
    grow(&store, "long", length, n_labels).await;
    let semver = |req: &str| VersionSelector::SemverReq(req.parse().expect("a requirement"));
    let middle = store.of(&id).history(&id, length / 2, length / 2).await;
    let middle = middle.expect("the middle")[0].commit.version.clone();
    let mut times = Vec::new();
    for (name, selector) in [
        ("latest", VersionSelector::Latest),
        ("fixed", VersionSelector::Fixed(middle)),
        ("semver_req", semver("^1")),
    ] {
        let get = async |_| {
            let found = store.of(&id).blueprint(&id, &selector).await;
            found.expect("an answer").expect("a version");
        };
        times.push((name, median(get).await));
    }
    let list = async |_| {
        let page = PageRequest {
            size: 100,
            after: None,
        };
        store
            .of(&id)
            .list_commits(&id, None, &page)
            .await
            .expect("an answer");
    };
    times.push(("list commits", median(list).await));
    let put = async |n| {
        let blueprint = marked("long", &format!("new {n}"), "1.0.0");
        let any = shared::store::ExpectedHead::Any;
        let put = store.put_blueprint(&blueprint, any, "").await;
        put.expect("an answer");
    };
    times.push(("put", median(put).await));
    times
}

/// Adds `length` commits to the new small Blueprint `name`.
pub(crate) async fn grow(store: &Store, name: &str, length: u64, n_labels: u64) {
    let id = blueprint_id(name);
    let import = store.of(&id).begin_import(&id).await.expect("an answer");
    let mut import = import.expect("it is not there");
    // Replaces text, because parsing each document would take longer than the measurement.
    let template = marked(name, "mark 000000", "1.0.0");
    let template = template.canonical_yaml();
    let mut parents = Vec::new();
    let mut batch = Vec::new();
    for seq in 1..=length {
        let label = format!("1.0.{}", seq % n_labels);
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
        if batch.len() == 500 || seq == length {
            let staged = import.stage(&batch).await.expect("an answer");
            assert_eq!(staged, StageOutcome::Staged);
            batch.clear();
        }
    }
    let finished = import.finish().await.expect("an answer");
    assert_eq!(finished, ImportOutcome::Imported);
}

async fn median(operation: impl AsyncFn(usize)) -> Duration {
    let began = Instant::now();
    let mut times = Vec::with_capacity(N_TIMES);
    while times.is_empty() || (times.len() < N_TIMES && began.elapsed() < FOR) {
        let start = Instant::now();
        operation(times.len()).await;
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

/// The growth of each kind of key per applied issue, by `MEMORY USAGE`.
async fn bytes() -> Vec<(&'static str, f64)> {
    let mut fixture = Fixture::start(Scale::TwoKb, Spread::One).await;
    fixture.start_workers(1).await;
    let id = fixture.blueprint_ids[0].clone();
    let store = Store::open(&fixture.redis.url(), 1).expect("a URL");
    let store = store.home();
    let keys = store.keys();
    let bp = blueprint_id(&id);
    let named = [
        ("content", keys.documents(&bp)),
        ("commit", keys.commits(&bp)),
        ("newest", keys.newest(&bp)),
        ("label", keys.labels(&bp)),
        ("log entry", keys.log()),
        ("decided", keys.decided()),
        ("decided here", keys.decided_of(&bp)),
    ];
    let mut looks: Vec<Vec<u64>> = Vec::new();
    let mut done = 0;
    for until in DECISIONS {
        let mut last = None;
        for n in done..until {
            last = Some(fixture.client.submit(&id, intent(n)).await.issue_id);
        }
        // Issues are decided in order, so this one is the last.
        fixture.client.decided(&last.expect("some issues")).await;
        done = until;
        let mut look = Vec::new();
        for (_, key) in &named {
            let mut usage = redis::cmd("MEMORY");
            usage.arg("USAGE").arg(key).arg("SAMPLES").arg(0);
            let usage = store.handle().command("memory usage", &usage).await;
            look.push(usage.expect("MEMORY USAGE"));
        }
        looks.push(look);
    }
    let n = (DECISIONS[1] - DECISIONS[0]) as f64;
    let grown = looks[0].iter().zip(&looks[1]);
    let grown = grown.map(|(before, after)| (*after as f64 - *before as f64) / n);
    let document = fixture.client.head(&id).await.document_yaml.len() as f64;
    let grown = named.iter().map(|(name, _)| *name).zip(grown);
    [("its text", document)].into_iter().chain(grown).collect()
}
