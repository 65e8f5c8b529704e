//! Many issues over many Blueprints, some of them hot. Processes die during the load, and the
//! checker then reads everything.

use std::collections::BTreeSet;

use proto::v1;
use proto::v1::IssueState;
use tests::checker::{Attempts, assert_sound};
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tokio::task::JoinSet;

const N_BLUEPRINTS: usize = 40;

/// One issue in seven is denied. The others are applied, each with a different change.
fn intent(n: usize) -> String {
    match n % 7 {
        3 => "nobody understands this".to_owned(),
        5 => format!("describe as number {n}"),
        6 => format!("set prompt of agent agent-1 to Be number {n}."),
        _ => format!("tag n{n}"),
    }
}

async fn put_all(client: &Client) {
    for n in 0..N_BLUEPRINTS {
        client.put(factory::small(&format!("bp-{n}"))).await;
    }
}

/// Submits `n_issues` to every Blueprint (five times as many to the first). Submissions to one
/// Blueprint are sequential; Blueprints run in parallel. A submitter stops at its first error.
fn submit_all(client: &Client, n_issues: usize) -> JoinSet<Vec<String>> {
    let mut submitters = JoinSet::new();
    for blueprint in 0..N_BLUEPRINTS {
        let mut intake = client.intake.clone();
        let n_issues = if blueprint == 0 {
            5 * n_issues
        } else {
            n_issues
        };
        submitters.spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0..n_issues {
                let request = v1::SubmitIssueRequest {
                    blueprint_id: format!("bp-{blueprint}"),
                    intent: intent(n),
                    issue_id: Some(format!("i-{blueprint}-{n}")),
                    ..Default::default()
                };
                match intake.submit_issue(request).await {
                    Ok(_) => acknowledged.push(format!("i-{blueprint}-{n}")),
                    Err(_) => break,
                }
            }
            acknowledged
        });
    }
    submitters
}

async fn acknowledged(submitters: JoinSet<Vec<String>>) -> Vec<String> {
    submitters.join_all().await.into_iter().flatten().collect()
}

/// Waits until at least `count` issues are decided.
async fn decided(client: &Client, count: usize) {
    eventually("some issues are decided", async || {
        match client.entries().await.len() {
            n if n >= count => Ok(()),
            n => Err(format!("{n} of {count}")),
        }
    })
    .await;
}

#[tokio::test]
async fn two_workers_and_forty_blueprints_at_once() {
    let mut rig = Rig::start().await;
    rig.add_worker(&[]);
    put_all(&rig.client).await;
    let ids = acknowledged(submit_all(&rig.client, 8)).await;
    assert_eq!(ids.len(), 44 * 8, "every submission is acknowledged");
    let snapshot = assert_sound(&rig, &ids, Attempts::One).await;
    let workers: BTreeSet<&str> = snapshot
        .issues
        .values()
        .map(|i| i.worker_id.as_str())
        .collect();
    assert_eq!(workers.len(), 2, "both workers had a share: {workers:?}");
    for n in 1..N_BLUEPRINTS {
        assert_eq!(snapshot.histories[&format!("bp-{n}")].len(), 1 + 7);
    }
}

#[tokio::test]
async fn killed_workers_lose_nothing() {
    let mut rig = Rig::without_worker().await;
    let env = [("DRAFTSMAN_LEASE_SECS", "1")];
    rig.add_worker(&env);
    rig.add_worker(&env);
    put_all(&rig.client).await;
    let submitters = submit_all(&rig.client, 6);
    decided(&rig.client, 40).await;
    for worker in &mut rig.workers {
        worker.kill();
    }
    let ids = acknowledged(submitters).await;
    assert_eq!(ids.len(), 44 * 6);
    rig.workers.clear();
    rig.add_worker(&env);
    rig.add_worker(&env);
    assert_sound(&rig, &ids, Attempts::UpTo(5)).await;
}

#[tokio::test]
async fn killing_everything_and_starting_again_loses_nothing() {
    let mut rig = Rig::with_redis(RedisServer::start(Aof::Always)).await;
    let env = [("DRAFTSMAN_LEASE_SECS", "1")];
    rig.add_worker(&env);
    put_all(&rig.client).await;
    let submitters = submit_all(&rig.client, 4);
    decided(&rig.client, 30).await;
    rig.redis.kill();
    rig.intake.kill();
    rig.workers[0].kill();
    let ids = acknowledged(submitters).await;

    rig.redis.start_again();
    rig.restart_intake().await;
    rig.workers.clear();
    rig.add_worker(&env);
    let later = rig.client.submit("bp-1", "tag later").await;
    let mut ids: Vec<String> = ids;
    ids.push(later.issue_id.clone());
    assert_sound(&rig, &ids, Attempts::UpTo(5)).await;
    assert_eq!(
        rig.client.issue(&later.issue_id).await.state(),
        IssueState::Applied
    );
}

