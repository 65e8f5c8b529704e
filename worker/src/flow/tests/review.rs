//! Verdicts of review: where they come from, what the committer makes of them, and that an orbit
//! cannot drop one.

use shared::blueprint::{Doc, json, yaml};
use shared::domain::enhance_log::{SpawnerUsage, VerdictStatus};
use shared::domain::proposal::StoredPatch;

use super::*;
use crate::flow::error::FlowError;

const HUMAN: &str = "human-review: a person has to approve every change";

/// Runs an issue with these axes and scripts.
async fn run(axes: &[&str], scripts: &[(&str, &str)], options: &str, intent: &str) -> RunOutcome {
    let mut bench = Bench::with_scripts(scripts);
    let orbit = Blueprint::parse(ENHANCE_DEFAULT_YAML).unwrap();
    let options = yaml::parse_as(options, Format::Yaml).unwrap();
    let options = options.as_object().unwrap().clone();
    bench.orbit = bench.host.compile(&orbit, None, &options).unwrap();
    let mut issue = input(TARGET, intent);
    issue.verifiers = axes.iter().map(|axis| (*axis).to_owned()).collect();
    bench.run(issue).await
}

#[tokio::test]
async fn a_review_commits_after_a_person_has_approved() {
    let own = (
        "verifiers/own.lua",
        "return {status = 'review', reason = 'unsure'}",
    );
    let outcome = run(&["noop", "human-review", "own"], &[own], "{}", "tag x").await;
    let Ok(Decision::Commit {
        review, verdicts, ..
    }) = outcome.decision
    else {
        panic!("{:?}", outcome.decision)
    };
    assert_eq!(review, [HUMAN, "own: unsure"]);
    let statuses: Vec<_> = verdicts.iter().map(|verdict| verdict.status).collect();
    let expected = [
        VerdictStatus::Pass,
        VerdictStatus::Review,
        VerdictStatus::Review,
    ];
    assert_eq!(statuses, expected);
    assert_eq!(verdicts[2].detail, "unsure");
    assert_eq!(
        json::parse(&outcome.reply_json).unwrap().get("bump"),
        Some(&Doc::from("patch"))
    );
}

#[tokio::test]
async fn a_denial_is_stronger_than_a_review() {
    let outcome = run(&["noop", "human-review"], &[], "{}", "tag draft").await;
    let Ok(Decision::Deny {
        reasons, verdicts, ..
    }) = outcome.decision
    else {
        panic!("{:?}", outcome.decision)
    };
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].starts_with("noop: "), "{reasons:?}");
    assert_eq!(verdicts[1].status, VerdictStatus::Review);
}

#[tokio::test]
async fn a_protected_path_can_ask_for_a_person() {
    let intent = "set /metadata/verifiers to {}";
    for (options, expected) in [
        ("{}", VerdictStatus::Deny),
        ("{protected-paths: {level: deny}}", VerdictStatus::Deny),
        ("{protected-paths: {level: review}}", VerdictStatus::Review),
    ] {
        let outcome = run(&["protected-paths"], &[], options, intent).await;
        let (Decision::Commit { verdicts, .. } | Decision::Deny { verdicts, .. }) =
            outcome.decision.unwrap();
        assert_eq!(verdicts[0].status, expected, "{options}");
        assert!(verdicts[0].detail.contains("is protected"), "{verdicts:?}");
    }
}

#[tokio::test]
async fn a_review_without_a_reason_fails() {
    let own = ("verifiers/own.lua", "return {status = 'review'}");
    let outcome = run(&["own"], &[own], "{}", "tag x").await;
    let error = outcome.decision.unwrap_err().to_string();
    assert!(
        error.contains("asked for a review without a reason"),
        "{error}"
    );
}

#[tokio::test]
async fn an_orbit_drops_no_review() {
    let committer = |change: &str| {
        format!(
            "local c = {{committed = true, new_version = _CTX.applied.new_hash, new_bp_yaml = '',
               new_bp_json = _CTX.applied.new_bp_json, bump = 'patch', rationale = 'r', review = {{'because'}},
               verdicts_summary = {{{{axis = 'human-review', status = 'review', reason = 'r'}}}}}}
             {change} return c"
        )
    };
    let fine = committer("");
    let scripts = [("committer.lua", fine.as_str())];
    let outcome = run(&["human-review"], &scripts, "{}", "tag x").await;
    assert!(
        matches!(&outcome.decision, Ok(Decision::Commit { review, .. }) if review == &["because"]),
        "{:?}",
        outcome.decision
    );
    for (change, field) in [
        ("c.review = nil", "$.commit.review"),
        ("c.review = host.array()", "$.commit.review"),
        ("c.review = 'because'", "$.commit.review"),
        ("c.review = {5}", "$.commit.review[0]"),
        ("c.review = host.null", "$.commit.review"),
        (
            "c.verdicts_summary[1] = {axis = 'human-review', status = 'pass', evidence = 1}",
            "$.commit.verdicts_summary",
        ),
        (
            "c.verdicts_summary[1].reason = nil",
            "$.commit.verdicts_summary[0].reason",
        ),
    ] {
        let committer = committer(change);
        let scripts = [("committer.lua", committer.as_str())];
        let outcome = run(&["human-review"], &scripts, "{}", "tag x").await;
        let Err(FlowError::CommitShape { field: found, .. }) = outcome.decision else {
            panic!("{change}: {:?}", outcome.decision)
        };
        assert_eq!(found, field, "{change}");
    }
    // A verdict that the axis did not give.
    let says = committer("").replace("human-review", "noop");
    let scripts = [("committer.lua", says.as_str())];
    let outcome = run(&["noop"], &scripts, "{}", "tag x").await;
    let error = outcome.decision.unwrap_err().to_string();
    assert!(error.contains("needs a review, but it passed"), "{error}");
}

#[tokio::test]
async fn a_stored_patch_replaces_the_spawner() {
    let spawner = ("patch_spawner.lua", "error('the spawner runs')");
    let bench = Bench::with_scripts(&[spawner]);
    let usage = SpawnerUsage {
        agent_kind: "llm".to_owned(),
        calls: 3,
        ..SpawnerUsage::default()
    };
    let mut issue = input(TARGET, "anything");
    issue.stored_patch = Some(StoredPatch {
        reply_json: r#"{"ops":[{"op":"add","path":"/metadata/tags/-","value":"x"}],"bump":"minor","rationale":"why"}"#.to_owned(),
        usage: usage.clone(),
    });
    let outcome = bench.run(issue.clone()).await;
    assert!(
        matches!(&outcome.decision, Ok(Decision::Commit { rationale, .. }) if rationale == "why"),
        "{:?}",
        outcome.decision
    );
    assert_eq!(outcome.usage, usage);
    issue.stored_patch = Some(StoredPatch {
        reply_json: "{".to_owned(),
        usage,
    });
    let damaged = bench.run(issue).await.decision;
    assert!(
        matches!(damaged, Err(FlowError::StoredPatch(_))),
        "{damaged:?}"
    );
}
