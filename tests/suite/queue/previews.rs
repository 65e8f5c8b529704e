//! PreviewIssue runs the whole flow and stores nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proto::v1;
use proto::v1::IssueState;
use serde_json::{Value, json};
use shared::store::redis::keys::Keys;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::{Program, Signal, run};
use tests::rig::Rig;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// A spawner that never ends if the intent says `loop`, raises an error if it says `break`, and
/// adds a tag otherwise.
const SPAWNER: &str = r"
local intent = _CTX.issue.intent
if string.find(intent, 'loop', 1, true) then while true do end end
if string.find(intent, 'break', 1, true) then error('broken on purpose') end
local op = { op = 'add', path = '/metadata/tags/-', value = intent }
return { ops = host.array({ op }), bump = 'patch', rationale = 'tagged' }
";

fn scripts() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("patch_spawner.lua");
    std::fs::write(file, SPAWNER).expect("a script file");
    dir
}

fn with_scripts(dir: &Path) -> (&'static str, &str) {
    ("DRAFTSMAN_LUA_DIR", dir.to_str().expect("a plain path"))
}

fn request(blueprint_id: &str, intent: &str) -> v1::PreviewIssueRequest {
    v1::PreviewIssueRequest {
        blueprint_id: blueprint_id.to_owned(),
        intent: intent.to_owned(),
    }
}

async fn preview(
    rig: &Rig,
    blueprint_id: &str,
    intent: &str,
) -> Result<v1::PreviewIssueResponse, Status> {
    let mut intake = rig.client.intake.clone();
    let answer = intake.preview_issue(request(blueprint_id, intent)).await;
    answer.map(tonic::Response::into_inner)
}

/// As [`preview`], with this timeout of the caller.
async fn impatiently(rig: &Rig, intent: &str, wait_limit: Duration) -> Status {
    let mut request = Request::new(request("tried", intent));
    request.set_timeout(wait_limit);
    let answer = rig.client.intake.clone().preview_issue(request).await;
    answer.expect_err("nobody answers in time")
}

/// Waits until the workers have subscribed to the requests of intake, so that none is missed.
async fn until_there(rig: &Rig) {
    eventually("a worker is there", async || {
        let stats = rig.client.stats().await;
        (!stats.workers.is_empty())
            .then_some(())
            .ok_or_else(|| format!("{stats:?}"))
    })
    .await;
}

async fn rig(env: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("tried")).await;
    rig.add_worker(env);
    until_there(&rig).await;
    rig
}

/// All stored data, without the answers themselves and the data that heartbeats change.
async fn stored(rig: &Rig) -> BTreeMap<String, Vec<u8>> {
    let (keys, mut dump) = (Keys::of_shard(0), rig.key_dump().await);
    let beats = [
        keys.workers(),
        keys.worker_load(),
        keys.audited(),
        keys.pruned(),
    ];
    let answer = keys.previews().replace("previews", "preview:");
    dump.retain(|key, _| !beats.contains(key) && !key.starts_with(&answer));
    dump
}

async fn waiting(rig: &Rig) -> u64 {
    let mut connection = rig.redis.connection().await;
    let length = redis::cmd("LLEN")
        .arg(Keys::of_shard(0).previews())
        .query_async(&mut connection)
        .await;
    length.expect("LLEN")
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.expect("an ErrorInfo").reason
}

#[tokio::test]
async fn a_preview_tells_what_would_be_committed_and_changes_nothing() {
    let rig = rig(&[]).await;
    let before = stored(&rig).await;
    let told = preview(&rig, "tried", "tag blue")
        .await
        .expect("PreviewIssue");
    assert_eq!(stored(&rig).await, before);
    assert!(told.would_apply, "{told:?}");
    assert_eq!(told.reasons, [] as [&str; 0]);
    assert!(told.unified_diff.contains("+  - blue"), "{told:?}");
    assert!(told.unified_diff.contains("+  version_label: \"1.0.1\""));
    let axes: Vec<&str> = told.verdicts.iter().map(|v| v.axis.as_str()).collect();
    assert_eq!(axes, ["des", "canonical", "noop", "agent-ref"]);
    assert!(told.verdicts.iter().all(|v| v.status == "pass"));

    // The issue then has the effect that the preview reported.
    let old = rig.client.head_json("tried").await;
    let applied = rig.client.run("tried", "tag blue").await;
    assert_eq!(applied.state(), IssueState::Applied);
    let entry = rig.client.entry(&applied.issue_id).await;
    assert_eq!(
        (entry.rationale, entry.verdicts),
        (told.rationale, told.verdicts)
    );
    let parse = |value: &Value| shared::blueprint::json::parse(&value.to_string()).expect("JSON");
    let ops = shared::blueprint::json::parse(&told.json_patch).expect("JSON");
    let patched = shared::blueprint::patch::apply(&parse(&old), &ops).expect("it applies");
    assert!(patched.identical(&parse(&rig.client.head_json("tried").await)));
}