#[tokio::test]
async fn an_issue_in_the_hands_of_a_killed_worker_is_done_by_another() {
    let scripts = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(
        scripts.path().join("patch_spawner.lua"),
        "while true do end",
    )
    .expect("a script file");
    let lua_dir = scripts.path().to_str().expect("a plain path");
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("orphan")).await;
    rig.add_worker(&[
        ("DRAFTSMAN_LEASE_SECS", "1"),
        ("DRAFTSMAN_LUA_DIR", lua_dir),
    ]);
    let first = rig.client.submit("orphan", "tag one").await;
    let second = rig.client.submit("orphan", "tag two").await;
    eventually("it is in flight", async || {
        match rig.client.issue(&first.issue_id).await {
            issue if issue.state() == IssueState::InFlight => Ok(()),
            issue => Err(format!("{issue:?}")),
        }
    })
    .await;
    assert_eq!(
        rig.client.issue(&second.issue_id).await.state(),
        IssueState::Pending,
        "it waits its turn"
    );
    rig.workers[0].kill();
    rig.add_worker(&[("DRAFTSMAN_LEASE_SECS", "1")]);
    let first = rig.client.decided(&first.issue_id).await;
    let second = rig.client.decided(&second.issue_id).await;
    assert_eq!(
        (first.state(), first.attempt),
        (IssueState::Applied, 2),
        "{first:?}"
    );
    assert_eq!(
        (second.state(), second.attempt),
        (IssueState::Applied, 1),
        "{second:?}"
    );
    let ids = [first.issue_id, second.issue_id];
    assert_sound(&rig, &ids, Attempts::UpTo(2)).await;
}

#[tokio::test]
async fn a_worker_that_stood_still_does_no_harm() {
    use tests::programs::Signal;
    let mut rig = Rig::without_worker().await;
    let env = [("DRAFTSMAN_LEASE_SECS", "1")];
    rig.add_worker(&env);
    put_all(&rig.client).await;
    let submitters = submit_all(&rig.client, 4);
    decided(&rig.client, 20).await;
    rig.workers[0].signal(Signal::Stop);
    rig.add_worker(&env);
    let ids = acknowledged(submitters).await;
    eventually("the other worker does it all", async || {
        let stats = rig.client.stats().await;
        if stats.pending + stats.in_flight + stats.delayed == 0 {
            Ok(())
        } else {
            Err(format!("{stats:?}"))
        }
    })
    .await;
    rig.workers[0].signal(Signal::Continue);
    // The worker notices that its leases are lost, and continues.
    let more = rig.client.run("bp-0", "tag more").await;
    assert_eq!(more.state(), IssueState::Applied);
    let ids: Vec<String> = ids.into_iter().chain([more.issue_id]).collect();
    assert_sound(&rig, &ids, Attempts::UpTo(5)).await;
}

#[tokio::test]
async fn a_blueprint_with_a_long_queue_does_not_starve_the_others() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("hot")).await;
    rig.client.put(factory::small("cold")).await;
    let mut hot = Vec::new();
    for n in 0..150 {
        hot.push(rig.client.submit("hot", format!("tag n{n}")).await.issue_id);
    }
    let cold = rig.client.submit("cold", "tag one").await;
    rig.add_worker(&[("DRAFTSMAN_CONCURRENCY", "1")]);
    rig.client.decided(&cold.issue_id).await;
    let order: Vec<String> = rig
        .client
        .entries()
        .await
        .into_iter()
        .map(|e| e.issue_id)
        .collect();
    let place = order
        .iter()
        .position(|id| *id == cold.issue_id)
        .expect("it is decided");
    assert!(place <= 3, "decided after {place} issues of the hot one");
    hot.push(cold.issue_id);
    assert_sound(&rig, &hot, Attempts::One).await;
}

#[tokio::test]
async fn a_hot_blueprint_hands_its_head_from_issue_to_issue() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::two_kb("hot")).await;
    // More slots than the one issue that may run: each claim overlaps with the end of the previous
    // issue.
    rig.add_worker(&[("DRAFTSMAN_CONCURRENCY", "16")]);
    let mut submitters = JoinSet::new();
    for k in 0..8 {
        let client = rig.client.clone();
        submitters.spawn(async move {
            for n in 0..60 {
                client
                    .submit("hot", format!("describe as number {k}/{n}"))
                    .await;
            }
        });
    }
    submitters.join_all().await;
    // Eight submitters at once: only the server knows the order.
    assert_sound(&rig, &[], Attempts::One).await;
    for issue in rig.client.issues().await {
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    }
    assert_eq!(rig.client.history("hot").await.len(), 1 + 8 * 60);
}
