//! A real Redis Cluster: three masters with a replica each, six shards, and masters that fail.

use tests::checker::{Attempts, Snapshot, violations};
use tests::client::Client;
use tests::factory;
use tests::failover::{Load, N_BLUEPRINTS};
use tests::programs::Process;
use tests::redis_cluster::RedisCluster;

const N_WORKERS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_fail_over_under_load_and_everything_is_decided_once() {
    let mut cluster = RedisCluster::start(3).await;
    let url = cluster.url();
    let env = [
        ("DRAFTSMAN_SHARDS", "6"),
        ("DRAFTSMAN_LEASE_SECS", "2"),
        ("DRAFTSMAN_WAIT_REPLICAS", "1"),
    ];
    let mut intake = Process::intake(&url, &env);
    let client = Client::connect(&intake.address().await).await;
    let env = &env[..2];
    // A program that knows a single node finds the others by itself.
    let one_node = format!("redis://127.0.0.1:{}", cluster.nodes()[0].port());
    let workers: Vec<_> = (0..N_WORKERS)
        .map(|n| Process::worker(if n == 0 { &one_node } else { &url }, env))
        .collect();
    for n in 0..N_BLUEPRINTS {
        client.put(factory::small(&format!("bp-{n}"))).await;
    }
    // A script that builds the names of keys itself reads a page of them.
    assert_eq!(client.blueprint_ids().await.len(), N_BLUEPRINTS + 2);
    let load = Load::start(&client);
    load.until_acknowledged(100).await;
    assert!(
        cluster.n_keys().await.iter().all(|n| *n > 0),
        "a master has nothing to do"
    );

    cluster.kill_master(1).await;
    // The node returns as the replica of the new master: until then nothing is acknowledged there.
    cluster.start_again(1);
    load.until_acknowledged_more(100).await;
    cluster.fail_over(2).await;
    load.until_acknowledged_more(100).await;

    let acknowledged = load.end().await;
    let snapshot = Snapshot::take_through(&client, cluster.masters().await, &acknowledged).await;
    let found = violations(&snapshot, Attempts::UpTo(5));
    assert!(found.is_empty(), "{found:#?}");
    for worker in &workers {
        assert!(!worker.stderr().contains("panicked"), "{}", worker.stderr());
    }
}
