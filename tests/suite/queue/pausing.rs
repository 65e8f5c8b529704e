//! PauseQueue and ResumeQueue through the programs.

use proto::v1;
use proto::v1::IssueState;
use serde_json::Value;
use tests::checker::Attempts;
use tests::factory;
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;
use tonic::{Code, Status};

async fn pause(rig: &Rig, blueprint_id: Option<&str>) -> Result<v1::GetQueueStatsResponse, Status> {
    let request = v1::PauseQueueRequest {
        blueprint_id: blueprint_id.map(str::to_owned),
    };
    let answer = rig.client.intake.clone().pause_queue(request).await?;
    Ok(answer.into_inner().stats.expect("PauseQueue answers stats"))
}

async fn resume(
    rig: &Rig,
    blueprint_id: Option<&str>,
) -> Result<v1::GetQueueStatsResponse, Status> {
    let request = v1::ResumeQueueRequest {
        blueprint_id: blueprint_id.map(str::to_owned),
    };
    let answer = rig.client.intake.clone().resume_queue(request).await?;
    Ok(answer
        .into_inner()
        .stats
        .expect("ResumeQueue answers stats"))
}

#[tokio::test]
async fn a_paused_blueprint_waits_while_another_goes_on() {
    let rig = Rig::start().await;
    for id in ["held", "free"] {
        rig.client.put(factory::small(id)).await;
    }
    let stats = pause(&rig, Some("held")).await.expect("PauseQueue");
    assert_eq!(
        (stats.paused, stats.paused_blueprint_ids),
        (false, vec!["held".to_owned()])
    );
    let mut held = Vec::new();
    for n in 0..3 {
        let intent = format!("tag n{n}");
        held.push(rig.client.submit("held", intent).await.issue_id);
    }
    // The worker pops in order: it would have decided a paused issue before this one.
    let free = rig.client.run("free", "tag x").await;
    assert_eq!(free.state(), IssueState::Applied);
    for id in &held {
        let issue = rig.client.issue(id).await;
        assert_eq!((issue.state(), issue.attempt), (IssueState::Pending, 0));
    }
    let stats = resume(&rig, Some("held")).await.expect("ResumeQueue");
    assert_eq!(stats.paused_blueprint_ids, [] as [&str; 0]);
    for id in &held {
        assert_eq!(rig.client.decided(id).await.state(), IssueState::Applied);
    }
    held.push(free.issue_id);
    let snapshot = tests::checker::Snapshot::take(&rig, &held).await;
    assert_eq!(tests::checker::violations(&snapshot, Attempts::One), []);
    assert_eq!(rig.counted("repaired").await, 0);
}

#[tokio::test]
async fn what_is_in_flight_when_everything_is_paused_is_decided() {
    let endless = factory::endless_scripts();
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("busy")).await;
    rig.client.edit_setting(|s| s.ttl_secs = 2).await;
    let dir = endless.path().to_str().expect("a plain path");
    rig.add_worker(&[("DRAFTSMAN_LUA_DIR", dir)]);
    let running = rig.client.submit("busy", "tag one").await.issue_id;
    let waiting = rig.client.submit("busy", "tag two").await.issue_id;
    rig.until_in_flight(1).await;
    let stats = pause(&rig, None).await.expect("PauseQueue");
    assert!(stats.paused, "{stats:?}");
    // Its flow ends at its time limit, as without a pause.
    let decided = rig.client.decided(&running).await;
    assert!(decided.reason.contains("time limit"), "{decided:?}");
    let stats = rig.client.stats().await;
    assert_eq!((stats.pending, stats.ready, stats.in_flight), (1, 0, 0));
    assert_eq!(rig.client.issue(&waiting).await.attempt, 0);
    assert!(!resume(&rig, None).await.expect("ResumeQueue").paused);
    rig.client.decided(&waiting).await;
}

#[tokio::test]
async fn what_cannot_be_paused_is_refused() {
    let rig = Rig::without_worker().await;
    for (name, code) in [
        ("nobody", Code::NotFound),
        ("", Code::InvalidArgument),
        ("a/b", Code::InvalidArgument),
        ("*", Code::InvalidArgument),
    ] {
        let before = rig.key_dump().await;
        let refused = pause(&rig, Some(name)).await.expect_err("PauseQueue");
        assert_eq!(refused.code(), code, "{name}: {refused}");
        let refused = resume(&rig, Some(name)).await.expect_err("ResumeQueue");
        assert_eq!(refused.code(), code, "{name}: {refused}");
        assert_eq!(rig.key_dump().await, before, "{name}");
    }
}

#[tokio::test]
async fn a_person_pauses_and_resumes_at_the_terminal() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("held")).await;
    let addr = format!("http://{}", rig.address);
    let draftsman =
        async |args: &[&str]| run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await;
    let stats = |finished: &Finished| -> Value {
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let answer: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        answer["stats"].clone()
    };
    let paused = draftsman(&["pause", "held"]).await;
    assert_eq!(paused.code, Some(0), "{paused:?}");
    assert!(paused.stdout.contains("held"), "{paused:?}");
    let all = stats(&draftsman(&["pause", "--output", "json"]).await);
    assert_eq!(all["paused"], Value::Bool(true));
    let issue = rig.client.submit("held", "tag x").await;
    let all = stats(&draftsman(&["resume", "--output", "json"]).await);
    assert_eq!(all["paused"], Value::Bool(false));
    assert_eq!(all["paused_blueprint_ids"], serde_json::json!(["held"]));
    assert_eq!(all["pending"], 1);
    let last = stats(&draftsman(&["resume", "held", "--output", "json"]).await);
    assert_eq!(last["paused_blueprint_ids"], serde_json::json!([]));
    rig.client.decided(&issue.issue_id).await;
    let unknown = draftsman(&["pause", "nobody"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}
