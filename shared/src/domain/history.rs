//! Validates a list of commits with their contents as a history, one by one, oldest first.
//!
//! An imported file is untrusted input. Rationales and times cannot be verified. Derived values
//! can: the version of each content, its label, and its place in the chain.

use thiserror::Error;

use crate::blueprint::{Blueprint, DocumentError};
use crate::domain::commit::Commit;
use crate::ids::{BlueprintId, Version};

/// A commit and the canonical YAML of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The commit.
    pub commit: Commit,
    /// The canonical YAML.
    pub document: String,
}

/// The reason why an entry does not continue a history.
#[derive(Debug, Error)]
pub enum NotNext {
    /// The content does not match its version, or is not a valid Blueprint.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A field contradicts the previous entries or the content.
    #[error("is {found:?} and should be {expected:?}")]
    Field {
        /// The field.
        field: &'static str,
        /// The actual value.
        found: String,
        /// The expected value.
        expected: String,
    },
    /// A field of the commit has an invalid form.
    #[error("{problem}")]
    Form {
        /// The field.
        field: &'static str,
        /// The description of the problem.
        problem: &'static str,
    },
}

impl NotNext {
    /// Returns the invalid field: `document_yaml`, or a field of the commit.
    pub fn field(&self) -> &'static str {
        match self {
            NotNext::Document(_) => "document_yaml",
            NotNext::Field { field, .. } | NotNext::Form { field, .. } => field,
        }
    }
}

/// Checks that each entry continues the previous one.
#[derive(Debug, Default)]
pub struct Chain {
    last: Option<(BlueprintId, u64, Version)>,
}

impl Chain {
    /// Appends `entry` to the chain.
    ///
    /// # Errors
    /// [`NotNext`] with the first problem. The chain is then unchanged.
    pub fn take(&mut self, entry: &HistoryEntry) -> Result<(), NotNext> {
        let commit = &entry.commit;
        let (id, seq, parents) = match &self.last {
            Some((id, seq, head)) => (id, seq + 1, vec![head.clone()]),
            None => (&commit.blueprint_id, 1, Vec::new()),
        };
        same(
            "commit.blueprint_id",
            commit.blueprint_id.as_str(),
            id.as_str(),
        )?;
        same("commit.seq", &commit.seq.to_string(), &seq.to_string())?;
        same("commit.parents", &list(&commit.parents), &list(&parents))?;
        if let Some(epoch) = &commit.epoch {
            same(
                "commit.epoch.blueprint_id",
                epoch.blueprint_id.as_str(),
                id.as_str(),
            )?;
            same(
                "commit.epoch.start_version",
                epoch.start_version.as_str(),
                &list(&parents),
            )?;
        }
        if commit.issue_id.is_some() != commit.epoch.is_some() {
            return Err(NotNext::Form {
                field: "commit.epoch",
                problem: "must be present with issue_id and absent without",
            });
        }
        let is_hash = Version::parse(&commit.patch_hash).is_ok();
        if is_hash != commit.issue_id.is_some() || !(is_hash || commit.patch_hash.is_empty()) {
            return Err(NotNext::Form {
                field: "commit.patch_hash",
                problem: "must be 64 hex digits with issue_id and empty without",
            });
        }
        let blueprint = Blueprint::from_canonical(&commit.version, &entry.document)?;
        same("document_yaml", blueprint.id().as_str(), id.as_str())?;
        let label = blueprint.version_label().unwrap_or_default();
        same("commit.version_label", &commit.version_label, label)?;
        self.last = Some((commit.blueprint_id.clone(), seq, commit.version.clone()));
        Ok(())
    }
}

pub(crate) fn list(versions: &[Version]) -> String {
    let each: Vec<&str> = versions.iter().map(Version::as_str).collect();
    each.join(" ")
}

