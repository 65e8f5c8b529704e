//! The validator and this worker agree: every accepted orbit compiles here.

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::blueprint::orbit::{self, models, scripts};
use shared::blueprint::{Blueprint, Doc};
use shared::domain::axis_options::AxisOptions;

use crate::flow::agents::llm::provider::{Model, providers};
use crate::flow::agents::subprocess::Programs;
use crate::flow::error::FlowError;
use crate::flow::host::{FlowConfig, FlowHost};
use crate::flow::scripts::ENHANCE_DEFAULT_YAML;

fn path() -> impl Strategy<Value = Value> {
    let valid = [
        "$",
        "$.commit",
        "$.commit",
        "$.x",
        "ctx.commit.y",
        "$.x[\"a.b\"]",
    ];
    let at = prop_oneof![60 => prop::sample::select(valid.to_vec()), 1 => Just("x")];
    at.prop_map(|at| json!({"op": "path", "at": at}))
}

fn expr() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => path(),
        2 => any::<i32>().prop_map(|n| json!({"op": "lit", "value": n})),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            14 => (inner.clone(), inner.clone()).prop_map(|(l, r)| json!({"op": "eq", "lhs": l, "rhs": r})),
            14 => prop::collection::vec(inner.clone(), 0..3).prop_map(|args| json!({"op": "or", "args": args})),
            1 => inner.prop_map(|arg| json!({"op": "call_extern", "ref": "f", "args": [arg]})),
        ]
    })
}

/// A write target, in most cases a path.
fn target() -> impl Strategy<Value = Value> {
    prop_oneof![40 => path(), 1 => expr()]
}

fn flow() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a", "a", "b", "b", "a", "b", "a", "b", "nobody"]);
    let leaf = prop_oneof![
        4 => (name, expr(), target()).prop_map(|(name, input, out)| {
            json!({"kind": "step", "ref": name, "in": input, "out": out})
        }),
        1 => expr().prop_map(|value| json!({"kind": "let", "at": "$.commit", "value": value})),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|children| json!({"kind": "seq", "children": children})),
            (expr(), inner.clone(), inner.clone())
                .prop_map(|(cond, t, e)| json!({"kind": "branch", "cond": cond, "then": t, "else": e})),
            (expr(), target(), inner.clone(), target()).prop_map(|(items, bind, body, out)| {
                json!({"kind": "fanout", "items": items, "bind": bind, "body": body, "join": "any", "out": out})
            }),
            (target(), expr(), inner.clone(), 0..3_u32).prop_map(|(counter, cond, body, max)| {
                json!({"kind": "loop", "counter": counter, "cond": cond, "body": body, "max": max})
            }),
            (inner.clone(), inner, target())
                .prop_map(|(body, catch, at)| json!({"kind": "try", "body": body, "catch": catch, "err_at": at})),
        ]
    })
}

/// A value for a field, valid or invalid.
fn value(fitting: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        30 => prop::sample::select(fitting).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => prop::sample::select(vec![json!(1), json!(""), json!([]), json!({}), json!(["x"]), json!(true)]),
    ]
}

fn agent(name: &'static str) -> impl Strategy<Value = Value> {
    let kind = value(&[
        "lua",
        "lua",
        "llm",
        "llm",
        "subprocess",
        "agent_block",
        "operator",
    ]);
    let script = value(&[
        "committer",
        "patch-applier",
        "patch_spawner",
        "committer",
        "nobody",
    ]);
    let model = value(&[
        "claude-x",
        "gpt-5",
        "groq::x",
        "my-model",
        "gpt-oss",
        "genai_1::m",
    ]);
    let provider = value(&["openai", "ollama", "opanai", "genai_1"]);
    let program = value(&["/bin/true", "sh"]);
    let more = (any::<bool>(), -2..13_i64, any::<bool>());
    (kind, script, model, provider, program, more).prop_map(move |(kind, script, model, provider, program, more)| {
        let (has_provider, denials, is_text) = more;
        let mut spec = json!({"fn_id": script, "program": program, "past_denials": denials});
        if has_provider {
            spec["provider"] = provider;
        }
        let prompt = if is_text { json!("you") } else { json!(null) };
        json!({"name": name, "kind": kind, "spec": spec, "profile": {"model": model, "system_prompt": prompt}})
    })
}