#[tokio::test]
async fn a_denial_is_an_answer_that_says_why() {
    let rig = rig(&[]).await;
    let before = stored(&rig).await;
    for (intent, axis, shown) in [
        ("nobody understands this", "noop", ""),
        ("remove /nowhere", "apply", ""),
        ("set /id to other", "des", "+id: other"),
    ] {
        let told = preview(&rig, "tried", intent).await.expect("PreviewIssue");
        assert!(!told.would_apply, "{told:?}");
        let begin = format!("{axis}: ");
        assert!(
            told.reasons.iter().any(|r| r.starts_with(&begin)),
            "{told:?}"
        );
        let denied = told.verdicts.iter().filter(|v| v.status == "deny");
        assert_eq!(denied.count(), told.reasons.len(), "{told:?}");
        assert!(told.unified_diff.contains(shown), "{told:?}");
        assert_eq!(told.json_patch == "[]", shown.is_empty(), "{told:?}");
    }
    assert_eq!(stored(&rig).await, before);
}

#[tokio::test]
async fn a_flow_that_fails_says_what_an_issue_would_say() {
    let dir = scripts();
    let rig = rig(&[with_scripts(dir.path())]).await;
    let failed = preview(&rig, "tried", "break")
        .await
        .expect_err("a script error");
    assert_eq!(failed.code(), Code::FailedPrecondition, "{failed}");
    assert_eq!(reason(&failed), "PREVIEW_FAILED");
    let issue = rig.client.run("tried", "break").await;
    assert_eq!(failed.message(), issue.reason);
    assert!(issue.reason.starts_with("dispatch failed: "), "{issue:?}");

    rig.client
        .edit_setting(|setting| setting.ttl_secs = 1)
        .await;
    let failed = preview(&rig, "tried", "loop")
        .await
        .expect_err("the time limit");
    assert_eq!(failed.code(), Code::FailedPrecondition, "{failed}");
    assert!(failed.message().contains("time limit exceeded"), "{failed}");
    // Its slot and its Lua state are free again.
    let told = preview(&rig, "tried", "tag").await.expect("PreviewIssue");
    assert!(told.would_apply);
}

#[tokio::test]
async fn a_fault_that_may_pass_says_so() {
    let rig = rig(&[("FAILPOINTS", "flow.fault=return(the model is away)")]).await;
    let fault = preview(&rig, "tried", "tag x").await.expect_err("a fault");
    assert_eq!(fault.code(), Code::Unavailable, "{fault}");
    assert!(fault.message().contains("the model is away"), "{fault}");
    assert!(fault.get_details_retry_info().is_some());
    assert_eq!(waiting(&rig).await, 0, "it is not tried again");
}

#[tokio::test]
async fn what_cannot_be_tried_is_refused() {
    let mut rig = rig(&[]).await;
    let long = "x".repeat(64 * 1024 + 1);
    for (blueprint_id, intent, code) in [
        ("nobody", "tag x", Code::NotFound),
        ("", "tag x", Code::InvalidArgument),
        ("tried", "", Code::InvalidArgument),
        ("tried", &long, Code::InvalidArgument),
    ] {
        let refused = preview(&rig, blueprint_id, intent).await;
        assert_eq!(refused.expect_err("refused").code(), code);
    }
    let mut connection = rig.redis.connection().await;
    let id = shared::ids::BlueprintId::parse("tried").expect("an id");
    let _: i64 = redis::cmd("HSET")
        .arg(Keys::of_shard(0).blueprint(&id))
        .arg("archived")
        .arg("1")
        .query_async(&mut connection)
        .await
        .expect("HSET");
    let refused = preview(&rig, "tried", "tag x").await.expect_err("archived");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(reason(&refused), "BLUEPRINT_ARCHIVED");
    rig.workers.clear();
    let refused = preview(&rig, "nobody", "tag x").await;
    assert_eq!(refused.expect_err("no Blueprint").code(), Code::NotFound);
}

