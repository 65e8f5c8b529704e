//! The recorded verdicts of one run. `$.commit` is checked against them.
//!
//! Orbits are untrusted input. A flow may skip an axis, overwrite `$.verifiers`, or write verdicts
//! that no verifier returned. The router therefore records, outside the context, which axis judged
//! which document, and how. A verdict counts only if the axis received the target and the issue of
//! the run, and a document with its own text and version. An orbit cannot have one document judged
//! and commit another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::blueprint::{Blueprint, Doc};
use shared::ids::Version;

use crate::flow::memo::Memo;

/// The verdict of an axis on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
    /// The axis passed the document.
    Pass,
    /// The axis denied the document.
    Deny,
    /// The axis sent the document to review.
    Review,
    /// The input differed from the run in this field, so the verdict does not apply to the issue.
    OtherInput(&'static str),
}

impl Ruling {
    /// Reads the answer of a router; returns `None` if it is not a verdict.
    fn of(verdict: &Doc) -> Option<Self> {
        match verdict.get("status").and_then(Doc::as_str) {
            Some("pass") => Some(Self::Pass),
            Some("deny") => Some(Self::Deny),
            Some("review") => Some(Self::Review),
            Some(_) => None,
            // A router of mlua-swarm answers {outcome: {Pass: …}} or {outcome: {Deny: …}}.
            None => {
                let outcome = verdict.get("outcome")?;
                match (outcome.get("Pass"), outcome.get("Deny")) {
                    (Some(_), None) => Some(Self::Pass),
                    (None, Some(_)) => Some(Self::Deny),
                    _ => None,
                }
            }
        }
    }
}

/// The record of one run.
#[derive(Debug)]
pub(super) struct Rulings {
    prev: Arc<Blueprint>,
    issue: Doc,
    by_axis: Mutex<HashMap<(Arc<str>, Version), Ruling>>,
}

impl Rulings {
    /// Returns an empty record. `issue` is the issue as in the context of the run.
    pub(super) fn new(prev: &Arc<Blueprint>, issue: Doc) -> Self {
        Self {
            prev: Arc::clone(prev),
            issue,
            by_axis: Mutex::default(),
        }
    }

    /// Records the answer of an axis. The last verdict on a document counts, because a flow may ask
    /// a judge again.
    pub(super) fn note(&self, axis: &Arc<str>, input: &Doc, verdict: &Doc, memo: &mut Memo) {
        let Some(ruling) = Ruling::of(verdict) else {
            return;
        };
        let applied = input.get("applied");
        let Some(document) = applied.and_then(|applied| applied.get("new_bp_json")) else {
            return;
        };
        // A document that cannot be serialised cannot be committed.
        let Ok(version) = memo.version(document) else {
            return;
        };
        let other = self.other_input(input, document, &version, memo);
        let key = (Arc::clone(axis), version);
        match other {
            None => drop(self.known().insert(key, ruling)),
            Some(field) => {
                self.known().entry(key).or_insert(Ruling::OtherInput(field));
            }
        }
    }

    /// Returns the verdict of this axis on the document of this version, if any.
    pub(super) fn of(&self, axis: &str, version: &Version) -> Option<Ruling> {
        let key = (Arc::from(axis), version.clone());
        self.known().get(&key).copied()
    }

    /// Returns the first field of a verifier's input that differs from the run.
    fn other_input(
        &self,
        input: &Doc,
        document: &Doc,
        version: &Version,
        memo: &mut Memo,
    ) -> Option<&'static str> {
        let text = |at: Option<&Doc>, expected: &str| {
            at.and_then(Doc::as_str)
                .is_some_and(|text| text == expected)
        };
        let applied = |field| input.get("applied").and_then(|applied| applied.get(field));
        let yaml = memo.canonical_yaml(document).ok();
        let is_own = [
            ("issue", input.get("issue") == Some(&self.issue)),
            (
                "prev_bp_yaml",
                text(input.get("prev_bp_yaml"), self.prev.canonical_yaml()),
            ),
            (
                "prev_hash",
                text(input.get("prev_hash"), self.prev.version().as_str()),
            ),
            (
                "applied.new_hash",
                text(applied("new_hash"), version.as_str()),
            ),
            (
                "applied.new_bp_yaml",
                yaml.is_some_and(|yaml| text(applied("new_bp_yaml"), &yaml)),
            ),
        ];
        let other = is_own.into_iter().find(|(_, is_own)| !is_own);
        other.map(|(field, _)| field)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(Arc<str>, Version), Ruling>> {
        // A panic cannot leave the map incomplete.
        self.by_axis.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