fn blueprint(flow: &Value, agents: &[Value]) -> Blueprint {
    let document = json!({"id": "orbit", "flow": flow, "agents": agents});
    Blueprint::from_doc(Doc::try_from(&document).unwrap()).unwrap()
}

/// Allows all programs of the tests, because each worker has its own list.
fn host() -> FlowHost {
    let config = FlowConfig {
        programs: Programs {
            allowed: vec!["/bin/true".into(), "sh".into()],
            ..Programs::default()
        },
        ..FlowConfig::default()
    };
    FlowHost::new(&config).unwrap()
}

#[test]
fn what_the_validator_accepts_compiles() {
    let host = host();
    let accepted = std::cell::Cell::new(0);
    let config = ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = prop::test_runner::TestRunner::new_with_rng(
        config,
        prop::test_runner::TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha),
    );
    let orbits = (
        flow(),
        agent("a"),
        agent("b"),
        prop::option::weighted(0.2, agent("a")),
    );
    let result = runner.run(&orbits, |(flow, one, other, spawner)| {
        let orbit = blueprint(&flow, &[one, other]);
        let spawner = spawner.map(|spawner| Doc::try_from(&spawner).unwrap());
        let checked = orbit::check(&orbit, spawner.as_ref(), &scripts::is_bundled);
        let compiled = host.compile(&orbit, spawner.as_ref(), &AxisOptions::new());
        match (checked, compiled) {
            (Ok(_), Ok(_)) => accepted.set(accepted.get() + 1),
            (Err(one), Err(FlowError::NotRunnable { source, .. })) => prop_assert_eq!(one, source),
            (checked, compiled) => prop_assert!(false, "{checked:?} but {compiled:?}"),
        }
        Ok(())
    });
    result.unwrap();
    assert!(
        accepted.get() > 100,
        "only {} were accepted",
        accepted.get()
    );
}

#[test]
fn the_validator_knows_the_providers_and_scripts_of_this_worker() {
    assert_eq!(providers(), models::PROVIDERS);
    assert_eq!(host().script_names(), scripts::BUNDLED_SCRIPTS);
    let names = [
        "o1-x",
        "o3",
        "o4-mini",
        "chatgpt-4o",
        "codex-x",
        "gpt-5",
        "gpt-oss-120b",
        "text-embedding-3",
        "gemini-3",
        "gemini-4-argon",
        "claude-x",
        "x-fireworks",
        "gpt-oss-fireworks",
        "kimi-k2",
        "mimo-x",
        "command-r",
        "embed-x",
        "grok-4",
        "glm-5",
        "deepseek-chat",
        "moonshot-x",
        "MiniMax-M2",
        "minimax-x",
        "omlx-x",
        "llama3",
        "",
        "x::y",
        "ollama::llama3",
        "zai_coding::glm",
        "baidu-coding-openai::x",
        "baidu-coding-anthropic::x",
        "genai_1::m",
        "genai_1::fireworks",
        "gemini_interactions::x",
        "o2",
        "kimi",
        "embed",
        "qwen3",
        "mistral-large",
    ];
    let namespaced = models::PROVIDERS.map(|provider| format!("{provider}::some-model"));
    for name in names.map(str::to_owned).into_iter().chain(namespaced) {
        let found = Model::find("a", None, &name);
        assert_eq!(
            models::tells_provider(&name),
            found.is_ok(),
            "{name}: {found:?}"
        );
    }
    for provider in models::PROVIDERS {
        Model::find("a", Some(provider), "m").unwrap();
    }
}

#[test]
fn a_script_is_found_by_dashes_and_by_underscores() {
    let dashed = ["patch_spawner", "patch_applier", "verifier_router"]
        .iter()
        .fold(ENHANCE_DEFAULT_YAML.to_owned(), |text, script| {
            text.replace(
                &format!("fn_id: {script}"),
                &format!("fn_id: {}", script.replace('_', "-")),
            )
        });
    assert_ne!(dashed, ENHANCE_DEFAULT_YAML);
    let orbit = Blueprint::parse(&dashed).unwrap();
    host().compile(&orbit, None, &AxisOptions::new()).unwrap();
}
