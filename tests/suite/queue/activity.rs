//! The figures of activity: counted once, in their minute, hour and day, and equal to the log.

use proto::v1;
use shared::domain::activity::{Activity, Level};
use shared::store::{CountedDecisions, Store};
use tests::eventually::eventually;
use tests::rig::Rig;
use tests::store_fixture::{Fixture, How, LONG, worker_id};

async fn total(store: &Store, level: Level) -> Activity {
    let now = store.home().server_ms().await.expect("a time") / 1_000;
    let parts = store
        .activity(level, now - 7_200, now + 60, None)
        .await
        .expect("figures");
    let mut sum = Activity::default();
    for part in parts.values() {
        sum.applied += part.applied;
        sum.denied += part.denied;
        sum.failed += part.failed;
        sum.timed += part.timed;
        sum.total_wait_ms += part.total_wait_ms;
        for (axis, n) in &part.denials_by_axis {
            *sum.denials_by_axis.entry(axis.clone()).or_default() += n;
        }
    }
    sum
}

#[tokio::test]
async fn each_decision_is_counted_once_in_its_minute_hour_and_day() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let store = &fixture.whole;
    let worker = worker_id("w");
    for (blueprint, issue, how) in [
        ("a", "one", How::Applied),
        ("a", "two", How::Denied),
        ("b", "three", How::Failed),
    ] {
        fixture.submit(blueprint, issue).await;
        let claimed = fixture.take(&worker, LONG).await;
        fixture.step(fixture.settle(&claimed, how)).await;
    }
    let counted = CountedDecisions {
        counted: 3,
        skipped: 0,
    };
    assert_eq!(store.home().count_activity().await.unwrap(), counted);
    // Nothing is left, and several callers count nothing twice.
    assert_eq!(
        store.home().count_activity().await.unwrap(),
        CountedDecisions::default()
    );
    for level in Level::ALL {
        let sum = total(store, level).await;
        assert_eq!(
            (sum.applied, sum.denied, sum.failed),
            (1, 1, 1),
            "{level:?}"
        );
        assert_eq!(sum.timed, 3, "{level:?}: each was claimed");
        assert!(sum.denials_by_axis.values().sum::<u64>() <= 1, "{level:?}");
    }
}

#[tokio::test]
async fn concurrent_callers_count_each_decision_once() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.whole;
    let worker = worker_id("w");
    for n in 0..120 {
        fixture.submit("a", &format!("issue-{n}")).await;
        let claimed = fixture.take(&worker, LONG).await;
        fixture.step(fixture.settle(&claimed, How::Denied)).await;
    }
    let home = store.home();
    let calls = (0..8).map(|_| home.count_activity());
    let counted = futures::future::try_join_all(calls).await.expect("counts");
    assert_eq!(
        counted.iter().map(|counted| counted.counted).sum::<u64>(),
        120
    );
    assert_eq!(total(store, Level::Minutes).await.denied, 120);
}

/// What GetActivity says is what the log has.
#[tokio::test]
async fn the_figures_equal_a_count_over_the_log() {
    let mut rig = Rig::start().await;
    rig.add_worker(&[]);
    for id in ["a", "b"] {
        rig.client.put(tests::factory::small(id)).await;
        for n in 0..6 {
            let intent = if n % 3 == 0 {
                "remove /nothing".to_owned()
            } else {
                format!("tag t{n}")
            };
            rig.client.submit(id, intent).await;
        }
    }
    eventually("every decision is in the figures", async || {
        let entries = rig.client.entries().await;
        let of = |status: &str, cause: &str| {
            let matching = entries
                .iter()
                .filter(|e| e.status == status && e.cause == cause);
            matching.count() as u64
        };
        let expected = (
            of("applied", ""),
            of("rejected", "denied"),
            entries.len() as u64,
        );
        let request = v1::GetActivityRequest {
            window_secs: 7_200,
            bucket_secs: 60,
            blueprint_id: None,
        };
        let answer = rig
            .client
            .log
            .clone()
            .get_activity(request)
            .await
            .expect("figures")
            .into_inner();
        let sum = |of: fn(&v1::ActivityBucket) -> u64| answer.buckets.iter().map(of).sum::<u64>();
        let figures = (
            sum(|b| b.applied),
            sum(|b| b.denied),
            sum(|b| b.applied + b.denied + b.failed + b.cancelled + b.declined),
        );
        let all = expected.2 == 12 && figures == expected;
        all.then_some(())
            .ok_or_else(|| format!("{figures:?} of {expected:?}"))
    })
    .await;
}
