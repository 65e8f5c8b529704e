//! Agents of kind `llm`, in a real worker with a test double of the providers.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use serde_json::{Value, json};
use shared::blueprint::Doc;
use tests::checker::Attempts;
use tests::eventually::{eventually, eventually_now};
use tests::judgement::{assert_denied_by, assert_failed};
use tests::model_double::{Act, TOKENS};
use tests::model_stage::{KEY, ModelStage as Stage, PROMPT_WORD, REPLY_WORD, patch};
use tests::programs::{Program, run};

#[tokio::test]
async fn a_model_of_every_shape_writes_the_patch() {
    let env = [
        ("ANTHROPIC_API_KEY", KEY),
        ("OPENAI_API_KEY", KEY),
        // The most detailed log level.
        ("DRAFTSMAN_LOG", "trace"),
    ];
    let stage = Stage::with(vec![Act::Say(patch())], "anthropic", &env).await;
    let mut issues = Vec::new();
    for (provider, path, key) in [
        ("anthropic", "/v1/messages", KEY),
        ("openai", "/v1/chat/completions", KEY),
        ("ollama", "/v1/chat/completions", ""),
    ] {
        stage.use_model(provider).await;
        let issue = stage.run().await;
        assert_eq!(issue.state(), IssueState::Applied, "{provider}: {issue:?}");
        let call = stage.double.calls().pop().expect("a call");
        assert_eq!(call.path, path);
        assert!(call.key == key || provider == "ollama", "{call:?}");
        assert_eq!(call.body["model"], "model-1");
        let messages = call.messages();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert_eq!(messages[0].0, "system");
        assert_eq!(messages[0].1, format!("Write JSON, {PROMPT_WORD}."));
        assert_eq!(messages[1].0, "user");
        let input: Value = serde_json::from_str(&messages[1].1).expect("the input is JSON");
        assert_eq!(input["issue"]["intent"], "one more tag");
        assert!(input["prev_bp_yaml"].is_string(), "{input}");

        let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
        let usage = usage.expect("what it cost");
        assert_eq!(
            (usage.agent_kind.as_str(), usage.model.as_str(), usage.calls),
            ("llm", "model-1", 1)
        );
        assert_eq!(
            (usage.input_tokens, usage.output_tokens),
            TOKENS,
            "{provider}"
        );
        issues.push(issue);
    }
    for call in &stage.double.calls()[1..] {
        assert_eq!(call.body["response_format"]["type"], "json_object");
        assert_eq!(call.body["stream_options"]["include_usage"], true);
    }
    stage
        .assert_sound(&issues.iter().collect::<Vec<_>>(), Attempts::One)
        .await;
}

/// The kind of the other system runs as `llm`.
#[tokio::test]
async fn an_agent_block_writes_the_patch() {
    let stage = Stage::start(vec![Act::Say(patch())]).await;
    let spawner = json!({
        "name": "patch-spawner",
        "kind": "agent_block",
        "spec": {"provider": "anthropic"},
        "profile": {"model": "model-1", "system_prompt": format!("Write JSON, {PROMPT_WORD}.")},
    });
    stage
        .edit(|s| s.spawner = Some(tests::factory::to_struct(&spawner)))
        .await;
    let issue = stage.run().await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let calls = stage.double.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].path, "/v1/messages");
    assert_eq!(calls[0].body["model"], "model-1");
    let messages = calls[0].messages();
    assert_eq!(messages[0].1, format!("Write JSON, {PROMPT_WORD}."));
    let head = stage.rig.client.head_json("target").await;
    let tags = head["metadata"]["tags"].as_array().expect("tags");
    assert!(tags.iter().any(|tag| tag == REPLY_WORD), "{head}");
    let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
    let usage = usage.expect("what it cost");
    assert_eq!(
        (usage.agent_kind.as_str(), usage.model.as_str(), usage.calls),
        ("llm", "model-1", 1)
    );
    stage.assert_sound(&[&issue], Attempts::One).await;
}

