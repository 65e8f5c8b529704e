//! Compares the evaluator with that of `mlua-flow-ir` on random flows.
//!
//! Both must end the same and leave the same context. Only error messages differ: ours contain more
//! about a step and less about a value. In `$.err`, where `try` writes messages, and in the reasons
//! of `all_settled`, the comparison only requires a text.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use flow_ir_core::{EvalError, Node};
use mlua_flow_ir::{AsyncDispatcher, eval_async};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::blueprint::{Blueprint, Doc};

use crate::flow::agents::Agent;
use crate::flow::error::{FlowError, StepError};
use crate::flow::evaluator::evaluate;
use crate::flow::plan::Plan;
use crate::flow::run_state::RunState;
use crate::flow::step_context::StepContext;

/// The steps of both evaluators, by name.
const STEPS: [&str; 4] = ["echo", "wrap", "fail", "fussy"];

fn step(name: &str, input: Value) -> Result<Value, String> {
    match name {
        "echo" => Ok(input),
        "wrap" => Ok(json!({"in": input})),
        // Succeeds for some inputs only.
        "fussy" if !input.is_number() => Ok(json!([input, 1])),
        other => Err(format!("{other} does not like {input}")),
    }
}

struct Theirs;

#[async_trait]
impl AsyncDispatcher for Theirs {
    async fn dispatch(&self, name: &str, input: Value) -> Result<Value, EvalError> {
        step(name, input).map_err(|msg| EvalError::DispatcherError {
            ref_: name.into(),
            msg,
        })
    }
}

#[derive(Debug)]
struct Ours(&'static str);

#[async_trait]
impl Agent for Ours {
    async fn run(&self, input: Doc, _: &StepContext<'_>) -> Result<Doc, StepError> {
        step(self.0, Value::from(&input))
            .map(|value| Doc::try_from(&value).unwrap())
            .map_err(|message| StepError::Permanent { message })
    }
}

fn run_state() -> Arc<RunState> {
    let prev = Arc::new(Blueprint::parse("id: x\nflow: {}\nagents: []\n").unwrap());
    Arc::new(RunState::new(
        &prev,
        Doc::Null,
        Instant::now() + std::time::Duration::from_secs(60),
        None,
    ))
}

async fn ours(node: &Node, ctx: &Value) -> Result<Value, FlowError> {
    let agents: Vec<Arc<dyn Agent>> = STEPS
        .iter()
        .map(|name| Arc::new(Ours(name)) as Arc<dyn Agent>)
        .collect();
    let plan = Plan::compile(node, &|name| STEPS.iter().position(|step| *step == name)).unwrap();
    let mut ctx = Doc::try_from(ctx).unwrap();
    evaluate(&plan, &mut ctx, &agents, &run_state()).await?;
    Ok(Value::from(&ctx))
}

/// Replaces every error message by the same text.
fn without_words(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_words),
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                if (key == "err" || key == "reason") && member.is_string() {
                    *member = Value::from("an error");
                } else {
                    without_words(member);
                }
            }
        }
        _ => {}
    }
}

fn path() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        "$.a",
        "$.b",
        "$.a.x",
        "$.c.d.e",
        "$[\"k.k\"].l",
        "$.list",
        "$",
    ])
    .prop_map(|at| json!({"op": "path", "at": at}))
}

fn literal() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(2),
        json!(-3),
        json!(0.5),
        json!(1i64 << 60),
        json!("a"),
        json!(""),
        json!([]),
        json!({}),
        json!([1, [2], {"x": null}]),
        json!({"x": 1, "y": [true]}),
    ])
}

fn expression() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![4 => path(), 2 => literal().prop_map(|v| json!({"op": "lit", "value": v}))];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let two = prop::sample::select(vec![
            "eq", "ne", "lt", "lte", "gt", "gte", "add", "sub", "mul", "div", "mod",
        ]);
        prop_oneof![
            (two, inner.clone(), inner.clone())
                .prop_map(|(op, l, r)| json!({"op": op, "lhs": l, "rhs": r})),
            (
                prop::sample::select(vec!["not", "len", "exists"]),
                inner.clone()
            )
                .prop_map(|(op, e)| json!({"op": op, "arg": e})),
            (
                prop::sample::select(vec!["and", "or"]),
                prop::collection::vec(inner.clone(), 0..3)
            )
                .prop_map(|(op, args)| json!({"op": op, "args": args})),
            (inner.clone(), inner.clone())
                .prop_map(|(n, h)| json!({"op": "in", "needle": n, "haystack": h})),
            inner.prop_map(|e| json!({"op": "call_extern", "ref": "none", "args": [e]})),
        ]
    })
}

