//! The memory of a run: paid outputs of earlier attempts, and the earlier denials (see
//! [`past_denials`](crate::flow::past_denials)).
//!
//! # Paid steps
//!
//! The answer of a model costs money, and a program costs time. If a worker dies after it received
//! an answer, the next worker would pay for it again. Each output of a paid step (kinds `llm` and
//! `subprocess`, and the axis `llm-judge`) is therefore stored with the issue until the issue is
//! decided. An identical request gets the stored output. Bundled scripts take milliseconds and are
//! not stored: an issue without paid steps causes no extra call of Redis.
//!
//! Two requests are *identical* if they have the same agent and the same input. The agent is its
//! name, kind, `spec` and `profile`, which include the model and the prompt. They are compared by
//! the SHA-256 of their canonical JSON. Between two attempts on one head, only the epoch of the run
//! differs in the input, because it contains the start time of the attempt. Every copy of the epoch
//! is removed first. If the head has moved, `prev_hash` and the document differ, and the request is
//! sent again. The same is true if the setting has another model.
//!
//! A flow that sends the same request twice wants two answers, for example for a vote. The n-th
//! identical request of a run gets the n-th stored answer.
//!
//! A stored output replaces the run of the agent. All later steps (applier, verifiers, committer)
//! treat it as a new output. The log entry includes its cost, because it was paid for this issue.
//! The metrics count it only where it was paid.
//!
//! Storing is best effort. An output is paid for again if it could not be stored: Redis is full,
//! the output is too long, or the worker died before the write. Reading is not best effort: a
//! temporary fault delays the issue, because a new request to the model would incur the cost that
//! the memory avoids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use backon::Retryable;
use shared::blueprint::{Doc, json};
use shared::domain::enhance_log::SpawnerUsage;
use shared::error::chain;
use shared::fail_point;
use shared::ids::{BlueprintId, sha256_hex};
use shared::store::{CacheOutcome, CachedStep, Lease, Shard, Store, StoreError};

use crate::flow::error::StepError;
use crate::pause::BACK_OFF;

/// The maximum number of attempts at a call of Redis.
const TRIES: usize = 3;

/// Access to the stored steps and denials of one issue.
#[derive(Debug, Clone)]
pub struct Memory {
    store: Store,
    blueprint: BlueprintId,
    lease: Option<Lease>,
}

impl Memory {
    /// Returns the memory of the issue of this lease.
    pub fn of_issue(store: Store, lease: Lease) -> Memory {
        Memory {
            store,
            blueprint: lease.issue.blueprint_id.clone(),
            lease: Some(lease),
        }
    }

    /// Returns the memory of a preview, which stores no steps.
    pub fn of_preview(store: Store, blueprint: BlueprintId) -> Memory {
        Memory {
            store,
            blueprint,
            lease: None,
        }
    }
}

/// The memory of one run.
#[derive(Debug)]
pub(super) struct RunMemory {
    memory: Memory,
    /// The epoch of the run, as in its context.
    epoch: Doc,
    /// The number of identical requests in this run, by hash.
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

    /// Returns the shard of the target.
    fn shard(&self) -> &Shard {
        self.memory.store.of(&self.memory.blueprint)
    }

    /// Returns the target.
    pub(super) fn blueprint(&self) -> &BlueprintId {
        &self.memory.blueprint
    }

    /// Returns the lease for storing steps; `None` for previews.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.memory.lease.as_ref()
    }

    /// Returns the key of this request: the hash of the agent's definition and its input, and the
    /// ordinal of the request in this run.
    pub(super) fn name(&self, agent: &Doc, input: &Doc) -> String {
        let question = Doc::array(vec![agent.clone(), without(input, &self.epoch)]);
        let hash = sha256_hex(json::emit(&question).as_bytes());
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let n = asked.entry(hash.clone()).or_default();
        *n += 1;
        format!("{hash}-{n}")
    }

    /// Returns the output stored under this key, if any, and the cost of the issue's spawner so
    /// far.
    ///
    /// # Errors
    /// [`StepError::Transient`] if the memory cannot be read now.
    pub(super) async fn recall(
        &self,
        lease: &Lease,
        name: &str,
    ) -> Result<(Option<(Doc, CachedStep)>, SpawnerUsage), StepError> {
        let issue = &lease.issue;
        let damaged = |error: &dyn std::error::Error| {
            tracing::error!(
                error = chain(error),
                "a cached step is damaged; running it again"
            );
        };
        let found = persistently(|| self.shard().cached_step(issue, name));
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
            Err(error) => Err(StepError::Transient {
                message: format!("the cached steps could not be read: {}", chain(&error)),
                retry_after: None,
            }),
        }
    }

    /// Stores the current cost of the issue's spawner, so that the log entry contains it even if
    /// another attempt decides.
    pub(super) async fn note_cost(&self, lease: &Lease, cost: &SpawnerUsage) {
        let noted = persistently(|| self.shard().note_cost(lease, cost));
        if let Err(error) = noted.await {
            tracing::warn!(
                error = chain(&error),
                "could not store the cost of the spawner; the log entry omits it unless this attempt decides"
            );
        }
    }

    /// Stores the output of a step. A failure is only logged.
    pub(super) async fn keep(&self, lease: &Lease, name: &str, step: &CachedStep) {
        fail_point::pass("remember.before");
        let kept = persistently(|| self.shard().cache_step(lease, name, step));
        match kept.await {
            Ok(CacheOutcome::Kept | CacheOutcome::Stale) => {}
            Ok(outcome) => tracing::warn!(
                ?outcome,
                n_bytes = step.output.len(),
                "the output of a step is not cached; it is paid for again if this worker dies"
            ),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "could not cache the output of a step; it is paid for again if this worker dies"
            ),
        }
        fail_point::pass("remember.after");
    }
}

/// Calls Redis, and repeats the call after a retryable error.
pub(super) async fn persistently<T, F>(call: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    call.retry(BACK_OFF.with_max_times(TRIES - 1))
        .when(StoreError::is_retryable)
        .await
}

/// Returns `doc` with every value that equals `part` replaced by `null`.
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
        // A value that only resembles the epoch of the run is not removed.
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
