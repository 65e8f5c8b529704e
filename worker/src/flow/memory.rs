//! What a run may know of what was before it: outputs that were paid for, and (see
//! [`past_denials`](crate::flow::past_denials)) what was denied.
//!
//! # Steps that were paid for
//!
//! A model's answer costs money and a program's time. If a worker dies after it had the answer, the
//! next one would ask for it again, so each output of a step that costs something (kinds `llm` and
//! `subprocess`, and the axis `llm-judge`) is kept with the issue until that is decided, and given to whoever
//! asks the same.
//! Bundled scripts cost milliseconds and have no memory: an issue without paid steps makes no call
//! of Redis more than before.
//!
//! *The same* is the same agent (name, kind, `spec` and `profile`: the model and the prompt are in
//! it) and the same input, as SHA-256 over their canonical JSON. The one thing in an input that
//! changes between two attempts on one head is the run's epoch, for it says when the attempt began: every copy of
//! it is taken out first. If the head moved, `prev_hash` and the document differ, and it is asked again; so it is
//! if the setting has another model by now.
//!
//! A flow that asks the same thing twice wants two answers (a vote, say), so the n-th time that a
//! run asks something it gets the n-th answer that was kept.
//!
//! A remembered output takes the place of the agent's run, so all that comes after it treats it as a
//! fresh one: applier, verifiers, committer. What it cost stands in the log entry, since it was paid for
//! this issue; the metrics count it where it was paid.
//!
//! Keeping is best effort: what cannot be kept (Redis is full, the output is too long, the worker dies
//! between the answer and its being kept) is paid for again if the issue is run again. Reading is not: a
//! fault that may pass puts the issue off, because asking the model instead would cost what the memory is for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::blueprint::{Doc, json};
use shared::domain::enhance_log::SpawnerUsage;
use shared::error::chain;
use shared::fail_point;
use shared::ids::{BlueprintId, sha256_hex};
use shared::store::{CacheOutcome, CachedStep, Lease, Store, StoreError};

use crate::flow::error::StepError;
use crate::pause::Pause;

/// How often a call of Redis is made before it is given up.
const TRIES: u32 = 3;

/// Where what was before is kept, for one issue.
#[derive(Debug, Clone)]
pub struct Memory {
    store: Store,
    blueprint: BlueprintId,
    lease: Option<Lease>,
}

impl Memory {
    /// The memory of the issue that this lease is for.
    pub fn of_issue(store: Store, lease: Lease) -> Memory {
        Memory {
            store,
            blueprint: lease.issue.blueprint_id.clone(),
            lease: Some(lease),
        }
    }

    /// That of something that is only tried out: it keeps no steps.
    pub fn of_preview(store: Store, blueprint: BlueprintId) -> Memory {
        Memory {
            store,
            blueprint,
            lease: None,
        }
    }

    /// Where it is kept.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

/// What one run remembers.
#[derive(Debug)]
pub(super) struct RunMemory {
    memory: Memory,
    /// The run's own, as it stands in the context.
    epoch: Doc,
    /// How often this run has asked the same.
    asked: Mutex<HashMap<String, u32>>,
}

impl RunMemory {
    pub(super) fn new(memory: Memory, epoch: Doc) -> RunMemory {
        RunMemory {
            memory,
            epoch,
            asked: Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.memory.store
    }

    /// The target.
    pub(super) fn blueprint(&self) -> &BlueprintId {
        &self.memory.blueprint
    }

    /// The lease under which steps are kept; `None` if they are not.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.memory.lease.as_ref()
    }

    /// The name of what is asked now: of `agent`'s definition and its input, and the how many-th time it is.
    pub(super) fn name(&self, agent: &Doc, input: &Doc) -> String {
        let question = Doc::array(vec![agent.clone(), without(input, &self.epoch)]);
        let hash = sha256_hex(json::emit(&question).as_bytes());
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let n = asked.entry(hash.clone()).or_default();
        *n += 1;
        format!("{hash}-{n}")
    }

    /// What was kept under this name, and what the issue's spawner has cost so far.
    ///
    /// # Errors
    /// [`StepError::Passing`] if it cannot be read now.
    pub(super) async fn recall(
        &self,
        lease: &Lease,
        name: &str,
    ) -> Result<(Option<(Doc, CachedStep)>, SpawnerUsage), StepError> {
        let issue = &lease.issue;
        let damaged = |error: &dyn std::error::Error| {
            tracing::error!(
                error = chain(error),
                "a remembered step is damaged; it is run again"
            );
        };
        let found = persistently(|| self.memory.store.cached_step(issue, name));
        match found.await {
            Ok((step, cost)) => {
                let found = step.and_then(|step| match json::parse(&step.output) {
                    Ok(output) => Some((output, step)),
                    Err(error) => {
                        damaged(&error);
                        None
                    }
                });
                Ok((found, cost))
            }
            Err(error @ StoreError::Damaged { .. }) => {
                damaged(&error);
                Ok((None, SpawnerUsage::default()))
            }
            Err(error) => Err(StepError::Passing {
                message: format!(
                    "what was paid for already could not be read: {}",
                    chain(&error)
                ),
                retry_after: None,
            }),
        }
    }