#[tokio::test]
async fn use_model_switches_the_bundled_spawner_on() {
    let stage = Stage::start(vec![Act::Say(patch())]).await;
    stage.edit(|s| s.spawner = None).await;
    let addr = format!("http://{}", stage.rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str())];
    let args = ["setting", "use-model", "anthropic/claude-test"];
    let done = run(Program::Draftsman, &args, &env).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let issue = stage.run().await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let call = stage.double.calls().pop().expect("a call");
    assert_eq!(call.body["model"], "claude-test");
    assert!(call.messages()[0].1.contains("RFC 6902"), "{call:?}");

    // A custom prompt is kept.
    stage.use_model("ollama").await;
    let done = run(Program::Draftsman, &args, &env).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let second = stage.run().await;
    assert_eq!(second.state(), IssueState::Applied, "{second:?}");
    let call = stage.double.calls().pop().expect("a call");
    assert_eq!(
        (call.path.as_str(), &call.body["model"]),
        ("/v1/messages", &json!("claude-test"))
    );
    assert!(call.messages()[0].1.contains(PROMPT_WORD), "{call:?}");

    let slip = ["setting", "use-model", "antropic/claude-test"];
    let refused = run(Program::Draftsman, &slip, &env).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("anthropic, "), "{refused:?}");
    let nowhere = [&args[..], &["--setting", "nowhere"]].concat();
    assert_eq!(run(Program::Draftsman, &nowhere, &env).await.code, Some(1));
    stage.assert_sound(&[&issue, &second], Attempts::One).await;
}

#[tokio::test]
async fn a_fence_is_taken_off_and_what_cannot_be_used_is_asked_for_again() {
    let fenced = format!("```json\n{}\n```", patch());
    let sorry = format!("Sorry, {REPLY_WORD}");
    let no_patch =
        json!({"ops": [{"op": "delete", "path": "/id"}], "bump": "patch", "rationale": REPLY_WORD});
    let stage = Stage::start(vec![
        Act::Say(fenced),
        Act::Say(sorry.clone()),
        Act::Say(patch()),
        Act::Say(no_patch.to_string()),
        Act::Say(String::new()),
        Act::Say(patch()),
    ])
    .await;
    let (first, second, third) = (stage.run().await, stage.run().await, stage.run().await);
    for (issue, calls) in [(&first, 1), (&second, 2), (&third, 3)] {
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
        let usage = usage.expect("what it cost");
        assert_eq!(usage.calls, calls);
        assert_eq!(usage.input_tokens, TOKENS.0 * u64::from(calls));
    }
    let calls = stage.double.calls();
    let again = calls[2].messages();
    assert_eq!(again.len(), 4, "{again:?}");
    assert_eq!(again[2], ("assistant".to_owned(), sorry));
    assert!(
        again[3]
            .1
            .starts_with("Your last reply was text without a JSON object."),
        "{again:?}"
    );
    let last = calls[5].messages();
    assert_eq!(last.len(), 6, "{last:?}");
    assert_eq!(last[4].1, "(an empty reply)");
    assert!(
        last[5].1.starts_with("Your last reply was empty."),
        "{last:?}"
    );
    assert!(
        last[3].1.contains("ops[0]: there is no such operation"),
        "{last:?}"
    );
    stage
        .assert_sound(&[&first, &second, &third], Attempts::One)
        .await;
}

#[tokio::test]
async fn what_is_never_an_answer_is_given_up_after_three() {
    let garbled = Stage::start(vec![Act::Say(format!("{{{REPLY_WORD}"))]).await;
    let issue = garbled.run().await;
    let reason = assert_failed(&garbled.rig, &issue).await;
    assert!(
        reason.contains("anthropic/model-1 gave no JSON object in 3 replies"),
        "{reason}"
    );
    assert_eq!(garbled.double.calls().len(), 3);
    let entry = garbled.rig.client.entry(&issue.issue_id).await;
    let usage = entry.usage.expect("what it cost, though it failed");
    assert_eq!((usage.calls, usage.output_tokens), (3, 3 * TOKENS.1));
    garbled.assert_sound(&[&issue], Attempts::One).await;

    let no_patch = json!({"ops": "none", "bump": "patch", "rationale": "r"}).to_string();
    let stage = Stage::start(vec![Act::Say(no_patch)]).await;
    let issue = stage.run().await;
    assert_denied_by(&stage.rig, &issue, "patch").await;
    assert_eq!(stage.double.calls().len(), 3);
    stage.assert_sound(&[&issue], Attempts::One).await;
}