#[tokio::test]
async fn without_a_worker_nobody_waits() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("tried")).await;
    // Without any worker; with a worker that was killed; with a worker that dies during the
    // request.
    for fail_points in [
        None,
        Some("preview.taken=off"),
        Some("preview.taken=return(kill)"),
    ] {
        if let Some(fail_points) = fail_points {
            rig.add_worker(&[("FAILPOINTS", fail_points)]);
            until_there(&rig).await;
        }
        if fail_points == Some("preview.taken=off") {
            preview(&rig, "tried", "tag x").await.expect("PreviewIssue");
            rig.workers.clear();
        }
        let refused = preview(&rig, "tried", "tag x")
            .await
            .expect_err("no worker");
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert_eq!(reason(&refused), "NO_WORKER");
        assert!(refused.get_details_retry_info().is_some());
    }
    eventually("the request is taken back", async || {
        match waiting(&rig).await {
            0 => Ok(()),
            n => Err(format!("{n} are waiting")),
        }
    })
    .await;
}

#[tokio::test]
async fn previews_wait_neither_for_issues_nor_for_a_pause() {
    let dir = scripts();
    let one_slot = ("DRAFTSMAN_CONCURRENCY", "1");
    let rig = rig(&[with_scripts(dir.path()), one_slot]).await;
    rig.client.put(factory::small("busy")).await;
    rig.client.submit("busy", "loop").await;
    rig.until_in_flight(1).await;
    let queued = rig.client.submit("tried", "tag").await.issue_id;
    rig.client
        .intake
        .clone()
        .pause_queue(v1::PauseQueueRequest::default())
        .await
        .expect("PauseQueue");
    for blueprint_id in ["busy", "tried"] {
        let told = preview(&rig, blueprint_id, "tag")
            .await
            .expect("PreviewIssue");
        assert!(told.would_apply, "{told:?}");
    }
    let waits = rig.client.issue(&queued).await;
    assert_eq!(waits.state(), IssueState::Pending);
}

/// Intake reads the memory once a second, so it may accept a preview before it rejects the first.
#[tokio::test]
async fn a_redis_that_is_nearly_full_admits_no_preview() {
    let rig = rig(&[]).await;
    let mut connection = rig.redis.connection().await;
    let _: i64 = redis::cmd("SETRANGE")
        .arg(&["filling", "30000000", "x"])
        .query_async(&mut connection)
        .await
        .expect("SETRANGE");
    let info: redis::InfoDict = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut connection)
        .await
        .expect("INFO");
    let used: u64 = info.get("used_memory").expect("used_memory");
    let _: String = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", &(used * 100 / 95).to_string()])
        .query_async(&mut connection)
        .await
        .expect("CONFIG");
    let refused = eventually("previews are refused", async || {
        match preview(&rig, "tried", "tag x").await {
            Ok(told) => Err(format!("{told:?}")),
            Err(status) => Ok(status),
        }
    })
    .await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(reason(&refused), "MEMORY_FULL");
    assert!(refused.get_details_retry_info().is_some());
}

