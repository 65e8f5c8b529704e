//! The replies of a model, and the reports of unusable ones.

use proto::v1::{IssueState, RejectionCause};
use serde_json::json;
use tests::checker::Attempts;
use tests::eventually::eventually;
use tests::judgement::{assert_denied_by, assert_failed};
use tests::model_double::{Act, End, TOKENS};
use tests::model_stage::{KEY, ModelStage as Stage, REPLY_WORD, patch};

const OPENAI: [(&str, &str); 1] = [("OPENAI_API_KEY", KEY)];

#[tokio::test]
async fn the_one_object_of_a_reply_is_taken() {
    let patch = patch();
    let stage = Stage::start(vec![
        Act::Say(format!("<think>Maybe {{\"ops\": []}}?</think>{patch}")),
        Act::Say(format!(
            "Here is the patch:\n\n```json\n{patch}\n```\n\nIt adds a tag."
        )),
        Act::Say(format!("Sure! {patch} Anything else?")),
        Act::SayWhole(patch.clone()),
        // Of two patches neither is used.
        Act::Say(format!("{patch}\nor\n{patch}")),
        Act::Say(patch.clone()),
    ])
    .await;
    let mut issues = Vec::new();
    for n_calls in [1, 2, 3, 4, 6] {
        let issue = stage.run().await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        assert_eq!(stage.double.calls().len(), n_calls);
        let entry = stage.rig.client.entry(&issue.issue_id).await;
        assert_eq!(entry.unusable_reply, "", "it was applied");
        issues.push(issue);
    }
    let again = stage.double.calls()[5].messages();
    assert!(
        again[3]
            .1
            .starts_with("Your last reply had more than one JSON object"),
        "{again:?}"
    );
    stage
        .assert_sound(&issues.iter().collect::<Vec<_>>(), Attempts::One)
        .await;
}

#[tokio::test]
async fn what_came_instead_of_a_patch_is_said_and_kept() {
    let prose = format!(
        "I'd rather\n\u{1b}[31mnot {REPLY_WORD}.{}",
        "x".repeat(10_000)
    );
    let refusal = "I can't help with that.".to_owned();
    let cut = format!("{{\"ops\": [\"{REPLY_WORD}");
    for (act, shown, kept, sentence) in [
        (
            Act::Say(prose.clone()),
            "text without a JSON object: \"I'd rather\\n\\u{1b}[31mnot quokka.xxx",
            prose[..8_192].to_owned(),
            "Your last reply was text without a JSON object.",
        ),
        (
            Act::Say(String::new()),
            "an empty reply. Try",
            String::new(),
            "Your last reply was empty.",
        ),
        (
            Act::EndWith(refusal.clone(), End::Refused),
            "a refusal: \"I can't help with that.\"",
            refusal,
            "Your last reply was a refusal.",
        ),
        (
            Act::CallTool("apply_patch"),
            "a call of the tool \"apply_patch\". Try",
            String::new(),
            "Your last reply was a call of the tool \"apply_patch\", but you have no tools.",
        ),
        (
            Act::EndWith(cut.clone(), End::Cut),
            "damaged JSON (",
            cut,
            "It was cut off at the longest reply that you can give",
        ),
    ] {
        for provider in ["anthropic", "openai"] {
            let env = [("ANTHROPIC_API_KEY", KEY), OPENAI[0]];
            let stage = Stage::with(vec![act.clone()], provider, &env).await;
            let issue = stage.run().await;
            let reason = assert_failed(&stage.rig, &issue).await;
            let said = format!("gave no JSON object in 3 replies; the last one was {shown}");
            assert!(reason.contains(&said), "{provider} {act:?}: {reason}");
            assert!(!reason.contains("YAML"), "{reason}");
            assert!(reason.chars().count() < 600, "{reason}");
            let entry = stage.rig.client.entry(&issue.issue_id).await;
            assert_eq!(entry.unusable_reply, kept, "{provider} {act:?}");
            let last = stage.double.calls().remove(2).messages();
            assert!(last[5].1.contains(sentence), "{provider} {act:?}: {last:?}");
            stage.assert_sound(&[&issue], Attempts::One).await;
        }
    }
}

#[tokio::test]
async fn a_patch_without_its_shape_is_denied_and_kept() {
    let long = json!({"ops": [], "bump": "patch", "rationale": "r".repeat((64 << 10) + 1)});
    let stage = Stage::start(vec![Act::Say(long.to_string())]).await;
    let issue = stage.run().await;
    let entry = assert_denied_by(&stage.rig, &issue, "patch").await;
    assert!(
        issue.reason.contains("at most 65536 bytes; it has 65537"),
        "{issue:?}"
    );
    assert_eq!(entry.rationale.len(), 64 << 10);
    assert_eq!(entry.unusable_reply.len(), 8 << 10);
    let again = stage.double.calls().remove(1).messages();
    let told = "it has a rationale of 65537 bytes; the limit is 65536.";
    assert!(again[3].1.contains(told), "{:?}", again[3]);
    stage.assert_sound(&[&issue], Attempts::One).await;
}