#[tokio::test]
async fn a_provider_that_is_busy_is_asked_again_when_it_says() {
    let stage = Stage::start(vec![Act::Refuse(429, Some("2")), Act::Say(patch())]).await;
    let issue = stage.rig.client.submit("target", "one more tag").await;
    let waiting = eventually("the issue waits with the reason", async || {
        let issue = stage.rig.client.issue(&issue.issue_id).await;
        let waits = issue.state() == IssueState::Pending && issue.reason.contains("HTTP 429");
        waits.then(|| issue.clone()).ok_or(format!("{issue:?}"))
    })
    .await;
    assert!(waiting.reason.contains("no, ***"), "{}", waiting.reason);
    let applied = stage.rig.client.decided(&issue.issue_id).await;
    assert_eq!(applied.state(), IssueState::Applied, "{applied:?}");
    let pause = |issue: &v1::Issue| {
        let at = issue.updated_at.expect("a time");
        at.seconds * 1_000 + i64::from(at.nanos) / 1_000_000
    };
    // Not a measure of speed: the provider requested two seconds, so no call may come earlier.
    assert!(
        pause(&applied) - pause(&waiting) >= 2_000,
        "{waiting:?} {applied:?}"
    );
    assert_eq!(stage.double.calls().len(), 2);
    assert_eq!(applied.attempt, 2, "a second claim: {applied:?}");
    stage.assert_sound(&[&applied], Attempts::UpTo(2)).await;
}

#[tokio::test]
async fn a_provider_that_stays_down_puts_the_issue_on_the_dead_list() {
    let env = [("ANTHROPIC_API_KEY", KEY), ("DRAFTSMAN_MAX_RETRIES", "1")];
    for act in [Act::Refuse(500, None), Act::HangUp] {
        let stage = Stage::with(vec![act.clone()], "anthropic", &env).await;
        let issue = stage.run().await;
        assert_eq!(issue.cause(), RejectionCause::Failed, "{act:?}: {issue:?}");
        assert!(
            issue
                .reason
                .starts_with("dispatch failed after 2 attempts: "),
            "{}",
            issue.reason
        );
        assert_eq!(stage.double.calls().len(), 2, "{act:?}");
        assert_eq!(stage.rig.client.stats().await.dead, 1);
        // A rejected call costs nothing; an interrupted one does.
        let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
        let paid = if matches!(act, Act::HangUp) { 2 } else { 0 };
        assert_eq!(usage.map(|usage| usage.calls), Some(paid), "{act:?}");
        stage.assert_sound(&[&issue], Attempts::UpTo(2)).await;
    }
}

#[tokio::test]
async fn a_call_is_dropped_with_its_issue() {
    let stage = Stage::start(vec![Act::Stall]).await;
    stage.edit(|s| s.ttl_secs = 1).await;
    let late = stage.run().await;
    let reason = assert_failed(&stage.rig, &late).await;
    assert!(reason.contains("time limit exceeded"), "{reason}");
    stage.double.until_hung_up().await;
    let usage = stage
        .rig
        .client
        .entry(&late.issue_id)
        .await
        .usage
        .expect("what it cost");
    assert_eq!((usage.calls, usage.model.as_str()), (1, "model-1"));
    assert!(usage.duration_ms > 0, "{usage:?}");

    stage.edit(|s| s.ttl_secs = 600).await;
    let issue = stage.rig.client.submit("target", "one more tag").await;
    stage.double.until_called(2).await;
    let request = v1::CancelIssueRequest {
        issue_id: issue.issue_id.clone(),
    };
    stage
        .rig
        .client
        .intake
        .clone()
        .cancel_issue(request)
        .await
        .expect("CancelIssue");
    stage.double.until_hung_up().await;
    let cancelled = stage.rig.client.decided(&issue.issue_id).await;
    assert_eq!(
        cancelled.cause(),
        RejectionCause::Cancelled,
        "{cancelled:?}"
    );
    stage
        .assert_sound(&[&late, &cancelled], Attempts::One)
        .await;
}

#[tokio::test]
async fn a_flood_is_stopped_at_the_cap() {
    let stage = Stage::start(vec![Act::Flood]).await;
    let issue = stage.run().await;
    let reason = assert_failed(&stage.rig, &issue).await;
    assert!(reason.contains("1048576 bytes (1 MiB)"), "{reason}");
    stage.double.until_hung_up().await;
    assert_eq!(stage.double.calls().len(), 1);
    stage.assert_sound(&[&issue], Attempts::One).await;
}

