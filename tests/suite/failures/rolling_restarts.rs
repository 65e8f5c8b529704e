//! Workers are replaced repeatedly under load, gracefully. A release is not a failure: it
//! increments no attempt, and nothing has to be reaped.

use shared::store::Store;
use tests::checker::{Attempts, assert_sound};
use tests::client::Client;
use tests::factory;
use tests::programs::{Process, Signal};
use tests::rig::Rig;
use tokio::sync::watch;

const N_BLUEPRINTS: usize = 12;
/// The number of workers at any time.
const N_WORKERS: usize = 3;

/// The number of restarts: 30, or the value of `DRAFTSMAN_TEST_RESTARTS`.
fn n_restarts() -> usize {
    match std::env::var("DRAFTSMAN_TEST_RESTARTS") {
        Ok(text) => text.parse().expect("DRAFTSMAN_TEST_RESTARTS is a number"),
        Err(_) => 30,
    }
}

/// Keeps a few issues of one Blueprint undecided until it is stopped; returns all submitted ids.
async fn load(client: Client, blueprint_id: String, end: watch::Receiver<bool>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    while !*end.borrow() {
        let n = ids.len();
        ids.push(
            client
                .submit(&blueprint_id, format!("tag n{n}"))
                .await
                .issue_id,
        );
        if n >= 4 {
            client.decided(&ids[n - 4]).await;
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_attempt_is_raised() {
    let mut rig = Rig::without_worker().await;
    let (stop, end) = watch::channel(false);
    let mut loads = tokio::task::JoinSet::new();
    for n in 0..N_BLUEPRINTS {
        let id = format!("bp-{n}");
        rig.client.put(factory::small(&id)).await;
        loads.spawn(load(rig.client.clone(), id, end.clone()));
    }
    // A lease longer than the wait limit: a decided issue was not reaped.
    let env = [
        ("DRAFTSMAN_LEASE_SECS", "3600"),
        ("DRAFTSMAN_GRACE_SECS", "0"),
    ];
    for _ in 0..N_WORKERS {
        rig.add_worker(&env);
    }
    let store = Store::open(&rig.redis.url(), 1).expect("a URL of Redis");
    let mut handed_back = 0;
    for n in 0..n_restarts() {
        let url = rig.redis.url();
        let place = n % N_WORKERS;
        // Waits until the worker has work, because an idle worker has nothing to return.
        let decided = rig.n_decided().await + 2;
        tests::eventually::eventually("work goes on", async || match rig.n_decided().await {
            now if now >= decided => Ok(()),
            now => Err(format!("{now} of {decided}")),
        })
        .await;
        // Before that the worker does not handle the signal.
        rig.workers[place].until_ready().await;
        rig.workers[place].signal(Signal::Terminate);
        let new = Process::worker(&url, &env);
        let mut old = std::mem::replace(&mut rig.workers[place], new);
        assert_eq!(old.wait().await.code(), Some(0), "{}", old.stderr());
        let stopped = old.events("run.stopped");
        handed_back += stopped.iter().filter(|e| e["why"] == "shutdown").count();
        assert_eq!(
            store.home().audit_queues().await.expect("Redis answers"),
            []
        );
    }
    assert!(handed_back > 0, "nobody had anything to hand back");
    stop.send(true).expect("the load listens");
    let ids: Vec<String> = loads.join_all().await.into_iter().flatten().collect();
    let snapshot = assert_sound(&rig, &ids, Attempts::One).await;
    assert!(snapshot.entries.len() > n_restarts());
    assert_eq!(rig.counted("reaped").await, 0);
    assert_eq!(rig.counted("repaired").await, 0);
}
