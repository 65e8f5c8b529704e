//! A store of several shards on one Redis: every function of a single shard, and lists that merge
//! the shards.

use std::collections::BTreeSet;

use proto::v1;
use proto::v1::IssueState;
use shared::store::Store;
use tests::checker::{Attempts, assert_sound};
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tonic::Code;

const SHARDS: &[(&str, &str)] = &[("DRAFTSMAN_SHARDS", "4")];
const N_BLUEPRINTS: usize = 12;

async fn rig(n_workers: usize) -> Rig {
    let mut rig = Rig::with_redis_and(RedisServer::start(Aof::None), SHARDS).await;
    for _ in 0..n_workers {
        rig.add_worker(SHARDS);
    }
    for n in 0..N_BLUEPRINTS {
        rig.client.put(factory::small(&name(n))).await;
    }
    rig
}

fn name(n: usize) -> String {
    format!("bp-{n:02}")
}

/// The names of two Blueprints in different shards.
fn apart() -> (String, String) {
    let store = Store::open("redis://127.0.0.1:1", 4).expect("a URL");
    let shard = |n: usize| {
        let id = shared::ids::BlueprintId::parse(&name(n)).expect("an id");
        store.of(&id).number()
    };
    let all: BTreeSet<usize> = (0..N_BLUEPRINTS).map(shard).collect();
    assert_eq!(all.len(), 4, "some shard is not tried");
    let other = (1..N_BLUEPRINTS).find(|n| shard(*n) != shard(0));
    (name(0), name(other.expect("there are four shards")))
}

async fn submit(client: &Client, blueprint: &str, issue: &str) -> Result<bool, tonic::Status> {
    let request = v1::SubmitIssueRequest {
        blueprint_id: blueprint.to_owned(),
        intent: format!("tag {issue}"),
        issue_id: Some(issue.to_owned()),
        ..Default::default()
    };
    let answer = client.intake.clone().submit_issue(request).await?;
    Ok(answer.into_inner().already_existed)
}

#[tokio::test]
async fn issues_of_all_shards_are_decided_in_order_and_once() {
    let rig = rig(2).await;
    let mut acknowledged = Vec::new();
    for round in 0..15 {
        for blueprint in 0..N_BLUEPRINTS {
            let id = format!("i-{blueprint}-{round}");
            submit(&rig.client, &name(blueprint), &id)
                .await
                .expect("accepted");
            acknowledged.push(id);
        }
    }
    let snapshot = assert_sound(&rig, &acknowledged, Attempts::One).await;
    assert_eq!(snapshot.entries.len(), 15 * N_BLUEPRINTS);
    let stats = rig.client.stats().await;
    assert_eq!(
        stats.workers.len(),
        2,
        "each worker is shown once: {stats:?}"
    );
}

#[tokio::test]
async fn lists_merge_the_shards_in_pages() {
    let rig = rig(1).await;
    let mut ids = Vec::new();
    for n in 0..40 {
        let issue = rig
            .client
            .run(&name(n % N_BLUEPRINTS), format!("tag n{n}"))
            .await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        ids.push(issue.issue_id);
    }
    // They were submitted and decided one after the other.
    for size in [1, 7, 40, 1000] {
        let mut newest_first = all_issues(&rig.client, size).await;
        newest_first.reverse();
        assert_eq!(newest_first, ids, "issues in pages of {size}");
        for newest_first in [true, false] {
            let mut listed = all_entries(&rig.client, newest_first, size).await;
            if newest_first {
                listed.reverse();
            }
            assert_eq!(
                listed, ids,
                "entries in pages of {size}, newest first: {newest_first}"
            );
        }
        let names: Vec<String> = (0..N_BLUEPRINTS).map(name).collect();
        let mut listed = all_blueprints(&rig.client, size).await;
        listed.retain(|id| id.starts_with("bp-"));
        assert_eq!(listed, names, "blueprints in pages of {size}");
    }
}

