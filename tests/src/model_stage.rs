//! A rig whose spawner is a model, with the test double of its provider.

use proto::v1;
use serde_json::{Value, json};

use crate::checker::{Attempts, assert_sound};
use crate::factory::{self, to_struct};
use crate::model_double::{Act, ModelDouble};
use crate::rig::Rig;

/// The API key, which no log may contain.
pub const KEY: &str = "key-of-the-tests";
/// A word of the prompt, which no log may contain.
pub const PROMPT_WORD: &str = "wombat";
/// A word of every reply.
pub const REPLY_WORD: &str = "quokka";

/// A patch that adds one tag.
pub fn patch() -> String {
    json!({
        "ops": [{"op": "add", "path": "/metadata/tags/-", "value": REPLY_WORD}],
        "bump": "minor",
        "rationale": "one more tag",
    })
    .to_string()
}

/// The rig and the double.
#[derive(Debug)]
pub struct ModelStage {
    /// Intake and workers.
    pub rig: Rig,
    /// The test double of the provider.
    pub double: ModelDouble,
}

impl ModelStage {
    /// Starts a stage with one worker and a model of Anthropic.
    pub async fn start(acts: Vec<Act>) -> Self {
        Self::with(acts, "anthropic", &[("ANTHROPIC_API_KEY", KEY)]).await
    }

    /// Starts a stage with one worker that has these variables, and a model of this provider.
    pub async fn with(acts: Vec<Act>, provider: &str, env: &[(&str, &str)]) -> Self {
        let double = ModelDouble::start(acts).await;
        let url = double.url();
        let mut rig = Rig::without_worker().await;
        let mut all = vec![("DRAFTSMAN_LLM_BASE_URL", url.as_str())];
        all.extend_from_slice(env);
        rig.add_worker(&all);
        rig.client.put(factory::small("target")).await;
        let stage = Self { rig, double };
        stage.use_model(provider).await;
        stage
    }

    /// Makes a model of this provider the spawner.
    pub async fn use_model(&self, provider: &str) {
        self.use_spec(json!({"provider": provider})).await;
    }

    /// Makes the spawner an agent of kind `llm` with this `spec`.
    pub async fn use_spec(&self, spec: Value) {
        let spawner = json!({
            "name": "patch-spawner",
            "kind": "llm",
            "spec": spec,
            "profile": {"model": "model-1", "system_prompt": format!("Write JSON, {PROMPT_WORD}.")},
        });
        self.edit(|s| s.spawner = Some(to_struct(&spawner))).await;
    }

    /// Changes the setting.
    pub async fn edit(&self, edit: impl FnOnce(&mut v1::EnhanceSetting)) {
        self.rig.client.edit_setting(edit).await;
    }

    /// Runs one issue until it is decided.
    pub async fn run(&self) -> v1::Issue {
        self.rig.client.run("target", "one more tag").await
    }

    /// Checks the rules for the end of every test: the store is sound, and no secret was logged.
    ///
    /// # Panics
    /// If a rule is violated.
    pub async fn assert_sound(&self, issues: &[&v1::Issue], attempts: Attempts) {
        let ids: Vec<String> = issues.iter().map(|i| i.issue_id.clone()).collect();
        assert_sound(&self.rig, &ids, attempts).await;
        for worker in &self.rig.workers {
            let log = worker.stderr();
            for secret in [KEY, PROMPT_WORD, REPLY_WORD] {
                assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
            }
        }
        for issue in issues {
            assert!(!issue.reason.contains(KEY), "{}", issue.reason);
        }
    }
}
