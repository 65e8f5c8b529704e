//! The native code of the bundled steps and their scripts give the same results, and scripts can
//! extend the steps.

use super::*;

/// Each bundled script with native code, and its source.
const SCRIPTS: [(&str, &str); 6] = [
    (
        "patch_applier.lua",
        include_str!("../../../../lua/patch_applier.lua"),
    ),
    (
        "committer.lua",
        include_str!("../../../../lua/committer.lua"),
    ),
    (
        "verifiers/noop.lua",
        include_str!("../../../../lua/verifiers/noop.lua"),
    ),
    (
        "verifiers/canonical.lua",
        include_str!("../../../../lua/verifiers/canonical.lua"),
    ),
    (
        "verifiers/des.lua",
        include_str!("../../../../lua/verifiers/des.lua"),
    ),
    (
        "verifiers/agent-ref.lua",
        include_str!("../../../../lua/verifiers/agent-ref.lua"),
    ),
];

#[tokio::test]
async fn a_copy_of_a_bundled_script_does_what_the_native_code_does() {
    let native = Bench::bundled();
    // Scripts of a directory always run on an interpreter.
    let scripts = Bench::with_scripts(&SCRIPTS);
    for intent in [
        "describe as A better team.",
        "tag draft",
        "set /id to other",
        "remove /agents",
        r#"add {"name": "writer"} to /agents"#,
        "set /flow/children/0/ref to ghost",
        "set prompt of agent writer to Be brief.",
        "rename agent writer to author; set prompt of agent author to Be brief.",
        "set /metadata/version_label to \"v-one\"",
        "set /metadata to 5",
        "remove /nowhere",
        "make it nicer",
    ] {
        let expected = native.run(input(TARGET, intent)).await;
        let found = scripts.run(input(TARGET, intent)).await;
        assert_eq!(found.patch_json, expected.patch_json, "{intent}");
        let expected = expected.decision.unwrap();
        assert_eq!(found.decision.unwrap(), expected, "{intent}");
    }
}

#[tokio::test]
async fn a_script_extends_a_bundled_step() {
    let bench = Bench::with_scripts(&[
        (
            "patch_applier.lua",
            "local patch = host.object(_CTX.patch)
             patch.ops[#patch.ops + 1] = {op = 'add', path = '/metadata/reviewed', value = true}
             return host.apply_patch({patch = patch, prev_bp_yaml = _CTX.prev_bp_yaml, prev_hash = _CTX.prev_hash,
                                      epoch_id = _CTX.epoch_id})",
        ),
        (
            "verifiers/des.lua",
            "local verdict = host.judge('des', _CTX)
             if verdict.status == 'deny' then return verdict end
             return {status = 'pass', evidence = {agents = verdict.evidence.agents, also = 'mine'}}",
        ),
    ]);
    let outcome = bench.run(input(TARGET, "tag x")).await;
    let Ok(Decision::Commit {
        blueprint,
        verdicts,
        ..
    }) = &outcome.decision
    else {
        panic!("{outcome:?}");
    };
    assert!(blueprint.canonical_yaml().contains("reviewed: true"));
    assert_eq!(verdicts[0].detail, r#"{"agents":2,"also":"mine"}"#);
}

#[tokio::test]
async fn what_a_step_needs_and_does_not_get_is_named() {
    for (script, source, problem) in [
        (
            "patch_applier.lua",
            "return host.apply_patch({patch = _CTX.patch})",
            "prev_bp_yaml must be a string; it is missing",
        ),
        (
            "committer.lua",
            "return host.commit({})",
            "$.applied must be an object; it is missing",
        ),
        (
            "committer.lua",
            "return host.commit({applied = {}, verdicts = {{verdict = {axis = 'des', status = 'skipped'}}}})",
            "the verdict of the axis des: reason must be a string; it is missing",
        ),
        (
            "verifiers/noop.lua",
            "return host.judge('noop', {applied = {}})",
            "prev_hash must be a string; it is missing",
        ),
        (
            "verifiers/noop.lua",
            "return host.judge('beauty', _CTX)",
            "\"beauty\" is not a bundled axis",
        ),
    ] {
        let bench = Bench::with_scripts(&[(script, source)]);
        let outcome = bench.run(input(TARGET, "tag x")).await;
        let text = outcome.decision.unwrap_err().to_string();
        assert!(text.contains(problem), "{text}");
    }
}