#[tokio::test]
async fn no_more_than_a_hundred_previews_wait() {
    let dir = scripts();
    let rig = rig(&[with_scripts(dir.path())]).await;
    // The worker is suspended, so that nothing is taken from the list.
    rig.workers[0].signal(Signal::Stop);
    // The first request goes to the pop in progress.
    let mut asked = Vec::new();
    let mut refusals = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..120 {
        let mut request = Request::new(request("tried", "loop"));
        request.set_timeout(Duration::from_secs(600));
        let (mut intake, refused) = (rig.client.intake.clone(), refusals.0.clone());
        asked.push(tokio::spawn(async move {
            if let Err(status) = intake.preview_issue(request).await {
                // The test may have ended.
                let _ = refused.send(status);
            }
        }));
    }
    let refused = refusals.1.recv().await.expect("some are refused");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(reason(&refused), "TOO_MANY_PREVIEWS");
    assert!(refused.get_details_retry_info().is_some());
    assert_eq!(waiting(&rig).await, 100);
    for task in asked {
        task.abort();
    }
    eventually("all are taken back", async || {
        let n = waiting(&rig).await;
        (n == 0).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
    rig.workers[0].signal(Signal::Continue);
    let told = preview(&rig, "tried", "tag").await.expect("PreviewIssue");
    assert!(told.would_apply, "there is room again: {told:?}");
}

#[tokio::test]
async fn what_a_caller_gave_up_is_taken_back_before_it_runs() {
    let dir = scripts();
    let rig = rig(&[with_scripts(dir.path())]).await;
    let long = Duration::from_secs(600);
    let mut endless = Vec::new();
    // More than a worker runs at once: the last one waits in the list.
    for _ in 0..3 {
        let mut request = Request::new(request("tried", "loop"));
        request.set_timeout(long);
        let mut intake = rig.client.intake.clone();
        endless.push(tokio::spawn(
            async move { intake.preview_issue(request).await },
        ));
    }
    eventually("one waits", async || {
        let n = waiting(&rig).await;
        (n == 1).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
    let late = impatiently(&rig, "tag x", Duration::from_millis(300)).await;
    assert!(
        matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{late}"
    );
    for task in endless {
        task.abort();
    }
    eventually("all are taken back", async || {
        let n = waiting(&rig).await;
        (n == 0).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
}

/// The worker is suspended while its blocking pop is answered, and resumes with a request for which
/// no caller waits.
#[tokio::test]
async fn a_request_that_has_expired_is_not_run() {
    let rig = rig(&[("DRAFTSMAN_LOG", "worker=debug")]).await;
    let worker = &rig.workers[0];
    worker.signal(Signal::Stop);
    let late = impatiently(&rig, "tag x", Duration::from_secs(1)).await;
    assert!(
        matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{late}"
    );
    eventually("it is not waiting any more", async || {
        let n = waiting(&rig).await;
        (n == 0).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
    // The request expires at most one second after it was made, by the clock of Redis.
    let mut connection = rig.redis.connection().await;
    let mut seconds = async || -> u64 {
        let time: (u64, u64) = redis::cmd("TIME")
            .query_async(&mut connection)
            .await
            .expect("TIME");
        time.0
    };
    let given_up = seconds().await;
    eventually("it has expired", async || {
        let now = seconds().await;
        (now > given_up + 1).then_some(()).ok_or(now.to_string())
    })
    .await;
    worker.signal(Signal::Continue);
    preview(&rig, "tried", "tag y").await.expect("PreviewIssue");
    let log = worker.stderr();
    assert_eq!(log.matches("would apply").count(), 1, "{log}");
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_says_so_to_who_waits() {
    let dir = scripts();
    let no_grace = ("DRAFTSMAN_GRACE_SECS", "0");
    let mut rig = rig(&[with_scripts(dir.path()), no_grace]).await;
    let mut intake = rig.client.intake.clone();
    let endless = tokio::spawn(async move { intake.preview_issue(request("tried", "loop")).await });
    let (list, mut monitor) = (Keys::of_shard(0).previews(), rig.redis.connection().await);
    eventually("the worker has taken it", async || {
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut monitor)
            .await
            .expect("INFO");
        let pushed = stats.contains("cmdstat_lpush:calls=1,");
        let waiting: u64 = redis::cmd("LLEN")
            .arg(&list)
            .query_async(&mut monitor)
            .await
            .expect("LLEN");
        (pushed && waiting == 0).then_some(()).ok_or(stats)
    })
    .await;
    let worker = rig.workers.last_mut().expect("a worker");
    assert_eq!(worker.terminate().await.code(), Some(0));
    let fault = endless
        .await
        .expect("no panic")
        .expect_err("it was stopped");
    assert_eq!(fault.code(), Code::Unavailable, "{fault}");
    assert_eq!(reason(&fault), "PREVIEW_INTERRUPTED");
    assert!(fault.message().contains("is shutting down"), "{fault}");
}

#[tokio::test]
async fn preview_at_the_terminal_shows_the_diff_and_its_exit_status_tells() {
    let dir = scripts();
    let mut rig = rig(&[]).await;
    let addr = format!("http://{}", rig.address);
    let draftsman =
        async |args: &[&str]| run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await;
    let applied = draftsman(&["preview", "tried", "tag", "blue"]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    for words in ["+  - blue", "noop", "would be applied"] {
        assert!(applied.stdout.contains(words), "{words}: {applied:?}");
    }
    let denied = draftsman(&["preview", "tried", "nobody understands this"]).await;
    assert_eq!(denied.code, Some(2), "{denied:?}");
    assert!(
        denied.stdout.contains("would be denied: noop: "),
        "{denied:?}"
    );
    let answer = draftsman(&["preview", "tried", "tag blue", "--output", "json"]).await;
    let answer: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(answer["would_apply"], json!(true));
    assert_eq!(answer["verdicts"][0]["status"], "pass");
    rig.workers.clear();
    let nobody = draftsman(&["preview", "tried", "tag blue"]).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    rig.add_worker(&[with_scripts(dir.path())]);
    eventually("the new worker has the script", async || {
        let failed = draftsman(&["preview", "tried", "break"]).await;
        let told = failed.code == Some(3) && failed.stdout.contains("broken on purpose");
        told.then_some(()).ok_or_else(|| format!("{failed:?}"))
    })
    .await;
}
