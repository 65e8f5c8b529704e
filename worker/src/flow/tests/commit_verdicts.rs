//! An orbit cannot bypass the axes of the setting: `$.commit` is checked against the recorded
//! verdicts.

use super::*;
use crate::flow::error::FlowError;

/// A committer that commits every applied document and claims that each of the four axes has passed
/// it.
const FORGER: &str = "local summary = {}
    for _, axis in ipairs({'des', 'canonical', 'noop', 'agent-ref'}) do
      summary[#summary + 1] = {axis = axis, status = 'pass', evidence = 'trust me'}
    end
    local c = {committed = true, new_version = _CTX.applied.new_hash, new_bp_yaml = '',
      new_bp_json = _CTX.applied.new_bp_json, bump = 'patch', rationale = 'r', verdicts_summary = summary}\n";

/// Returns the error of a run of `intent` with this committer and orbit; the error concerns the
/// summary.
async fn fails(committer: Option<&str>, orbit: &str, intent: &str) -> String {
    let committer = committer.map(|source| ("committer.lua", source));
    let mut bench = Bench::with_scripts(committer.as_slice());
    let orbit = Blueprint::parse(orbit).unwrap();
    bench.orbit = bench
        .host
        .compile(&orbit, None, &AxisOptions::new())
        .unwrap();
    let outcome = bench.run(input(TARGET, intent)).await;
    let Err(FlowError::CommitShape { field, problem }) = outcome.decision else {
        panic!("{:?}", outcome.decision)
    };
    assert_eq!(field, "$.commit.verdicts_summary", "{problem}");
    problem
}

/// Returns the bundled orbit with a step before or after the fanout of its axes.
fn with_step(before: &str, behind: &str) -> String {
    let step = |node: &str| match node {
        "" => String::new(),
        node => format!("    - {node}\n"),
    };
    let fanout = "    - kind: fanout\n";
    let committer = "    - kind: step\n      ref: committer\n";
    assert!(ENHANCE_DEFAULT_YAML.contains(fanout) && ENHANCE_DEFAULT_YAML.contains(committer));
    ENHANCE_DEFAULT_YAML
        .replace(fanout, &format!("{}{fanout}", step(before)))
        .replace(committer, &format!("{}{committer}", step(behind)))
}

#[tokio::test]
async fn a_commit_that_contradicts_its_own_summary_fails_and_names_the_axis() {
    for (change, problem) in [
        (
            "c.verdicts_summary[3] = {axis = 'noop', status = 'deny', reason = 'no'}",
            "has a denial by the axis noop, but committed is true",
        ),
        (
            "table.remove(c.verdicts_summary, 4)",
            "lacks the axis agent-ref of the setting",
        ),
        (
            "c.verdicts_summary[2] = c.verdicts_summary[1]",
            "names the axis des twice",
        ),
        (
            "c.verdicts_summary[5] = {axis = 'beauty', status = 'pass', evidence = 1}",
            "names the axis beauty, which is not an axis of the setting",
        ),
        (
            "c.verdicts_summary = host.array()",
            "lacks the axis des of the setting",
        ),
    ] {
        let committer = format!("{FORGER}{change}\nreturn c");
        let found = fails(Some(&committer), ENHANCE_DEFAULT_YAML, "tag x").await;
        assert_eq!(found, problem, "{change}");
    }
}

#[tokio::test]
async fn an_axis_that_an_orbit_leaves_out_is_missed() {
    let skips = ENHANCE_DEFAULT_YAML.replace(
        "items: {op: path, at: $.verifiers}",
        "items: {op: lit, value: []}",
    );
    let fewer = with_step(
        "{kind: let, at: $.verifiers, value: {op: lit, value: [des]}}",
        "",
    );
    for (orbit, axis) in [(&skips, "des"), (&fewer, "canonical")] {
        let found = fails(None, orbit, "tag x").await;
        assert_eq!(found, format!("lacks the axis {axis} of the setting"));
        // The forged summary claims that all axes have run.
        let forged = fails(Some(&format!("{FORGER}return c")), orbit, "tag x").await;
        assert_eq!(
            forged,
            format!(
                "says that the axis {axis} passed, but the verifier router did not run it on this document"
            )
        );
    }
}

#[tokio::test]
async fn a_verdict_counts_for_the_document_that_was_judged() {
    let swaps = with_step(
        "",
        "{kind: seq, children: [
            {kind: let, at: $.patch.ops, value: {op: lit, value: [{op: add, path: /evil, value: true}]}},
            {kind: step, ref: patch-applier, in: {op: path, at: $}, out: {op: path, at: $.applied}}]}",
    );
    let found = fails(None, &swaps, "tag x").await;
    assert_eq!(
        found,
        "says that the axis des passed, but the verifier router did not run it on this document"
    );
    // A denial stays a denial.
    let forger = format!("{FORGER}return c");
    let denied = fails(Some(&forger), ENHANCE_DEFAULT_YAML, "[]").await;
    assert_eq!(
        denied,
        "says that the axis noop passed, but it denied this document"
    );
}

#[tokio::test]
async fn a_verdict_on_other_input_than_the_issues_does_not_count() {
    for (path, field) in [
        ("$.prev_hash", "prev_hash"),
        ("$.prev_bp_yaml", "prev_bp_yaml"),
        ("$.issue.intent", "issue"),
        ("$.applied.new_hash", "applied.new_hash"),
        ("$.applied.new_bp_yaml", "applied.new_bp_yaml"),
    ] {
        let value = if field == "prev_bp_yaml" {
            "{id: team, flow: {}, agents: []}"
        } else {
            "other"
        };
        let forged = format!("{{kind: let, at: {path}, value: {{op: lit, value: '{value}'}}}}");
        let committer = FORGER.replace(
            "_CTX.applied.new_hash",
            "host.content_hash(_CTX.applied.new_bp_json)",
        );
        let committer = committer.replace("'des', 'canonical', 'noop', ", "");
        let mut bench = Bench::with_scripts(&[("committer.lua", &format!("{committer}return c"))]);
        let orbit = Blueprint::parse(&with_step(&forged, "")).unwrap();
        bench.orbit = bench
            .host
            .compile(&orbit, None, &AxisOptions::new())
            .unwrap();
        // This axis accepts such input without an error of its own.
        let mut issue = input(TARGET, "tag x");
        issue.verifiers = vec!["agent-ref".to_owned()];
        let outcome = bench.run(issue).await;
        let Err(FlowError::CommitShape { problem, .. }) = outcome.decision else {
            panic!("{:?}", outcome.decision)
        };
        assert_eq!(
            problem,
            format!(
                "says that the axis agent-ref passed, but it was given another {field} than that of the issue"
            )
        );
    }
}

#[tokio::test]
async fn an_orbit_that_judges_twice_and_keeps_the_better_document_commits() {
    // A denial of an intermediate document does not affect the last document.
    let again = with_step(
        "{kind: seq, children: [
            {kind: let, at: $.keep, value: {op: path, at: $.applied}},
            {kind: let, at: $.axis, value: {op: lit, value: noop}},
            {kind: let, at: $.applied.new_hash, value: {op: path, at: $.prev_hash}},
            {kind: step, ref: verifier-router, in: {op: path, at: $}, out: {op: path, at: $.first}},
            {kind: let, at: $.applied, value: {op: path, at: $.keep}}]}",
        "",
    );
    let mut bench = Bench::bundled();
    let orbit = Blueprint::parse(&again).unwrap();
    bench.orbit = bench
        .host
        .compile(&orbit, None, &AxisOptions::new())
        .unwrap();
    bench.commit(TARGET, "tag x").await;
}
