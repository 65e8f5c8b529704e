//! Tests of the flow through its public API: a host, an orbit, an issue.

mod bundled;
mod commit;
mod commit_fields;
mod commit_verdicts;
mod failures;
mod fidelity;
mod labels;
mod lua_tests;
mod optional_axes;
mod oracle;
mod orbit_trial;
mod orbits;
mod other_system;
mod outcomes;
mod references;
mod review;
mod run_limits;
mod scheduling;
mod spawner;

use std::sync::Arc;
use std::time::Duration;

use shared::blueprint::Blueprint;
use shared::blueprint::yaml::Format;
use shared::domain::axis_options::AxisOptions;
use shared::domain::commit::Epoch;
use shared::domain::enhance_log::Verdict;
use shared::domain::setting::EnhanceSetting;
use shared::domain::version_selector::VersionSelector;
use shared::ids::{BlueprintId, IssueId, SettingId};
use tokio_util::sync::CancellationToken;

use crate::flow::decision::Decision;
use crate::flow::host::{FlowConfig, FlowHost, FlowInput};
use crate::flow::orbit::Orbit;
use crate::flow::run_outcome::RunOutcome;
use crate::flow::scripts::ENHANCE_DEFAULT_YAML;

/// A small target that uses most parts of a Blueprint.
pub(super) const TARGET: &str = r#"
schema_version: "1"
id: team
flow:
  kind: seq
  children:
    - {kind: step, ref: writer, in: {op: path, at: $}, out: {op: path, at: $.text}}
    - {kind: step, ref: reviewer, in: {op: lit, value: {kind: step, ref: writer}}, out: {op: path, at: $.review}}
agents:
  - {name: writer, kind: llm, spec: {}, profile: {system_prompt: You write., model: small}}
  - {name: reviewer, kind: llm, spec: {}}
metadata: {description: A team., tags: [draft], version_label: 1.2.3}
"#;

/// The four default axes.
pub(super) const AXES: [&str; 4] = ["des", "canonical", "noop", "agent-ref"];

/// A host with an orbit.
pub(super) struct Bench {
    pub(super) host: FlowHost,
    pub(super) orbit: Orbit,
    // Removed when the bench is dropped.
    _dir: Option<TempDir>,
}

impl Bench {
    /// Returns a bench with the bundled scripts and orbit.
    pub(super) fn bundled() -> Bench {
        let host = FlowHost::new(&FlowConfig::default()).unwrap();
        let orbit = host
            .compile(
                &Blueprint::parse(ENHANCE_DEFAULT_YAML).unwrap(),
                None,
                &AxisOptions::new(),
            )
            .unwrap();
        Bench {
            host,
            orbit,
            _dir: None,
        }
    }

    /// Returns a bench with the bundled orbit and `scripts` (`name.lua`, `verifiers/name.lua`),
    /// which override the bundled ones.
    pub(super) fn with_scripts(scripts: &[(&str, &str)]) -> Bench {
        let dir = TempDir::new();
        for (name, source) in scripts {
            let path = dir.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, source).unwrap();
        }
        let host = FlowHost::new(&FlowConfig {
            lua_dir: Some(dir.0.clone()),
            ..FlowConfig::default()
        })
        .unwrap();
        let orbit = host
            .compile(
                &Blueprint::parse(ENHANCE_DEFAULT_YAML).unwrap(),
                None,
                &AxisOptions::new(),
            )
            .unwrap();
        Bench {
            host,
            orbit,
            _dir: Some(dir),
        }
    }

    /// Runs an issue.
    pub(super) async fn run(&self, input: FlowInput) -> RunOutcome {
        self.host
            .run(&self.orbit, input, &CancellationToken::new())
            .await
    }

    /// Runs `intent` on `target` with the four axes and expects a commit.
    pub(super) async fn commit(&self, target: &str, intent: &str) -> Blueprint {
        match self.run(input(target, intent)).await.decision.unwrap() {
            Decision::Commit { blueprint, .. } => Arc::unwrap_or_clone(blueprint),
            Decision::Deny { reasons, .. } => panic!("{intent}: denied: {reasons:?}"),
        }
    }

    /// Runs `intent` on `target` with the four axes and expects a denial; returns its reasons.
    pub(super) async fn deny(&self, target: &str, intent: &str) -> Vec<String> {
        match self.run(input(target, intent)).await.decision.unwrap() {
            Decision::Deny { reasons, .. } => reasons,
            Decision::Commit { blueprint, .. } => {
                panic!("{intent}: committed {}", blueprint.canonical_yaml())
            }
        }
    }
}

/// Returns an issue for `target` with the four axes and a time limit of one minute.
pub(super) fn input(target: &str, intent: &str) -> FlowInput {
    // Read back from its canonical form, as from the store.
    let written = Blueprint::parse_as(target, Format::Yaml).unwrap();
    let prev =
        Arc::new(Blueprint::from_stored(written.version(), written.canonical_yaml()).unwrap());
    FlowInput {
        issue_id: IssueId::parse("issue-1").unwrap(),
        blueprint_id: prev.id().clone(),
        intent: intent.to_owned(),
        epoch: Epoch {
            blueprint_id: prev.id().clone(),
            start_version: prev.version().clone(),
            started_at_ms: 7,
        },
        prev,
        verifiers: AXES.map(str::to_owned).to_vec(),
        time_limit: Duration::from_secs(60),
        orbit_of: Vec::new(),
        stored_patch: None,
        steps: None,
        memory: None,
    }
}

/// Returns the setting for the bundled orbit with the four axes.
pub(super) fn setting() -> EnhanceSetting {
    EnhanceSetting {
        id: SettingId::parse("default").unwrap(),
        blueprint_id: BlueprintId::parse("enhance-default").unwrap(),
        selector: VersionSelector::Latest,
        no_verification: false,
        verifier_axes: AXES.map(str::to_owned).to_vec(),
        ttl_secs: 60,
        spawner: None,
        applies_to: Vec::new(),
        axis_options: AxisOptions::new(),
        review: Default::default(),
        revision: 1,
        updated_by: None,
        updated_at_ms: None,
    }
}

/// A temporary directory of one test.
pub(super) struct TempDir(pub(super) std::path::PathBuf);

impl TempDir {
    pub(super) fn new() -> TempDir {
        let dir = std::env::temp_dir().join(format!("draftsman-flow-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&dir).unwrap();
        TempDir(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Best effort: a leftover in the system's temporary directory is harmless.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
