//! Tests the audit of the queue: it finds each kind of damage.

use tests::store_audit::{dump, violations};
use tests::store_fixture::{Fixture, LONG, blueprint_id, fault, issue_ref, worker_id};

#[tokio::test]
async fn the_audit_finds_damage() {
    let fixture = Fixture::with(&["r", "l", "d", "p"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    for name in ["l", "d", "p", "r"] {
        if name == "p" {
            fixture.pause("p").await;
        }
        fixture.submit(name, &format!("{name}1")).await;
        fixture.submit(name, &format!("{name}2")).await;
        match name {
            "l" => drop(fixture.take(&worker, LONG).await),
            "d" => {
                let claimed = fixture.take(&worker, LONG).await;
                fixture
                    .step(store.release(&claimed.lease, &fault(LONG)))
                    .await;
            }
            _ => {}
        }
    }
    let keys = store.keys();
    let (places, pending, leases) = (keys.places(), keys.pending(), keys.leases());
    let (delayed, waiting, counts) = (keys.delayed(), keys.waiting(), keys.counts());
    let (list, backlog) = (keys.processing("w"), keys.backlog(&blueprint_id("r")));
    let issue = keys.issue(&issue_ref("r", "r2").issue_id);
    let head = keys.issue(&issue_ref("l", "l1").issue_id);
    let damages: [&[&str]; 17] = [
        &["HSET", &places, "r", "parked"],
        &["HDEL", &places, "p"],
        &["HSET", &places, "empty", "ready"],
        &["DEL", &pending],
        &["LPUSH", &pending, "r/r1"],
        &["LPUSH", &pending, "r/r2"],
        &["LPUSH", &list, "r/r1"],
        &["LPUSH", &list, "r/r2"],
        &["ZREM", &leases, "l/l1"],
        &["ZADD", &leases, "1", "r/r1"],
        &["ZREM", &delayed, "d/d1"],
        &["ZREM", &waiting, "r"],
        &["ZADD", &waiting, "1", "l"],
        &["HINCRBY", &counts, "pending", "1"],
        &["RPOP", &backlog],
        &["HSET", &issue, "state", "in_flight"],
        &["HSET", &head, "state", "applied"],
    ];
    for damage in damages {
        let client = store.handle();
        let sound = dump(store).await;
        assert_eq!(violations(&sound), Vec::<String>::new());
        // DUMP and RESTORE of the damaged keys: each case starts from the same sound queues.
        let saved: Option<Vec<u8>> = client
            .command("save", redis::cmd("DUMP").arg(damage[1]))
            .await
            .unwrap();
        let _: redis::Value = fixture.raw(damage).await;
        let found = violations(&dump(store).await);
        assert!(!found.is_empty(), "{damage:?} is not found");
        let _: i64 = fixture.raw(&["DEL", damage[1]]).await;
        if let Some(saved) = saved {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(damage[1]).arg(0).arg(saved);
            let _: String = client.command("restore", &restore).await.unwrap();
        }
    }
}
