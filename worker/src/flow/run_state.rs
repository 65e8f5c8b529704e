//! What the steps of one run share: its deadline, what the spawner cost, and what is known
//! about documents already.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use shared::blueprint::{Blueprint, Doc, DocumentError, yaml};
use shared::enhance_log::{MAX_UNUSABLE_REPLY_BYTES, SpawnerUsage};
use shared::ids::Version;

use super::memory::RunMemory;
use super::prefix::prefix;
use super::rulings::Rulings;
use super::steps::{OpenStep, StepRecorder};

/// The agent whose cost is logged, and which a setting may replace.
pub(super) use shared::blueprint::orbit::SPAWNER;

/// Documents remembered at most; a script that makes more has the oldest forgotten.
const MAX_KNOWN: usize = 16;

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

/// A document, and what was worked out about it.
#[derive(Debug)]
enum Known {
    /// It is a Blueprint, which has its text and version.
    Blueprint(Blueprint),
    /// It is not.
    Other {
        doc: Doc,
        yaml: Arc<str>,
        version: Option<Version>,
    },
}

impl Known {
    fn doc(&self) -> &Doc {
        match self {
            Known::Blueprint(blueprint) => blueprint.doc(),
            Known::Other { doc, .. } => doc,
        }
    }
}

/// Remembers canonical texts and versions, so that a document which passes through applier,
/// verifiers and committer is written and hashed once.
///
/// A text is remembered as that of a document only in the direction in which it was worked out:
/// [`Memo::parse`] never answers from a text that was merely emitted, because the axis `canonical`
/// asks exactly whether reading it again gives the same document.
#[derive(Debug, Default)]
pub(super) struct Memo {
    emitted: Vec<Known>,
    parsed: Vec<(Arc<str>, Doc)>,
}

impl Memo {
    /// Tells the memo of a Blueprint that was read from its canonical text.
    fn seed(&mut self, blueprint: &Arc<Blueprint>) {
        self.emitted
            .push(Known::Blueprint(Blueprint::clone(blueprint)));
        self.parsed
            .push((blueprint.canonical_yaml().clone(), blueprint.doc().clone()));
    }

    /// The canonical YAML of `doc`.
    ///
    /// # Errors
    /// [`DocumentError`] if it is larger or deeper than a document may be.
    pub(super) fn canonical_yaml(&mut self, doc: &Doc) -> Result<Arc<str>, DocumentError> {
        Ok(match self.known(doc)? {
            Known::Blueprint(blueprint) => blueprint.canonical_yaml().clone(),
            Known::Other { yaml, .. } => yaml.clone(),
        })
    }

    /// The version of `doc`: the SHA-256 of its canonical YAML.
    ///
    /// # Errors
    /// As [`Memo::canonical_yaml`].
    pub(super) fn version(&mut self, doc: &Doc) -> Result<Version, DocumentError> {
        Ok(match self.known(doc)? {
            Known::Blueprint(blueprint) => blueprint.version().clone(),
            Known::Other { yaml, version, .. } => {
                version.get_or_insert_with(|| Version::of(yaml)).clone()
            }
        })
    }

    /// `doc` as a Blueprint.
    ///
    /// # Errors
    /// [`DocumentError`] naming the field that keeps it from being one.
    pub(super) fn blueprint(&mut self, doc: &Doc) -> Result<Blueprint, DocumentError> {
        match self.known(doc) {
            Ok(Known::Blueprint(blueprint)) => Ok(blueprint.clone()),
            // Made again for its error.
            _ => Blueprint::from_doc(doc.clone()),
        }
    }

    /// The document that `text` is, read as YAML.
    ///
    /// # Errors
    /// [`DocumentError`] if it is none.
    pub(super) fn parse(&mut self, text: &str) -> Result<Doc, DocumentError> {
        if let Some((_, doc)) = self.parsed.iter().find(|(known, _)| **known == *text) {
            return Ok(doc.clone());
        }
        let doc = yaml::parse_canonical(text)?;
        if self.parsed.len() == MAX_KNOWN {
            self.parsed.remove(1);
        }
        self.parsed.push((text.into(), doc.clone()));
        Ok(doc)
    }

    fn known(&mut self, doc: &Doc) -> Result<&mut Known, DocumentError> {
        let at = match self
            .emitted
            .iter()
            .position(|known| known.doc().identical(doc))
        {
            Some(at) => at,
            None => {
                // What keeps a document from being a Blueprint is looked for before it is written,
                // so nothing is written twice here.
                let known = match Blueprint::from_doc(doc.clone()) {
                    Ok(blueprint) => Known::Blueprint(blueprint),
                    Err(_) => Known::Other {
                        doc: doc.clone(),
                        yaml: yaml::emit(doc)?.into(),
                        version: None,
                    },
                };
                if self.emitted.len() == MAX_KNOWN {
                    // The first is the target itself.
                    self.emitted.remove(1);
                }
                self.emitted.push(known);
                self.emitted.len() - 1
            }
        };
        Ok(&mut self.emitted[at])
    }
}
