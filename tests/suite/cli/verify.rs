//! `draftsman verify` with the example of `docs/verifiers.md`.

use tests::factory;
use tests::programs::{Finished, Program, run, workspace_dir};

/// The script of the documentation in a file of the documented name.
fn example() -> tempfile::TempDir {
    let page = workspace_dir().join("docs/verifiers.md");
    let page = std::fs::read_to_string(page).expect("docs/verifiers.md");
    let (_, rest) = page.split_once("```lua\n").expect("an example");
    let (script, _) = rest.split_once("```").expect("its end");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let small = factory::small("tried");
    for (name, text) in [
        ("models.lua", script.to_owned()),
        ("raises.lua", "error('kaboom')".to_owned()),
        ("before.yaml", small.clone()),
        (
            "good.yaml",
            small
                .replace("model-0", "small-1")
                .replace("model-1", "large-2"),
        ),
        ("bad.yaml", small.replace("model-0", "small-1")),
    ] {
        std::fs::write(dir.path().join(name), text).expect("a file");
    }
    dir
}

async fn verify(dir: &tempfile::TempDir, files: [&str; 3], more: &[&str]) -> Finished {
    let paths = files.map(|name| dir.path().join(name).display().to_string());
    let mut args = vec!["verify"];
    args.extend(paths.iter().map(String::as_str));
    args.extend(more);
    run(Program::Draftsman, &args, &[]).await
}

#[tokio::test]
async fn a_script_is_tried_on_two_files() {
    let dir = example();
    let passed = verify(&dir, ["models.lua", "before.yaml", "good.yaml"], &[]).await;
    assert_eq!(passed.code, Some(0), "{passed:?}");
    assert_eq!(passed.stdout, "pass: {\"agents\":2}\n");
    let denied = verify(
        &dir,
        ["models.lua", "before.yaml", "bad.yaml"],
        &["--output", "json"],
    )
    .await;
    assert_eq!(denied.code, Some(2), "{denied:?}");
    let verdict: serde_json::Value = serde_json::from_str(&denied.stdout).expect("JSON");
    assert_eq!(verdict["status"], "deny");
    assert_eq!(
        verdict["detail"],
        "agent agent-1: model model-1 is not allowed"
    );
    for (files, word) in [
        (["raises.lua", "before.yaml", "good.yaml"], "kaboom"),
        (
            ["models.lua", "before.yaml", "models.lua"],
            "the document after is not a Blueprint",
        ),
        (["absent.lua", "before.yaml", "good.yaml"], "absent.lua"),
        (["before.yaml", "before.yaml", "good.yaml"], "not compile"),
    ] {
        let failed = verify(&dir, files, &[]).await;
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(failed.stderr.contains(word), "{word}: {failed:?}");
    }
}

/// Text that starts with a brace and is not JSON is YAML only if the caller says so.
#[tokio::test]
async fn the_language_of_the_documents_can_be_given() {
    let dir = example();
    let flow_style = "{id: tried, flow: {}, agents: []}\n";
    for (name, text) in [
        ("flow-before.yaml", flow_style.to_owned()),
        ("flow-after.yaml", flow_style.replace("[]", "[{name: a}]")),
        ("flow-options.yaml", "{ttl_secs: 5}\n".to_owned()),
    ] {
        std::fs::write(dir.path().join(name), text).expect("a file");
    }
    let options = dir.path().join("flow-options.yaml").display().to_string();
    let files = ["models.lua", "flow-before.yaml", "flow-after.yaml"];
    let refused = verify(&dir, files, &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("given as yaml"), "{refused:?}");
    let more = ["--options", &options, "--format", "yaml"];
    let judged = verify(&dir, files, &more).await;
    assert_ne!(judged.code, Some(1), "{judged:?}");
    assert!(
        judged.stdout.starts_with("pass") || judged.stdout.starts_with("deny"),
        "{judged:?}"
    );
}

#[tokio::test]
async fn the_intent_and_the_time_limit_are_options() {
    let dir = example();
    let intent = "return {status = 'deny', reason = _CTX.issue.intent}";
    std::fs::write(dir.path().join("intent.lua"), intent).expect("a file");
    std::fs::write(dir.path().join("loops.lua"), "while true do end").expect("a file");
    let files = ["intent.lua", "before.yaml", "good.yaml"];
    let denied = verify(&dir, files, &["--intent", "Use large models."]).await;
    assert_eq!(denied.stdout, "deny: Use large models.\n", "{denied:?}");
    let files = ["loops.lua", "before.yaml", "good.yaml"];
    let ended = verify(&dir, files, &["--time-limit", "200ms"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("within 0.2 s"), "{ended:?}");
}
