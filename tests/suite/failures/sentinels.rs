//! A master behind Sentinels that dies, and the replica that replaces it.

use tests::checker::{Attempts, Snapshot, violations};
use tests::client::Client;
use tests::factory;
use tests::failover::{Load, N_BLUEPRINTS};
use tests::programs::Process;
use tests::redis_sentinels::Sentinels;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_is_found_again_after_a_failover_under_load() {
    let mut sentinels = Sentinels::start().await;
    let url = sentinels.url();
    // The replica with the most data takes over, so data that one of the two replicas has is kept.
    let env = [("DRAFTSMAN_WAIT_REPLICAS", "1")];
    let mut intake = Process::intake(&url, &env);
    let client = Client::connect(&intake.address().await).await;
    let env = [("DRAFTSMAN_LEASE_SECS", "2")];
    let _workers = [(); 2].map(|()| Process::worker(&url, &env));
    for n in 0..N_BLUEPRINTS {
        client.put(factory::small(&format!("bp-{n}"))).await;
    }
    let load = Load::start(&client);
    load.until_acknowledged(100).await;
    sentinels.kill_master().await;
    load.until_acknowledged_more(100).await;
    let acknowledged = load.end().await;

    let master = vec![sentinels.master().await];
    let snapshot = Snapshot::take_through(&client, master, &acknowledged).await;
    let found = violations(&snapshot, Attempts::UpTo(5));
    assert!(found.is_empty(), "{found:#?}");
}
