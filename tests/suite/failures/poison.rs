//! An issue that kills every worker that runs it, among harmless issues.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory;
use tests::rig::Rig;

const POISON: &str = "FAILPOINTS";
const N_NEIGHBOURS: usize = 12;

/// Starts a new worker whenever the running one has died, until the issue is decided. Returns the
/// number of deaths.
async fn keep_a_worker(rig: &mut Rig, env: &[(&str, &str)], issue_id: &str) -> usize {
    let mut deaths = 0;
    rig.add_worker(env);
    eventually("the poison issue is decided", async || {
        if rig
            .workers
            .last_mut()
            .is_some_and(|w| w.try_wait().is_some())
        {
            deaths += 1;
            rig.add_worker(env);
        }
        let issue = rig.client.issue(issue_id).await;
        match tests::client::is_terminal(&issue) {
            true => Ok(()),
            false => Err(format!("{issue:?}")),
        }
    })
    .await;
    deaths
}

async fn run(max_attempts: u32, deaths: u32) {
    let mut rig = Rig::without_worker().await;
    let mut ids = vec!["poison".to_owned()];
    rig.client.put(factory::small("poisoned")).await;
    let mut poison = tonic::Request::new(v1::SubmitIssueRequest {
        blueprint_id: "poisoned".to_owned(),
        intent: "tag x".to_owned(),
        issue_id: ids.first().cloned(),
        ..Default::default()
    });
    let actor = "Poisoner".parse().expect("a header");
    poison.metadata_mut().insert("draftsman-actor", actor);
    rig.client
        .intake
        .submit_issue(poison)
        .await
        .expect("accepted");
    for n in 0..N_NEIGHBOURS {
        let id = format!("bp-{n}");
        rig.client.put(factory::small(&id)).await;
        ids.push(rig.client.submit(&id, "tag x").await.issue_id);
    }
    let max = max_attempts.to_string();
    let env = [
        (POISON, "flow.after:poison=return(kill)"),
        ("DRAFTSMAN_LEASE_SECS", "1"),
        ("DRAFTSMAN_MAX_ATTEMPTS", &max),
    ];
    let died = keep_a_worker(&mut rig, &env, "poison").await;
    assert_eq!(died, deaths as usize);
    let dead = rig.client.decided("poison").await;
    assert_eq!(
        (dead.state(), dead.cause(), dead.attempt),
        (IssueState::Rejected, RejectionCause::Failed, deaths),
        "{dead:?}"
    );
    let words = format!("dispatch failed after {deaths} attempts");
    assert!(dead.reason.starts_with(&words), "{}", dead.reason);
    assert_eq!(rig.client.stats().await.dead, 1);
    // The last worker has given it up, and logs the actor with this decision.
    let last = rig.workers.last().expect("a worker");
    last.until_logged("outcome=Dead").await;
    let log = last.stderr();
    let line = log.lines().find(|line| line.contains("outcome=Dead"));
    let line = line.expect("the line was just there");
    assert!(line.contains("actor=\"Poisoner\""), "{line}");

    let alone = |worker: &&tests::programs::Process| {
        let events = worker.events("issue.alone");
        events.iter().any(|event| event["issue_id"] == "poison")
    };
    let n_alone = rig.workers.iter().filter(alone).count() as u32;
    // Beside others it runs at most twice, and never in its last attempt.
    let beside = 2.min(max_attempts.saturating_sub(1)).max(1);
    assert_eq!(n_alone, deaths - beside, "of {deaths}");
    for id in &ids[1..] {
        let issue = rig.client.decided(id).await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        assert!(
            issue.attempt <= beside + 1,
            "a neighbour paid more than that: {issue:?}"
        );
    }
    assert_sound(&rig, &ids, Attempts::UpTo(deaths)).await;
}

#[tokio::test]
async fn it_runs_alone_from_its_third_attempt_on() {
    run(4, 4).await;
}

#[tokio::test]
async fn the_last_of_two_attempts_is_alone() {
    run(2, 2).await;
}

/// An issue that only ran beside others is not declared dead, because another issue may have
/// crashed the worker.
#[tokio::test]
async fn a_single_attempt_is_followed_by_one_alone() {
    run(1, 2).await;
}