#[tokio::test]
async fn a_model_without_json_mode_is_asked_without_it() {
    let acts = vec![Act::SayWithoutJsonMode(patch())];
    let stage = Stage::with(acts, "openai", &OPENAI).await;
    let (first, second) = (stage.run().await, stage.run().await);
    for issue in [&first, &second] {
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
        let usage = usage.expect("what it cost");
        // A rejected call costs nothing.
        assert_eq!((usage.calls, usage.input_tokens), (1, TOKENS.0));
    }
    let asked_for = |stage: &Stage| -> Vec<bool> {
        let calls = stage.double.calls();
        let modes = calls
            .iter()
            .map(|call| !call.body["response_format"].is_null());
        modes.collect()
    };
    // The worker remembers it.
    assert_eq!(asked_for(&stage), [true, false, false]);

    stage
        .use_spec(json!({"provider": "openai", "json_mode": "on"}))
        .await;
    let forced = stage.run().await;
    let reason = assert_failed(&stage.rig, &forced).await;
    assert!(
        reason.contains("HTTP 400: 'response_format' of type"),
        "{reason}"
    );
    stage
        .use_spec(json!({"provider": "openai", "json_mode": "off"}))
        .await;
    let without = stage.run().await;
    assert_eq!(without.state(), IssueState::Applied, "{without:?}");
    assert_eq!(asked_for(&stage), [true, false, false, true, false]);
    stage
        .assert_sound(&[&first, &second, &forced, &without], Attempts::One)
        .await;
}

#[tokio::test]
async fn a_providers_words_are_shown_whatever_their_shape() {
    const JSON: &str = "application/json";
    let shapes = [
        (
            JSON,
            r#"{"error": {"message": "the context is too long"}}"#,
            "the context is too long",
        ),
        (
            JSON,
            r#"{"error": "model 'm' not found"}"#,
            "model 'm' not found",
        ),
        (
            JSON,
            r#"{"detail": "no such deployment"}"#,
            "no such deployment",
        ),
        (
            JSON,
            r#"{"detail": [{"loc": ["body", "model"], "msg": "field required"}]}"#,
            "body.model: field required",
        ),
        (JSON, r#"{"message": "quota used up"}"#, "quota used up"),
        (
            "text/plain",
            "upstream\n\u{1b}[1mgone key-of-the-tests",
            "upstream \\u{1b}[1mgone ***",
        ),
    ];
    let acts = shapes.map(|(kind, body, _)| Act::Body(400, kind, body));
    let stage = Stage::start(acts.to_vec()).await;
    let mut issues = Vec::new();
    for (_, body, words) in shapes {
        let issue = stage.run().await;
        let reason = assert_failed(&stage.rig, &issue).await;
        let said = format!("HTTP 400: {words}");
        assert!(reason.contains(&said), "{body}: {reason}");
        issues.push(issue);
    }
    stage
        .assert_sound(&issues.iter().collect::<Vec<_>>(), Attempts::One)
        .await;
}

/// Each retry of an issue is another attempt, and the last one reports the cost of all.
#[tokio::test]
async fn the_cost_of_every_attempt_is_counted() {
    let env = [("ANTHROPIC_API_KEY", KEY), ("DRAFTSMAN_MAX_RETRIES", "3")];
    let acts = vec![
        Act::HangUp,
        Act::Refuse(429, Some("0")),
        Act::Say("no patch".to_owned()),
        Act::HangUp,
    ];
    let stage = Stage::with(acts, "anthropic", &env).await;
    let issue = stage.run().await;
    assert_eq!(issue.cause(), RejectionCause::Failed, "{issue:?}");
    assert!(
        issue.reason.contains("failed after 4 attempts"),
        "{issue:?}"
    );
    let entry = stage.rig.client.entry(&issue.issue_id).await;
    let usage = entry.usage.expect("what it cost");
    // Disconnected, rejected, two in one attempt, and disconnected again.
    assert_eq!((usage.calls, usage.model.as_str()), (4, "model-1"));
    assert_eq!(usage.input_tokens, 4 * TOKENS.0);
    assert_eq!(usage.output_tokens, 3 + TOKENS.1);
    stage.assert_sound(&[&issue], Attempts::UpTo(4)).await;
}

#[tokio::test]
async fn a_proxy_is_used() {
    let acts = vec![Act::Say(patch())];
    let mut stage = Stage::start(acts).await;
    stage.rig.workers.pop().expect("a worker").terminate().await;
    let proxy = stage.double.url().replace("/v1", "");
    stage.rig.add_worker(&[
        ("DRAFTSMAN_LLM_BASE_URL", "http://models.invalid/v1"),
        ("ANTHROPIC_API_KEY", KEY),
        ("HTTP_PROXY", &proxy),
    ]);
    let issue = stage.run().await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let call = stage.double.calls().pop().expect("a call");
    assert_eq!(call.path, "/v1/messages");
    assert_eq!(call.proxied_to.as_deref(), Some("models.invalid"));
    stage.assert_sound(&[&issue], Attempts::One).await;
}

#[tokio::test]
async fn a_request_has_its_own_time() {
    let env = [("ANTHROPIC_API_KEY", KEY), ("DRAFTSMAN_MAX_RETRIES", "1")];
    let stage = Stage::with(vec![Act::Stall], "anthropic", &env).await;
    stage
        .use_spec(json!({"provider": "anthropic", "timeout_ms": 200}))
        .await;
    let issue = stage.rig.client.submit("target", "one more tag").await;
    eventually("the issue waits with the reason", async || {
        let issue = stage.rig.client.issue(&issue.issue_id).await;
        let said = "did not answer within 200 ms, the agent's spec.timeout_ms";
        let waits = issue.reason.contains(said);
        waits.then_some(()).ok_or(format!("{issue:?}"))
    })
    .await;
    let issue = stage.rig.client.decided(&issue.issue_id).await;
    assert!(
        issue.reason.contains("failed after 2 attempts"),
        "{issue:?}"
    );
    stage.double.until_hung_up().await;
    let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
    assert_eq!(usage.expect("what it cost").calls, 2);
    stage.assert_sound(&[&issue], Attempts::UpTo(2)).await;
}