fn node() -> impl Strategy<Value = Value> {
    let target = || prop_oneof![9 => path(), 1 => Just(json!({"op": "path", "at": "$.fresh.y"}))];
    let leaf = prop_oneof![
        (prop::sample::select(STEPS.to_vec()), expression(), target())
            .prop_map(|(r, i, o)| json!({"kind": "step", "ref": r, "in": i, "out": o})),
        (expression(), target())
            .prop_map(|(v, at)| json!({"kind": "let", "at": at["at"], "value": v})),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|c| json!({"kind": "seq", "children": c})),
            (expression(), inner.clone(), inner.clone())
                .prop_map(|(c, t, e)| json!({"kind": "branch", "cond": c, "then": t, "else": e})),
            (
                prop_oneof![Just(json!({"op": "path", "at": "$.list"})), expression()],
                target(),
                inner.clone(),
                prop::sample::select(vec!["all", "any", "race", "all_settled"]),
                target(),
            )
                .prop_map(|(items, bind, body, join, out)| {
                    json!({"kind": "fanout", "items": items, "bind": bind, "body": body, "join": join, "out": out})
                }),
            (target(), expression(), inner.clone(), 0u32..4)
                .prop_map(|(at, c, b, max)| json!({"kind": "loop", "counter": at, "cond": c, "body": b, "max": max})),
            (inner.clone(), inner, any::<bool>()).prop_map(|(b, c, says)| {
                let at = if says { json!({"op": "path", "at": "$.err"}) } else { Value::Null };
                json!({"kind": "try", "body": b, "catch": c, "err_at": at})
            }),
        ]
    })
}

fn context() -> impl Strategy<Value = Value> {
    (literal(), literal(), prop::collection::vec(literal(), 0..4)).prop_map(
        |(a, b, list)| json!({"a": a, "b": b, "list": list, "c": {"d": {"e": 1, "f": 2}}}),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn ends_as_the_oracle_does(node in node(), ctx in context()) {
        let node: Node = serde_json::from_value(node).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (ours, theirs) = runtime.block_on(async {
            (ours(&node, &ctx).await, eval_async(&node, ctx.clone(), &Theirs).await)
        });
        match (ours, theirs) {
            (Ok(mut ours), Ok(mut theirs)) => {
                without_words(&mut ours);
                without_words(&mut theirs);
                prop_assert_eq!(ours, theirs);
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "ours {ours:?}, theirs {theirs:?}"),
        }
    }
}

/// An agent that fails with a temporary fault, or never returns.
#[derive(Debug)]
enum Odd {
    Transient,
    Pending,
}

#[async_trait]
impl Agent for Odd {
    async fn run(&self, _: Doc, _: &StepContext<'_>) -> Result<Doc, StepError> {
        match self {
            Odd::Transient => Err(StepError::Transient {
                message: "provider says 429".into(),
                retry_after: None,
            }),
            Odd::Pending => std::future::pending().await,
        }
    }
}

async fn odd(flow: Value) -> Result<Value, FlowError> {
    let names = ["transient", "pending", "echo", "fail"];
    let agents: Vec<Arc<dyn Agent>> = vec![
        Arc::new(Odd::Transient),
        Arc::new(Odd::Pending),
        Arc::new(Ours("echo")),
        Arc::new(Ours("fail")),
    ];
    let plan = Plan::compile(&serde_json::from_value(flow).unwrap(), &|n| {
        names.iter().position(|x| *x == n)
    })
    .unwrap();
    let mut ctx = Doc::try_from(&json!({"list": [1, 2]})).unwrap();
    evaluate(&plan, &mut ctx, &agents, &run_state()).await?;
    Ok(Value::from(&ctx))
}

fn do_step(name: &str) -> Value {
    json!({"kind": "step", "ref": name, "in": {"op": "path", "at": "$"}, "out": {"op": "path", "at": "$.out"}})
}

fn fan(join: &str) -> Value {
    // Item 1 runs `transient`, item 2 `echo`.
    json!({"kind": "fanout", "items": {"op": "path", "at": "$.list"}, "bind": {"op": "path", "at": "$.i"}, "join": join,
        "out": {"op": "path", "at": "$.joined"},
        "body": {"kind": "branch", "cond": {"op": "eq", "lhs": {"op": "path", "at": "$.i"}, "rhs": {"op": "lit", "value": 1}},
                 "then": do_step("transient"), "else": do_step("echo")}})
}

#[tokio::test]
async fn a_transient_fault_ends_the_evaluation() {
    let caught = json!({"kind": "try", "body": do_step("transient"), "catch": do_step("echo"), "err_at": null});
    for flow in [
        do_step("transient"),
        caught,
        fan("all"),
        fan("all_settled"),
        fan("race"),
    ] {
        let error = odd(flow.clone()).await.unwrap_err();
        assert!(error.is_transient(), "{flow}: {error}");
    }
    // `any` exists for this case.
    assert_eq!(odd(fan("any")).await.unwrap()["joined"]["i"], json!(2));
}

#[tokio::test]
async fn a_branch_that_hangs_does_not_keep_the_others() {
    let text = |join: &str| {
        fan(join)
            .to_string()
            .replace("\"transient\"", "\"pending\"")
    };
    for join in ["any", "race"] {
        let ended = odd(serde_json::from_str(&text(join)).unwrap())
            .await
            .unwrap();
        assert_eq!(ended["joined"]["i"], json!(2));
    }
    let failing = text("all").replace("\"echo\"", "\"fail\"");
    assert!(odd(serde_json::from_str(&failing).unwrap()).await.is_err());
}

#[test]
fn a_place_to_write_to_must_be_a_path() {
    let flow = json!({"kind": "step", "ref": "echo", "in": {"op": "lit", "value": 1}, "out": {"op": "lit", "value": 1}});
    let node: Node = serde_json::from_value(flow).unwrap();
    assert!(Plan::compile(&node, &|_| Some(0)).is_err());
}