    /// Notes what the issue's spawner has cost by now, so that the decision can say it whoever makes it.
    pub(super) async fn note_cost(&self, lease: &Lease, cost: &SpawnerUsage) {
        let noted = persistently(|| self.memory.store.note_cost(lease, cost));
        if let Err(error) = noted.await {
            tracing::warn!(
                error = chain(&error),
                "what the spawner cost could not be noted; the log entry lacks it if this attempt does not decide"
            );
        }
    }

    /// Keeps a step's output, if it can be kept; says so in the log if not.
    pub(super) async fn keep(&self, lease: &Lease, name: &str, step: &CachedStep) {
        fail_point::pass("remember.before");
        let kept = persistently(|| self.memory.store.cache_step(lease, name, step));
        match kept.await {
            Ok(CacheOutcome::Kept | CacheOutcome::Stale) => {}
            Ok(outcome) => tracing::warn!(
                ?outcome,
                n_bytes = step.output.len(),
                "a step's output is not kept; it is paid for again if this worker dies"
            ),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "a step's output could not be kept; it is paid for again if this worker dies"
            ),
        }
        fail_point::pass("remember.after");
    }
}

/// Makes a call, again if it may well succeed then.
pub(super) async fn persistently<T, F>(call: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = Pause::default();
    for _ in 1..TRIES {
        match call().await {
            Err(error) if error.is_retryable() => pause.wait().await,
            other => return other,
        }
    }
    call().await
}

/// `doc` with `null` for whatever in it equals `part`.
fn without(doc: &Doc, part: &Doc) -> Doc {
    match doc {
        _ if doc == part => Doc::Null,
        Doc::Array(items) => Doc::array(items.iter().map(|item| without(item, part)).collect()),
        Doc::Object(members) => Doc::Object(Arc::new(
            members
                .iter()
                .map(|(key, value)| (key.clone(), without(value, part)))
                .collect(),
        )),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::WorkerId;
    use shared::store::IssueRef;

    use super::*;

    const AGENT: &str = r#"{"name":"a","kind":"llm","profile":{"model":"m"}}"#;

    fn doc(text: &str) -> Doc {
        json::parse(text).unwrap()
    }

    fn run(started_at_ms: i64) -> (RunMemory, Doc) {
        let epoch = doc(&format!(
            r#"{{"blueprint_id":"b","start_version":"v","started_at_ms":{started_at_ms}}}"#
        ));
        let lease = Lease {
            issue: IssueRef::parse("b/i").unwrap(),
            worker_id: WorkerId::parse("w").unwrap(),
            token: String::new(),
        };
        let store = Store::open("redis://127.0.0.1:1", 1).unwrap();
        let memory = RunMemory::new(Memory::of_issue(store, lease), epoch.clone());
        (memory, epoch)
    }

    fn input(epoch: &Doc, intent: &str) -> Doc {
        let nested = Doc::object([("epoch_id", epoch.clone())]);
        Doc::object([
            ("intent", Doc::from(intent)),
            ("epoch_id", epoch.clone()),
            ("branches", Doc::array(vec![nested])),
        ])
    }

    #[test]
    fn another_attempt_asks_the_same_and_all_else_is_another_question() {
        let (first, epoch) = run(1);
        let name = first.name(&doc(AGENT), &input(&epoch, "x"));
        let (second, epoch) = run(2);
        assert_eq!(name, second.name(&doc(AGENT), &input(&epoch, "x")));

        let (third, epoch) = run(3);
        assert_ne!(name, third.name(&doc(AGENT), &input(&epoch, "y")));
        let other = doc(&AGENT.replace("\"m\"", "\"n\""));
        assert_ne!(name, third.name(&other, &input(&epoch, "x")));
        // A document that holds something like an epoch keeps it.
        let (_, strange) = run(4);
        assert_ne!(name, third.name(&doc(AGENT), &input(&strange, "x")));
    }

    #[test]
    fn the_same_question_twice_in_one_run_has_two_names() {
        let (first, epoch) = run(1);
        let names = |run: &RunMemory, epoch: &Doc| {
            [(); 2].map(|()| run.name(&doc(AGENT), &input(epoch, "x")))
        };
        let before = names(&first, &epoch);
        assert_ne!(before[0], before[1]);
        let (second, epoch) = run(2);
        assert_eq!(before, names(&second, &epoch));
    }
}
