//! Tests of orbit trials: the agents that run, the agents that are replaced, and unknown results.

use shared::blueprint::Blueprint;
use shared::blueprint::yaml::{self, Format};
use shared::domain::setting::EnhanceSetting;
use tokio_util::sync::CancellationToken;

use crate::flow::scripts::ENHANCE_DEFAULT_YAML;
use crate::flow::tests::{Bench, setting};
use crate::flow::trial_outcome::TrialOutcome;

async fn tried(bench: &Bench, orbit: &str, setting: &EnhanceSetting) -> TrialOutcome {
    let orbit = Blueprint::parse(orbit).unwrap();
    let cancel = CancellationToken::new();
    bench.host.try_orbit(&orbit, setting, &cancel).await
}

#[tokio::test]
async fn the_bundled_orbits_decide() {
    let bench = Bench::bundled();
    let repair = include_str!("../../../../lua/enhance-repair.yaml");
    for orbit in [ENHANCE_DEFAULT_YAML, repair] {
        let outcome = tried(&bench, orbit, &setting()).await;
        assert_eq!(outcome, TrialOutcome::Decided, "{orbit}");
    }
}

#[tokio::test]
async fn what_costs_or_judges_by_content_is_replaced() {
    let fails = "error('this is not a document of ours')";
    let bench = Bench::with_scripts(&[
        ("drafter.lua", fails),
        ("verifiers/house-rules.lua", fails),
        ("verifiers/size.lua", fails),
    ]);
    let options = "{json-schema: {schema: {type: object}}, llm-judge: {model: anthropic/m}}";
    let options = yaml::parse_as(options, Format::Yaml).unwrap();
    let mut changed = setting();
    changed.axis_options = options.as_object().unwrap().clone();
    changed.verifier_axes = [
        "des",
        "house-rules",
        "size",
        "json-schema",
        "llm_judge",
        "agent_ref",
    ]
    .map(str::to_owned)
    .to_vec();
    for spawner in [
        "{kind: lua, spec: {fn_id: drafter}}",
        "{kind: llm, profile: {model: claude-x}}",
        "{kind: subprocess, spec: {program: /not/allowed}}",
    ] {
        changed.spawner = Some(yaml::parse_as(spawner, Format::Yaml).unwrap());
        let outcome = tried(&bench, ENHANCE_DEFAULT_YAML, &changed).await;
        assert_eq!(outcome, TrialOutcome::Decided, "{spawner}");
    }
}

#[tokio::test]
async fn what_a_trial_cannot_know_is_no_refusal() {
    let bench = Bench::with_scripts(&[
        ("endless.lua", "while true do end"),
        ("odd.lua", "return 5"),
    ]);
    let with = |agent: &str| {
        ENHANCE_DEFAULT_YAML.replace("kind: lua\n    spec: {fn_id: committer}", agent)
    };
    for (agent, words) in [
        (
            "kind: subprocess\n    spec: {program: /bin/cat}",
            "\"committer\" is a model or a program",
        ),
        (
            "kind: llm\n    profile: {model: claude-x}",
            "\"committer\" is a model or a program",
        ),
        (
            "kind: lua\n    spec: {fn_id: of-another-worker}",
            "lacks a script",
        ),
    ] {
        // Removes the profile that follows in the bundled orbit, because the agent does not need
        // it.
        let text = with(agent).replace(
            "    profile:\n      description: Draws the verdicts together into $.commit.\n",
            "",
        );
        match tried(&bench, &text, &setting()).await {
            TrialOutcome::Unknown(why) => assert!(why.contains(words), "{agent}: {why}"),
            other => panic!("{agent}: {other:?}"),
        }
    }
    for (script, words) in [
        ("odd", "$.commit must be an object"),
        ("endless", "it did not decide within 2 s"),
    ] {
        let orbit = with(&format!("kind: lua\n    spec: {{fn_id: {script}}}"));
        match tried(&bench, &orbit, &setting()).await {
            TrialOutcome::Failed(why) => assert!(why.contains(words), "{why}"),
            other => panic!("{script}: {other:?}"),
        }
    }
}
