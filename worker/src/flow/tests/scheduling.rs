//! Tests of the threads that run scripts, and of the files shipped beside them.

use std::cell::Cell;

use futures::future::join_all;
use shared::blueprint::{Doc, yaml};

use super::*;
use crate::flow::scripts::PATCH_SPAWNER_LLM_YAML;

/// A script that outlasts its slice many times. It yields in `pcall`, in a verifier, and in a call
/// from C, where a yield is not possible.
const LONG: &str = "
local n = 0
local function work() for i = 1, 200000 do n = n + i % 3 end end
work()
assert(pcall(work))
table.sort({3, 1, 2}, function(a, b) work() return a < b end)
local f = function() for k in pairs(_CTX) do work() end end
f()
";

#[tokio::test]
async fn a_long_script_leaves_the_thread_to_others() {
    let bench = Bench::with_scripts(&[
        (
            "patch_spawner.lua",
            &format!(
                "{LONG} return {{ops = {{{{op = 'add', path = '/n', value = n}}}}, bump = 'patch', rationale = ''}}"
            ),
        ),
        (
            "verifiers/des.lua",
            &format!("{LONG} return {{status = 'pass', evidence = n}}"),
        ),
    ]);
    let (done, others) = (Cell::new(false), Cell::new(0_u64));
    let flow = async {
        let blueprint = bench.commit(TARGET, "?").await;
        done.set(true);
        blueprint
    };
    let rest = async {
        while !done.get() {
            others.set(others.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let (blueprint, ()) = tokio::join!(flow, rest);
    assert!(others.get() > 1, "nothing else ran meanwhile");
    assert!(matches!(blueprint.doc().get("n"), Some(Doc::Num(_))));
}

#[tokio::test]
async fn flows_at_once_do_not_mix() {
    let bench = Bench::bundled();
    let names: Vec<String> = (0..50).map(|n| format!("tag-{n}")).collect();
    let bench = &bench;
    let flows = names.iter().map(|name| async move {
        let blueprint = bench.commit(TARGET, &format!("tag {name}")).await;
        let tags = blueprint
            .doc()
            .get("metadata")
            .and_then(|m| m.get("tags"))
            .and_then(Doc::as_array);
        assert_eq!(
            tags,
            Some(&[Doc::from("draft"), Doc::from(name.as_str())][..])
        );
    });
    join_all(flows).await;
}

#[tokio::test]
async fn a_machine_serves_again_after_an_error() {
    let bench = Bench::with_scripts(&[(
        "patch_spawner.lua",
        "seen = (seen or 0) + 1
         if _CTX.issue.intent == 'fail' then error('as asked', 0) end
         if _CTX.issue.intent == 'overflow' then local function f() return 1 + f() end f() end
         return {ops = {{op = 'add', path = '/seen', value = seen}}, bump = 'patch', rationale = ''}",
    )]);
    for _ in 0..3 {
        for (intent, part) in [
            ("fail", "script patch_spawner: as asked"),
            ("overflow", "stack overflow"),
        ] {
            let text = bench
                .run(input(TARGET, intent))
                .await
                .decision
                .unwrap_err()
                .to_string();
            assert!(text.contains(part) && text.len() < 400, "{text}");
        }
        assert_eq!(
            bench.commit(TARGET, "go").await.doc().get("seen"),
            Some(&Doc::from(1))
        );
    }
}

#[test]
fn the_llm_spawner_is_a_complete_agent() {
    let agent = yaml::parse(PATCH_SPAWNER_LLM_YAML).unwrap();
    let text = |doc: Option<&Doc>| doc.and_then(Doc::as_str).unwrap_or_default().to_owned();
    let profile = agent.get("profile");
    assert_eq!(
        (text(agent.get("name")), text(agent.get("kind"))),
        ("patch-spawner".into(), "llm".into())
    );
    assert!(!text(profile.and_then(|p| p.get("model"))).is_empty());
    let prompt = text(profile.and_then(|p| p.get("system_prompt")));
    for word in [
        "ops",
        "bump",
        "rationale",
        "RFC 6902",
        "prev_bp_yaml",
        "issue.intent",
    ] {
        assert!(prompt.contains(word), "{word}");
    }
    let host = FlowHost::new(&FlowConfig::default()).unwrap();
    let orbit = Blueprint::parse(ENHANCE_DEFAULT_YAML).unwrap();
    host.compile(&orbit, Some(&agent), &AxisOptions::new())
        .unwrap();
}
