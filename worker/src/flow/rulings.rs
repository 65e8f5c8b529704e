//! What the axes really judged in one run: the record that `$.commit` is held against.
//!
//! An orbit is somebody's document. Its flow may skip an axis, may overwrite `$.verifiers`, and may write verdicts that
//! no verifier has given. So the router notes, outside the context, which axis judged which document, and how. A
//! verdict counts only if the axis was given the run's own target and issue, and a document with its own text and
//! version: an orbit cannot have one document judged and commit another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::blueprint::{Blueprint, Doc};
use shared::ids::Version;

use crate::flow::memo::Memo;

/// How an axis has judged a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It passes.
    Pass,
    /// It is denied.
    Deny,
    /// Judged with something in this field that is not the run's own: no verdict about this issue.
    OtherInput(&'static str),
}

impl Ruling {
    /// What a router's answer says; `None` if it is no verdict.
    fn of(verdict: &Doc) -> Option<Self> {
        match verdict.get("status").and_then(Doc::as_str) {
            Some("pass") => Some(Self::Pass),
            Some("deny") => Some(Self::Deny),
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
    /// Nothing is judged yet. `issue`: what the context of the run says of it.
    pub(super) fn new(prev: &Arc<Blueprint>, issue: Doc) -> Self {
        Self {
            prev: Arc::clone(prev),
            issue,
            by_axis: Mutex::default(),
        }
    }

    /// Notes what an axis has answered. Of several verdicts on one document the last counts: a judge may be asked
    /// again.
    pub(super) fn note(&self, axis: &Arc<str>, input: &Doc, verdict: &Doc, memo: &mut Memo) {
        let Some(ruling) = Ruling::of(verdict) else {
            return;
        };
        let applied = input.get("applied");
        let Some(document) = applied.and_then(|applied| applied.get("new_bp_json")) else {
            return;
        };
        // A document that cannot be written cannot be committed either.
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

    /// How this axis has judged the document of this version; `None`: not at all.
    pub(super) fn of(&self, axis: &str, version: &Version) -> Option<Ruling> {
        let key = (Arc::from(axis), version.clone());
        self.known().get(&key).copied()
    }

    /// The first field of a verifier's input that is not what it is in this run.
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
        // A panic in between leaves a map that is whole.
        self.by_axis.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
