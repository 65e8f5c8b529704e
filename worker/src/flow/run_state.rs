//! The state that the steps of one run share: its deadline, the cost of the spawner, and the
//! document cache.

/// The name of the agent whose cost is logged, and which a setting may replace.
pub(super) use shared::blueprint::orbit::kinds::SPAWNER;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use shared::blueprint::{Blueprint, Doc, json};
use shared::domain::enhance_log::{MAX_UNUSABLE_REPLY_BYTES, SpawnerUsage};
use shared::domain::proposal::StoredPatch;
use shared::prefix::prefix;

use crate::flow::error::FlowError;
use crate::flow::memo::Memo;
use crate::flow::memory::RunMemory;
use crate::flow::rulings::Rulings;
use crate::flow::steps::{OpenStep, StepRecorder};

/// One run of one flow.
#[derive(Debug)]
pub(super) struct RunState {
    /// The time at which the time limit is reached.
    pub(super) deadline: Instant,
    document_bytes: usize,
    memo: Mutex<Memo>,
    /// The cost of the spawner in this run.
    usage: Mutex<SpawnerUsage>,
    /// The cost before this run, once it has been read.
    usage_before: OnceLock<SpawnerUsage>,
    unusable_reply: Mutex<String>,
    steps: Option<Arc<StepRecorder>>,
    memory: Option<RunMemory>,
    rulings: Rulings,
    /// The spawner's reply that is verified again.
    stored_reply: Option<Doc>,
}

impl RunState {
    /// Returns the state of a run on `prev` that must end by `deadline`. `issue` is the issue as in
    /// the context. `steps` records the progress of steps.
    pub(super) fn new(
        prev: &Arc<Blueprint>,
        issue: Doc,
        deadline: Instant,
        steps: Option<Arc<StepRecorder>>,
    ) -> Self {
        let mut memo = Memo::default();
        memo.seed(prev);
        let document_bytes = prev.canonical_yaml().len();
        Self {
            deadline,
            document_bytes,
            memo: Mutex::new(memo),
            usage: Mutex::default(),
            usage_before: OnceLock::new(),
            unusable_reply: Mutex::default(),
            steps,
            memory: None,
            rulings: Rulings::new(prev, issue),
            stored_reply: None,
        }
    }

    /// Records the answer of an axis.
    pub(super) fn note_verdict(&self, axis: &Arc<str>, input: &Doc, verdict: &Doc) {
        self.rulings.note(axis, input, verdict, &mut self.memo());
    }

    /// Returns the recorded verdicts.
    pub(super) fn rulings(&self) -> &Rulings {
        &self.rulings
    }

    /// Records the start of a step on `ctx`.
    pub(super) fn begin_step(&self, step: &Arc<str>, ctx: &Doc) -> Option<OpenStep<'_>> {
        Some(self.steps.as_ref()?.begin(step, ctx))
    }

    /// Returns the same run with a memory.
    pub(super) fn with_memory(self, memory: Option<RunMemory>) -> Self {
        Self { memory, ..self }
    }

    /// Returns the same run for a patch that is verified again. Its cost is that of its spawner.
    ///
    /// # Errors
    /// [`FlowError::StoredPatch`] if the stored reply is not JSON.
    pub(super) fn with_stored_patch(self, patch: &StoredPatch) -> Result<Self, FlowError> {
        let reply = json::parse(&patch.reply_json)
            .map_err(|error| FlowError::StoredPatch(error.to_string()))?;
        self.note_usage_before(patch.usage.clone());
        Ok(Self {
            stored_reply: Some(reply),
            ..self
        })
    }

    /// Returns the output of a step that does not run, because a stored patch replaces it: of the
    /// spawner, and of each step that writes to `$.patch`.
    pub(super) fn stored_output(&self, step: &str, writes_patch: bool) -> Option<Doc> {
        let reply = self.stored_reply.as_ref()?;
        (step == SPAWNER || writes_patch).then(|| reply.clone())
    }

    /// Returns the memory of the run, if any.
    pub(super) fn memory(&self) -> Option<&RunMemory> {
        self.memory.as_ref()
    }

    /// Returns the size of the target's canonical YAML, in bytes.
    pub(super) fn document_bytes(&self) -> usize {
        self.document_bytes
    }

    /// Returns the document cache.
    pub(super) fn memo(&self) -> MutexGuard<'_, Memo> {
        // A panic cannot leave an incomplete entry.
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the cost of the spawner, which may run more than once.
    pub(super) fn add_usage(&self, more: &SpawnerUsage) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        *usage = sum(&usage, more);
    }

    /// Records the cost of the spawner before this run. Only the first call counts, because later
    /// values include costs of this run.
    pub(super) fn note_usage_before(&self, usage: SpawnerUsage) {
        let _ = self.usage_before.set(usage);
    }

    /// Returns the cost of the spawner so far, over all attempts at the issue.
    pub(super) fn usage(&self) -> SpawnerUsage {
        let usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        match self.usage_before.get() {
            Some(before) => sum(before, &usage),
            None => usage.clone(),
        }
    }

    /// Records a model reply that is not usable; only the last one is kept.
    pub(super) fn note_unusable(&self, reply: &str) {
        let kept = prefix(reply, MAX_UNUSABLE_REPLY_BYTES);
        let mut last = self
            .unusable_reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kept.clone_into(&mut last);
    }

    /// Returns the beginning of the last unusable reply; empty if all were usable.
    pub(super) fn unusable_reply(&self) -> String {
        self.unusable_reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Returns the sum of both costs. Kind and model are those of `later`, unless it is empty.
pub(super) fn sum(earlier: &SpawnerUsage, later: &SpawnerUsage) -> SpawnerUsage {
    let named = if later.agent_kind.is_empty() {
        earlier
    } else {
        later
    };
    SpawnerUsage {
        agent_kind: named.agent_kind.clone(),
        model: named.model.clone(),
        input_tokens: earlier.input_tokens.saturating_add(later.input_tokens),
        output_tokens: earlier.output_tokens.saturating_add(later.output_tokens),
        calls: earlier.calls.saturating_add(later.calls),
        duration_ms: earlier.duration_ms.saturating_add(later.duration_ms),
    }
}
