//! All references to an agent follow its new name, and `agent-ref` checks them.

use shared::blueprint::{Doc, json};

use super::*;

/// Names the agent `auditor` in every reference, and in places that are not references.
const AUDITED: &str = r#"
id: team
flow:
  kind: seq
  children:
    - {kind: step, ref: writer, in: {op: path, at: $}, out: {op: path, at: $.text}}
    - kind: branch
      cond: {op: eq, lhs: {op: lit, value: auditor}, rhs: {op: path, at: $.text}}
      then: {kind: step, ref: auditor, in: {op: lit, value: {kind: step, ref: auditor}}, out: {op: path, at: $.a}}
      else: {kind: assign, at: {op: path, at: $.auditor}, value: {op: lit, value: auditor}}
agents:
  - {name: writer, kind: operator, spec: {operator_ref: auditor}, meta: {context_policy: {steps: [auditor], exclude: [auditor]}}}
  - {name: auditor, kind: operator, spec: {}}
operators: [{name: auditor}]
audits:
  - {agent: auditor, steps: [writer, auditor], mode: async}
  - {agent: writer, steps: ["*"]}
hints: {per_agent: {auditor: {n: 1}}, global: {auditor: 1}}
default_context_policy: {steps_exclude: [auditor]}
metadata: {tags: [auditor], version_label: 1.0.0}
"#;

#[tokio::test]
async fn rename_follows_every_reference_and_nothing_else() {
    let bench = Bench::bundled();
    let renamed = bench
        .commit(AUDITED, "rename agent auditor to checker")
        .await;
    let expected = Blueprint::parse(
        r#"
id: team
flow:
  kind: seq
  children:
    - {kind: step, ref: writer, in: {op: path, at: $}, out: {op: path, at: $.text}}
    - kind: branch
      cond: {op: eq, lhs: {op: lit, value: auditor}, rhs: {op: path, at: $.text}}
      then: {kind: step, ref: checker, in: {op: lit, value: {kind: step, ref: auditor}}, out: {op: path, at: $.a}}
      else: {kind: assign, at: {op: path, at: $.auditor}, value: {op: lit, value: auditor}}
agents:
  - {name: writer, kind: operator, spec: {operator_ref: auditor}, meta: {context_policy: {steps: [checker], exclude: [auditor]}}}
  - {name: checker, kind: operator, spec: {}}
operators: [{name: auditor}]
audits:
  - {agent: checker, steps: [writer, checker], mode: async}
  - {agent: writer, steps: ["*"]}
hints: {per_agent: {checker: {n: 1}}, global: {auditor: 1}}
default_context_policy: {steps_exclude: [checker]}
metadata: {tags: [auditor], version_label: 1.0.1}
"#,
    )
    .unwrap();
    assert_eq!(renamed.canonical_yaml(), expected.canonical_yaml());

    // Renames back, through names that a pointer must escape.
    let there = bench
        .commit(AUDITED, "rename agent auditor to \"a/b~c to d\"")
        .await;
    let back = bench
        .commit(
            there.canonical_yaml(),
            "rename agent \"a/b~c to d\" to auditor; set /metadata/version_label to \"1.0.0\"",
        )
        .await;
    assert_eq!(
        back.canonical_yaml(),
        Blueprint::parse(AUDITED).unwrap().canonical_yaml()
    );
}

#[tokio::test]
async fn agent_ref_judges_every_reference() {
    let bench = Bench::bundled();
    for (intent, place) in [
        (
            "set /flow/children/1/then/ref to ghost",
            "/flow/children/1/then/ref",
        ),
        ("set /audits/0/agent to ghost", "/audits/0/agent"),
        ("add ghost to /audits/0/steps", "/audits/0/steps/2"),
        ("set /hints/per_agent/ghost to {}", "/hints/per_agent/ghost"),
        (
            "set /default_context_policy/steps to [\"writer\", \"text\", \"ghost\"]",
            "/default_context_policy/steps/2",
        ),
        (
            "add ghost to /agents/0/meta/context_policy/steps",
            "/agents/0/meta/context_policy/steps/1",
        ),
    ] {
        let reasons = bench.deny(AUDITED, intent).await;
        assert_eq!(
            reasons,
            [format!(
                "agent-ref: {place} names the unknown agent \"ghost\"; declared agents: writer, auditor"
            )],
            "{intent}"
        );
    }
    // An agent that is still referenced cannot be removed.
    let reasons = bench.deny(AUDITED, "remove /agents/1").await;
    assert!(
        reasons[0].contains("/audits/0/agent names the unknown agent \"auditor\""),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn a_hint_that_waits_under_the_new_name_is_not_overwritten() {
    let bench = Bench::bundled();
    let mut issue = input(
        "{id: team, flow: {}, agents: [{name: a, kind: lua}], hints: {per_agent: {a: 1, b: 2}}}",
        "rename agent a to b",
    );
    issue.verifiers = vec!["noop".to_owned()];
    let Decision::Deny { reasons, .. } = bench.run(issue).await.decision.unwrap() else {
        panic!("a hint was overwritten");
    };
    assert!(
        reasons[0].contains("/hints/per_agent/b exists already"),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn many_unknown_references_make_a_readable_reason() {
    let bench = Bench::bundled();
    let steps: Vec<Doc> = (0..12)
        .map(|n| Doc::from(format!("g{n}").as_str()))
        .collect();
    let steps = json::emit(&Doc::array(steps));
    let reasons = bench
        .deny(AUDITED, &format!("set /audits/0/steps to {steps}"))
        .await;
    assert!(
        reasons[0].contains("\"g9\", and 2 more; declared agents:"),
        "{reasons:?}"
    );
    assert!(!reasons[0].contains("g10"), "{reasons:?}");
}
