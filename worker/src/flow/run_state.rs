//! What the steps of one run share: its deadline, what the spawner cost, and what is known
//! about documents already.

/// The agent whose cost is logged, and which a setting may replace.
pub(super) use shared::blueprint::orbit::kinds::SPAWNER;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use shared::blueprint::{Blueprint, Doc};
use shared::domain::enhance_log::{MAX_UNUSABLE_REPLY_BYTES, SpawnerUsage};

use crate::flow::memo::Memo;
use crate::flow::memory::RunMemory;
use crate::flow::prefix::prefix;
use crate::flow::rulings::Rulings;
use crate::flow::steps::{OpenStep, StepRecorder};

/// One run of one flow.
#[derive(Debug)]
pub(super) struct RunState {
    /// When the ceiling is reached.
    pub(super) deadline: Instant,
    document_bytes: usize,
    memo: Mutex<Memo>,
    /// What the spawner cost in this run.
    usage: Mutex<SpawnerUsage>,
    /// What it cost before this run, if anybody has looked.
    usage_before: OnceLock<SpawnerUsage>,
    unusable_reply: Mutex<String>,
    steps: Option<Arc<StepRecorder>>,
    memory: Option<RunMemory>,
    rulings: Rulings,
}

impl RunState {
    /// A run on `prev` for `issue`, as the context has it, that must end by `deadline`, and tells `steps` what it
    /// does.
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
        }
    }

    /// An axis has answered.
    pub(super) fn note_verdict(&self, axis: &Arc<str>, input: &Doc, verdict: &Doc) {
        self.rulings.note(axis, input, verdict, &mut self.memo());
    }

    /// What the axes have judged.
    pub(super) fn rulings(&self) -> &Rulings {
        &self.rulings
    }

    /// A step begins on `ctx`.
    pub(super) fn begin_step(&self, step: &Arc<str>, ctx: &Doc) -> Option<OpenStep<'_>> {
        Some(self.steps.as_ref()?.begin(step, ctx))
    }

    /// The same run with a memory.
    pub(super) fn with_memory(self, memory: Option<RunMemory>) -> Self {
        Self { memory, ..self }
    }

    /// What it knows of what was before; `None`: nothing.
    pub(super) fn memory(&self) -> Option<&RunMemory> {
        self.memory.as_ref()
    }

    /// How large the target is, as canonical YAML.
    pub(super) fn document_bytes(&self) -> usize {
        self.document_bytes
    }

    /// What is known about documents.
    pub(super) fn memo(&self) -> MutexGuard<'_, Memo> {
        // A panic in between leaves entries that are complete or not there at all.
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to what the spawner cost: it may run more than once.
    pub(super) fn add_usage(&self, more: &SpawnerUsage) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        *usage = sum(&usage, more);
    }

    /// Takes note of what the spawner cost before this run; only the first note counts, for what comes later has
    /// costs of this run in it.
    pub(super) fn note_usage_before(&self, usage: SpawnerUsage) {
        let _ = self.usage_before.set(usage);
    }

    /// What the spawner cost so far, over all attempts at the issue.
    pub(super) fn usage(&self) -> SpawnerUsage {
        let usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        match self.usage_before.get() {
            Some(before) => sum(before, &usage),
            None => usage.clone(),
        }
    }

    /// Takes note of a model's reply that could not be used; the last one stays.
    pub(super) fn note_unusable(&self, reply: &str) {
        let kept = prefix(reply, MAX_UNUSABLE_REPLY_BYTES);
        let mut last = self
            .unusable_reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kept.clone_into(&mut last);
    }

    /// The beginning of the last reply that could not be used; empty if there was none.
    pub(super) fn unusable_reply(&self) -> String {
        self.unusable_reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What both cost. Kind and model are those of `later`, if it has cost anything.
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