pub(crate) fn same(field: &'static str, found: &str, expected: &str) -> Result<(), NotNext> {
    if found == expected {
        return Ok(());
    }
    let cut = |text: &str| text.chars().take(160).collect();
    Err(NotNext::Field {
        field,
        found: cut(found),
        expected: cut(expected),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::commit::Epoch;
    use crate::ids::IssueId;

    fn entry(seq: u64, parent: Option<&HistoryEntry>) -> HistoryEntry {
        let text = format!("id: a\nflow: {{}}\nagents: []\nn: {seq}\n");
        let blueprint = Blueprint::parse(&text).unwrap();
        HistoryEntry {
            commit: Commit {
                blueprint_id: blueprint.id().clone(),
                seq,
                version: blueprint.version().clone(),
                parents: parent.iter().map(|p| p.commit.version.clone()).collect(),
                version_label: String::new(),
                rationale: "why".to_owned(),
                patch_hash: String::new(),
                issue_id: None,
                epoch: None,
                author: None,
                decided_by: None,
                comment: String::new(),
                committed_at_ms: 7,
            },
            document: blueprint.canonical_yaml().to_string(),
        }
    }

    fn by_issue(parent: &HistoryEntry) -> HistoryEntry {
        let mut entry = entry(2, Some(parent));
        entry.commit.issue_id = Some(IssueId::parse("i").unwrap());
        entry.commit.patch_hash = parent.commit.version.to_string();
        entry.commit.epoch = Some(Epoch {
            blueprint_id: entry.commit.blueprint_id.clone(),
            start_version: parent.commit.version.clone(),
            started_at_ms: 6,
        });
        entry
    }

    #[test]
    fn a_history_is_taken_entry_by_entry() {
        let first = entry(1, None);
        let second = by_issue(&first);
        let third = entry(3, Some(&second));
        let mut chain = Chain::default();
        for entry in [first, second, third] {
            chain.take(&entry).unwrap();
        }
    }

    #[test]
    fn what_does_not_follow_is_named() {
        let first = entry(1, None);
        type Damage = fn(&mut HistoryEntry);
        let cases: [(&str, Damage); 14] = [
            ("commit.blueprint_id", |e| {
                e.commit.blueprint_id = BlueprintId::parse("b").unwrap()
            }),
            ("commit.seq", |e| e.commit.seq = 3),
            ("commit.parents", |e| e.commit.parents.clear()),
            ("commit.parents", |e| {
                e.commit.parents = vec![Version::of("x")]
            }),
            ("commit.epoch.blueprint_id", |e| {
                e.commit.epoch.as_mut().unwrap().blueprint_id = BlueprintId::parse("b").unwrap()
            }),
            ("commit.epoch.start_version", |e| {
                e.commit.epoch.as_mut().unwrap().start_version = Version::of("x")
            }),
            ("commit.epoch", |e| e.commit.epoch = None),
            ("commit.epoch", |e| e.commit.issue_id = None),
            ("commit.patch_hash", |e| e.commit.patch_hash.clear()),
            ("commit.patch_hash", |e| {
                e.commit.patch_hash = "F".repeat(64)
            }),
            ("commit.version_label", |e| {
                e.commit.version_label = "1.0.0".to_owned()
            }),
            ("document_yaml", |e| e.document.push('\n')),
            ("document_yaml", |e| {
                e.document = e.document.replace("id: a", "id: b");
                e.commit.version = Version::of(&e.document);
            }),
            ("document_yaml", |e| {
                e.document.insert_str(0, "# a comment\n");
                e.commit.version = Version::of(&e.document);
            }),
        ];
        for (named, damage) in cases {
            let mut chain = Chain::default();
            chain.take(&first).unwrap();
            let mut damaged = by_issue(&first);
            damage(&mut damaged);
            let refused = chain.take(&damaged).unwrap_err();
            assert_eq!(refused.field(), named, "{refused}");
            chain.take(&by_issue(&first)).unwrap();
        }
        let mut direct = entry(1, None);
        direct.commit.patch_hash = "x".to_owned();
        let refused = Chain::default().take(&direct).unwrap_err();
        assert_eq!(refused.field(), "commit.patch_hash", "{refused}");
    }
}
