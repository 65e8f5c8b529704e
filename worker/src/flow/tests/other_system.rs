//! Tests orbits and scripts of `mlua-swarm`, another system that uses flow.ir. They run here
//! unchanged, except that they copy documents before they write to them.

use shared::blueprint::{Blueprint, yaml};
use shared::domain::axis_options::AxisOptions;
use tokio_util::sync::CancellationToken;

use crate::flow::decision::Decision;
use crate::flow::run_outcome::RunOutcome;
use crate::flow::scripts::ENHANCE_DEFAULT_YAML;
use crate::flow::tests::{Bench, TARGET, input, setting};
use crate::flow::trial_outcome::TrialOutcome;

/// Returns an orbit in the form of that system, with its kinds, script names and fields.
fn orbit() -> String {
    let spawner = "kind: lua\n    spec: {fn_id: patch_spawner}";
    assert!(ENHANCE_DEFAULT_YAML.contains(spawner));
    let model = "kind: agent_block\n    spec: {project_root: .}\n    meta: {tags: [enhance]}";
    ["patch_applier", "verifier_router"].iter().fold(
        ENHANCE_DEFAULT_YAML.replace(spawner, model).replace(
            "    profile:\n      description: Reads",
            "    profile:\n      model: claude-haiku-4-5\n      description: Reads",
        ),
        |text, script| {
            text.replace(
                &format!("fn_id: {script}"),
                &format!("fn_id: {}", script.replace('_', "-")),
            )
        },
    )
}

const APPLIER: &str = r"
-- The one change that is needed: what host gives is read-only, and copied for writing.
local document = host.object(host.yaml_to_json(_CTX.prev_bp_yaml))
local before = host.yaml_to_json(_CTX.prev_bp_yaml)
for _, op in ipairs(_CTX.patch.ops) do
  document.metadata.tags[#document.metadata.tags + 1] = op.value
end
document.agents[1].profile.system_prompt = 'You draft.'
local yaml = host.canonical_yaml(document)
return {
  prev_bp_yaml = _CTX.prev_bp_yaml, prev_bp_json = before, prev_hash = _CTX.prev_hash, patch = _CTX.patch,
  new_bp_yaml = yaml, new_bp_json = document, new_hash = host.content_hash(yaml), epoch_id = _CTX.epoch_id,
}
";

const ROUTER: &str = r"
local outcome
if _CTX.applied.new_hash == _CTX.prev_hash then
  outcome = { Deny = { reason = 'nothing changed' } }
elseif _CTX.axis == 'canonical' then
  outcome = { Pass = {} }
else
  outcome = { Pass = { evidence = 'fine' } }
end
return { value = { axis = _CTX.axis, outcome = outcome }, ok = true }
";

const COMMITTER: &str = r"
local summary = {}
for _, branch in ipairs(_CTX.verdicts) do
  local verdict = branch.verdict
  summary[#summary + 1] = { axis = verdict.axis, status = 'pass', evidence = tostring(verdict.outcome.Pass.evidence or '') }
end
return {
  value = {
    committed = true, new_version = _CTX.applied.new_hash, new_bp_yaml = _CTX.applied.new_bp_yaml,
    new_bp_json = _CTX.applied.new_bp_json, bump = _CTX.patch.bump, rationale = _CTX.patch.rationale,
    verdicts_summary = summary,
  },
  ok = true,
}
";

/// Runs an intent with that orbit and these scripts; the bundled script replaces its model.
async fn run(scripts: &[(&str, &str)], intent: &str) -> RunOutcome {
    let bench = Bench::with_scripts(scripts);
    let orbit = Blueprint::parse(&orbit()).unwrap();
    let spawner = yaml::parse("kind: lua\nspec: {fn_id: patch-spawner}").unwrap();
    let orbit = bench
        .host
        .compile(&orbit, Some(&spawner), &AxisOptions::new())
        .unwrap();
    let cancel = CancellationToken::new();
    bench.host.run(&orbit, input(TARGET, intent), &cancel).await
}

#[tokio::test]
async fn its_orbit_runs_and_passes_its_trial() {
    let bench = Bench::bundled();
    let document = Blueprint::parse(&orbit()).unwrap();
    let cancel = CancellationToken::new();
    let tried = bench.host.try_orbit(&document, &setting(), &cancel).await;
    assert_eq!(tried, TrialOutcome::Decided);
    let outcome = run(&[], "tag blue").await;
    assert!(
        matches!(outcome.decision, Ok(Decision::Commit { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn its_scripts_run_in_the_place_of_the_bundled_ones() {
    let all = [
        ("patch-applier.lua", APPLIER),
        ("verifier-router.lua", ROUTER),
        ("committer.lua", COMMITTER),
    ];
    // All scripts, and each of them with the bundled ones, as far as these accept its output.
    for scripts in [&all[..], &all[..2], &all[1..2], &all[..1]] {
        let outcome = run(scripts, "tag blue").await;
        let Ok(Decision::Commit {
            blueprint,
            verdicts,
            ..
        }) = &outcome.decision
        else {
            panic!("{outcome:?}");
        };
        assert!(blueprint.canonical_yaml().contains("blue"), "{scripts:?}");
        assert_eq!(verdicts.len(), 4, "{scripts:?}");
        assert!(
            verdicts.iter().all(|verdict| verdict.is_pass()),
            "{verdicts:?}"
        );
    }
    let outcome = run(&all[1..2], "nobody understands this").await;
    let Ok(Decision::Deny { reasons, .. }) = outcome.decision else {
        panic!("committed");
    };
    assert_eq!(reasons[0], "des: nothing changed");
}

#[tokio::test]
async fn its_verifiers_are_axes() {
    for (script, expected) in [
        (
            "return { value = { Pass = { evidence = 'e' } }, ok = true }",
            Ok("e"),
        ),
        (
            "return { outcome = { Pass = { evidence = 'e' } } }",
            Ok("e"),
        ),
        ("return { Deny = { reason = 'r' } }", Err("r")),
        (
            "return { value = { outcome = { Deny = { reason = 'r' } } }, ok = true }",
            Err("r"),
        ),
    ] {
        let bench = Bench::with_scripts(&[("verifiers/theirs.lua", script)]);
        let mut issue = input(TARGET, "tag blue");
        issue.verifiers = vec!["theirs".to_owned()];
        let decision = bench.run(issue).await.decision.unwrap();
        let (Decision::Commit { verdicts, .. } | Decision::Deny { verdicts, .. }) = decision;
        let found = match verdicts[0].is_pass() {
            true => Ok(verdicts[0].detail.as_str()),
            false => Err(verdicts[0].detail.as_str()),
        };
        assert_eq!(found, expected, "{script}");
    }
}

#[tokio::test]
async fn an_envelope_that_is_not_ok_fails_the_step() {
    let script = "return { value = { why = 'blocked' }, ok = false }";
    let bench = Bench::with_scripts(&[("committer.lua", script)]);
    let outcome = bench.run(input(TARGET, "tag blue")).await;
    let error = outcome.decision.unwrap_err().to_string();
    assert!(
        error.contains("ok = false: {\"why\":\"blocked\"}"),
        "{error}"
    );
}