async fn all_issues(client: &Client, page_size: i32) -> Vec<String> {
    let mut request = v1::ListIssuesRequest {
        page_size,
        ..Default::default()
    };
    let mut ids = Vec::new();
    loop {
        let page = client.intake.clone().list_issues(request.clone()).await;
        let page = page.expect("ListIssues").into_inner();
        ids.extend(page.issues.into_iter().map(|issue| issue.issue_id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

async fn all_entries(client: &Client, newest_first: bool, page_size: i32) -> Vec<String> {
    let mut request = v1::ListLogEntriesRequest {
        newest_first,
        page_size,
        ..Default::default()
    };
    let mut ids = Vec::new();
    loop {
        let page = client.log.clone().list_log_entries(request.clone()).await;
        let page = page.expect("ListLogEntries").into_inner();
        ids.extend(page.entries.into_iter().map(|entry| entry.issue_id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

async fn all_blueprints(client: &Client, page_size: i32) -> Vec<String> {
    let mut request = v1::ListBlueprintsRequest {
        page_size,
        ..Default::default()
    };
    let mut ids = Vec::new();
    loop {
        let page = client
            .blueprints
            .clone()
            .list_blueprints(request.clone())
            .await;
        let page = page.expect("ListBlueprints").into_inner();
        ids.extend(page.blueprints.into_iter().map(|b| b.blueprint_id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn an_id_is_one_issue_in_all_shards() {
    let rig = rig(0).await;
    let (one, other) = apart();
    assert!(!submit(&rig.client, &one, "same").await.expect("accepted"));
    assert!(
        submit(&rig.client, &one, "same")
            .await
            .expect("it is there")
    );
    let refused = submit(&rig.client, &other, "same")
        .await
        .expect_err("it is taken");
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    assert_eq!(rig.client.issue("same").await.blueprint_id, one);
    let nobody = rig.client.intake.clone();
    let request = v1::GetIssueRequest {
        issue_id: "nobody".to_owned(),
    };
    let missing = nobody
        .clone()
        .get_issue(request)
        .await
        .expect_err("there is none");
    assert_eq!(missing.code(), Code::NotFound);
    // A pointer without an issue, which a dead submission leaves, does not name an issue either.
    let refused = submit(&rig.client, "no-such", "lost")
        .await
        .expect_err("no target");
    assert_eq!(refused.code(), Code::NotFound);
    let request = v1::GetIssueRequest {
        issue_id: "lost".to_owned(),
    };
    let missing = nobody
        .clone()
        .get_issue(request)
        .await
        .expect_err("there is none");
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn pausing_cancelling_and_retrying_reach_the_right_shard() {
    let mut rig = rig(0).await;
    let pause = |blueprint_id| v1::PauseQueueRequest { blueprint_id };
    rig.client
        .intake
        .pause_queue(pause(None))
        .await
        .expect("paused");
    rig.add_worker(SHARDS);
    for n in 0..N_BLUEPRINTS {
        submit(&rig.client, &name(n), &format!("i-{n}"))
            .await
            .expect("accepted");
    }
    let stats = rig.client.stats().await;
    assert!(
        stats.paused && stats.pending == N_BLUEPRINTS as u64 && stats.ready == 0,
        "{stats:?}"
    );
    let cancel = v1::CancelIssueRequest {
        issue_id: "i-3".to_owned(),
    };
    rig.client
        .intake
        .cancel_issue(cancel)
        .await
        .expect("cancelled");
    let resume = v1::ResumeQueueRequest { blueprint_id: None };
    rig.client
        .intake
        .resume_queue(resume)
        .await
        .expect("resumed");
    for n in 0..N_BLUEPRINTS {
        let issue = rig.client.decided(&format!("i-{n}")).await;
        let expected = if n == 3 {
            IssueState::Rejected
        } else {
            IssueState::Applied
        };
        assert_eq!(issue.state(), expected, "{issue:?}");
    }
    let retry = v1::RetryIssueRequest {
        issue_id: "i-3".to_owned(),
        new_issue_id: Some("again".to_owned()),
    };
    rig.client.intake.retry_issue(retry).await.expect("retried");
    assert_eq!(
        rig.client.decided("again").await.state(),
        IssueState::Applied
    );
}

/// Both kinds of edit act on the next issue in every shard.
#[tokio::test]
async fn an_edit_of_a_setting_or_an_orbit_is_seen_in_every_shard() {
    let rig = rig(1).await;
    let all_denied_by = async |axis: &str, round: &str| {
        for n in 0..N_BLUEPRINTS {
            let issue = rig.client.run(&name(n), format!("tag {round}")).await;
            let denied = issue
                .reason
                .starts_with(&format!("verifier deny: {axis}: "));
            assert!(denied, "{axis}: {issue:?}");
        }
    };
    for n in 0..N_BLUEPRINTS {
        rig.client.run(&name(n), "tag warm").await;
    }
    // The same tag again is not a change, so `noop` denies it.
    all_denied_by("noop", "warm").await;
    rig.client.edit_setting(factory::without_verification).await;
    for n in 0..N_BLUEPRINTS {
        let issue = rig.client.run(&name(n), "tag warm").await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    }
    // An issue against the orbit makes it deny everything.
    let flow = tests::factory::denying_flow();
    let intent = format!(r#"[{{"op":"replace","path":"/flow","value":{flow}}}]"#);
    let issue = rig.client.run("enhance-default", intent).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    for n in 0..N_BLUEPRINTS {
        let issue = rig.client.run(&name(n), "tag later").await;
        assert_eq!(
            issue.state(),
            IssueState::Rejected,
            "the old orbit ran: {issue:?}"
        );
    }
}

#[tokio::test]
async fn another_number_of_shards_is_refused_with_an_explanation() {
    let rig = rig(0).await;
    for n in ["1", "5"] {
        let env = [("DRAFTSMAN_SHARDS", n)];
        for mut program in [
            Process::intake(&rig.redis.url(), &env),
            Process::worker(&rig.redis.url(), &env),
        ] {
            let status = program.wait().await;
            assert_eq!(status.code(), Some(1), "{}", program.stderr());
            let said = program.stderr();
            let explained = said.contains(&format!("its shards is 4, this program works with {n}"))
                && said.contains("DRAFTSMAN_SHARDS");
            assert!(explained, "{said}");
        }
    }
}

/// One worker with fewer slots than shards serves all of them.
#[tokio::test]
async fn a_busy_shard_starves_no_other() {
    let mut rig = rig(0).await;
    let (busy, other) = apart();
    for n in 0..200 {
        submit(&rig.client, &busy, &format!("busy-{n}"))
            .await
            .expect("accepted");
    }
    submit(&rig.client, &other, "other")
        .await
        .expect("accepted");
    let mut env = SHARDS.to_vec();
    env.push(("DRAFTSMAN_CONCURRENCY", "1"));
    rig.add_worker(&env);
    rig.client.decided("other").await;
    let waiting = rig.client.stats().await.pending;
    eventually("the busy shard comes to its end", async || {
        match rig.client.stats().await.pending {
            0 => Ok(()),
            n => Err(n.to_string()),
        }
    })
    .await;
    let all = rig.client.entries().await;
    let place = all.iter().position(|entry| entry.issue_id == "other");
    assert!(
        place.is_some_and(|place| place < 150),
        "{place:?} of {}, {waiting} waited",
        all.len()
    );
    assert!(all.iter().all(|entry| entry.attempt == 1));
}
