//! A rig whose programs export every metric that dashboards, alerts and scalers name: some exist
//! only after an applied issue, a denial, a preview or a call of a model.

use proto::v1;
use serde_json::json;

use crate::factory::{self, to_struct};
use crate::model_double::{Act, ModelDouble};
use crate::probes::metrics_address;
use crate::rig::Rig;

const METRICS: (&str, &str) = ("DRAFTSMAN_METRICS_LISTEN", "127.0.0.1:0");
const TARGET: &str = "counted";

/// The rig, with one worker.
#[derive(Debug)]
pub struct LoadedRig {
    /// The programs.
    pub rig: Rig,
    _model: ModelDouble,
}

impl LoadedRig {
    /// Starts the programs and runs one issue of each kind. Further issues call a model.
    ///
    /// # Panics
    /// If a call fails.
    pub async fn start() -> Self {
        let mut rig = Rig::without_worker().await;
        rig.restart_intake_with(&[METRICS]).await;
        let patch = json!({
            "ops": [{"op": "add", "path": "/metadata/tags/-", "value": "y"}],
            "bump": "minor",
            "rationale": "r",
        });
        let model = ModelDouble::start(vec![Act::Say(patch.to_string())]).await;
        rig.add_worker(&[
            METRICS,
            ("DRAFTSMAN_LLM_BASE_URL", model.url().as_str()),
            ("ANTHROPIC_API_KEY", "k"),
        ]);
        rig.client.put(factory::small(TARGET)).await;
        rig.client.run(TARGET, "tag x").await;
        rig.client.run(TARGET, "nobody understands this").await;
        let request = v1::PreviewIssueRequest {
            blueprint_id: TARGET.to_owned(),
            intent: "tag z".to_owned(),
        };
        let preview = rig.client.intake.clone().preview_issue(request).await;
        preview.expect("PreviewIssue");
        let spawner = json!({
            "name": "patch-spawner", "kind": "llm", "spec": {"provider": "anthropic"},
            "profile": {"model": "model-1", "system_prompt": "Write JSON."},
        });
        rig.client
            .edit_setting(|setting| setting.spawner = Some(to_struct(&spawner)))
            .await;
        let loaded = Self { rig, _model: model };
        loaded.run_issue().await;
        loaded
    }

    /// Runs one issue by a model.
    pub async fn run_issue(&self) {
        self.rig.client.run(TARGET, "tag y").await;
    }

    /// Returns the metrics addresses of intake and the worker.
    pub async fn metrics_addresses(&self) -> [String; 2] {
        [
            metrics_address(&self.rig.intake).await,
            metrics_address(&self.rig.workers[0]).await,
        ]
    }
}