/// The maximum memory in KiB that a worker may have held. It is several times the need of a test
/// build. It is less than the double's line takes, whose buffer is copied as it grows.
const MAX_PEAK_KIB: u64 = 128 << 10;

/// A line without an end is not an event, so limits on the content of events do not apply to it.
#[tokio::test]
async fn a_line_that_does_not_end_fills_no_memory() {
    for (provider, status) in [("anthropic", 200), ("openai", 200)] {
        let env = [("ANTHROPIC_API_KEY", KEY), ("OPENAI_API_KEY", KEY)];
        let acts = vec![Act::EndlessLine(status), Act::Say(patch())];
        let stage = Stage::with(acts, provider, &env).await;
        let issue = stage.run().await;
        let reason = assert_failed(&stage.rig, &issue).await;
        assert!(
            reason.contains("1048576 bytes (1 MiB)"),
            "{provider}: {reason}"
        );
        stage.double.until_hung_up().await;
        let next = stage.run().await;
        assert_eq!(next.state(), IssueState::Applied, "{provider}: {next:?}");
        let peak = peak_kib(stage.rig.workers[0].pid());
        assert!(peak < MAX_PEAK_KIB, "{provider}: {peak} KiB");
        stage.assert_sound(&[&issue, &next], Attempts::One).await;
    }
}

#[tokio::test]
async fn an_error_that_does_not_end_fills_no_memory() {
    let stage = Stage::start(vec![Act::EndlessLine(503), Act::Say(patch())]).await;
    let issue = stage.run().await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    eventually_now("the caller hangs up", || {
        let first = stage.double.calls().remove(0);
        first.hung_up.then_some(()).ok_or(format!("{first:?}"))
    })
    .await;
    let peak = peak_kib(stage.rig.workers[0].pid());
    assert!(peak < MAX_PEAK_KIB, "{peak} KiB");
    stage.assert_sound(&[&issue], Attempts::UpTo(2)).await;
}

/// The peak memory of a process.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok()).expect("VmHWM")
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_asked_for_again() {
    let stage = Stage::start(vec![Act::HangUp, Act::Say(patch())]).await;
    let issue = stage.run().await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(stage.double.calls().len(), 2);
    // The first call has a cost too: Anthropic reports the input tokens at the start.
    let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
    let usage = usage.expect("what it cost");
    assert_eq!(usage.calls, 2, "{usage:?}");
    assert_eq!(usage.input_tokens, 2 * TOKENS.0, "{usage:?}");
    assert_eq!(usage.output_tokens, TOKENS.1 + 1, "{usage:?}");
    stage.assert_sound(&[&issue], Attempts::UpTo(2)).await;
}

#[tokio::test]
async fn what_will_not_pass_says_what_to_change() {
    let stage = Stage::start(vec![
        Act::Refuse(401, None),
        Act::Refuse(404, None),
        Act::Refuse(400, None),
        Act::Refuse(302, None),
    ])
    .await;
    let mut issues = Vec::new();
    for words in [
        &["HTTP 401", "no, ***", "ANTHROPIC_API_KEY"][..],
        &["HTTP 404", "anthropic/model-1", "profile.model"],
        &["HTTP 400"],
        &["HTTP 302", "DRAFTSMAN_LLM_BASE_URL"],
    ] {
        let issue = stage.run().await;
        let reason = assert_failed(&stage.rig, &issue).await;
        for word in words {
            assert!(reason.contains(word), "{word}: {reason}");
        }
        issues.push(issue);
    }
    for (provider, word) in [
        ("openai", "OPENAI_API_KEY"),
        ("opanai", "known providers are: anthropic, "),
    ] {
        let spawner =
            json!({"kind": "llm", "spec": {"provider": provider}, "profile": {"model": "m"}});
        let spawner = Doc::try_from(&spawner).expect("a document");
        stage.rig.write_setting(|s| s.spawner = Some(spawner)).await;
        let issue = stage.run().await;
        let reason = assert_failed(&stage.rig, &issue).await;
        assert!(reason.contains(word), "{reason}");
        issues.push(issue);
    }
    assert_eq!(
        stage.double.calls().len(),
        4,
        "without a key or a provider nobody is called"
    );
    stage
        .assert_sound(&issues.iter().collect::<Vec<_>>(), Attempts::One)
        .await;
}
