//! Tests of scripts and orbits that fail or cannot run.

use super::*;
use crate::flow::error::FlowError;

#[tokio::test]
async fn a_script_that_fails_is_no_denial() {
    for (name, source, part) in [
        (
            "verifiers/des.lua",
            "local x = nil\nreturn x.y",
            "des.lua:2:",
        ),
        (
            "verifiers/des.lua",
            "return {status = 'maybe'}",
            "verifier des returned the status maybe",
        ),
        (
            "verifiers/des.lua",
            "return 5",
            "verifier des returned a number",
        ),
        (
            "verifiers/des.lua",
            "return {status = 'deny'}",
            "verifier des denied without a reason",
        ),
        (
            "committer.lua",
            "return host.json_patch(1, function() end)",
            "committer.lua:1: host.json_patch: argument 2: a function is not a JSON value",
        ),
        (
            "committer.lua",
            "return {a = {1, nil, 3}}",
            "the returned value is not JSON: at a: an array with a hole",
        ),
        (
            "committer.lua",
            "_CTX.patch.ops = 1",
            "cannot set \"ops\": this document is read-only",
        ),
    ] {
        let bench = Bench::with_scripts(&[(name, source)]);
        let outcome = bench.run(input(TARGET, "tag x")).await;
        let error = outcome.decision.unwrap_err();
        assert!(matches!(error, FlowError::Step { .. }));
        assert!(!error.is_transient());
        let text = error.to_string();
        assert!(text.contains(part), "{source}: {text}");
        assert!(!text.contains("traceback"), "{text}");
        assert!(
            outcome.patch_json.starts_with(r#"[{"op":"add""#),
            "{}",
            outcome.patch_json
        );
        assert_eq!(outcome.rationale, "tag x");
        assert_eq!(outcome.usage.calls, 1);
    }
}

#[tokio::test]
async fn what_cannot_run_is_named_with_what_there_is() {
    let host = FlowHost::new(&FlowConfig::default()).unwrap();
    let orbit = |from: &str, to: &str| {
        host.compile(
            &Blueprint::parse(&ENHANCE_DEFAULT_YAML.replace(from, to)).unwrap(),
            None,
            &AxisOptions::new(),
        )
        .unwrap_err()
        .to_string()
    };
    for (from, to, words) in [
        ("kind: seq", "kind: sec", "flow is not valid flow.ir"),
        (
            "ref: committer",
            "ref: nobody",
            "step \"nobody\" names no declared agent; declared are: patch-spawner",
        ),
        (
            "fn_id: committer",
            "fn_id: nobody",
            "script \"nobody\", which is not known; bundled are: committer",
        ),
        (
            "kind: lua\n    spec: {fn_id: committer}",
            "kind: magic\n    spec: {fn_id: committer}",
            "agent \"committer\" has the unknown kind \"magic\"; known kinds are: lua, llm, subprocess",
        ),
        (
            "{fn_id: committer}",
            "{}",
            "agent \"committer\" of kind lua: spec.fn_id is missing",
        ),
    ] {
        let message = orbit(from, to);
        assert!(message.starts_with("orbit enhance-default: "), "{message}");
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[tokio::test]
async fn scripts_that_do_not_compile_are_all_named() {
    let dir = TempDir::new();
    std::fs::write(dir.0.join("one.lua"), "return (").unwrap();
    std::fs::write(dir.0.join("two.lua"), "\nlocal = 5").unwrap();
    let error = FlowHost::new(&FlowConfig {
        lua_dir: Some(dir.0.clone()),
        ..FlowConfig::default()
    })
    .unwrap_err()
    .to_string();
    assert!(error.starts_with("2 scripts do not compile: "), "{error}");
    assert!(
        error.contains("one.lua:1:") && error.contains("two.lua:2:"),
        "{error}"
    );

    let missing = FlowConfig {
        lua_dir: Some(dir.0.join("nowhere")),
        ..FlowConfig::default()
    };
    assert!(
        FlowHost::new(&missing)
            .unwrap_err()
            .to_string()
            .contains("nowhere")
    );
}
