//! What is kept of one judgement.

use shared::blueprint::Blueprint;
use shared::blueprint::Doc;
use shared::blueprint::DocumentError;
use shared::blueprint::yaml;
use shared::ids::Version;
use std::sync::Arc;

/// Documents remembered at most; a script that makes more has the oldest forgotten.
const MAX_KNOWN: usize = 16;

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
    pub(crate) fn seed(&mut self, blueprint: &Arc<Blueprint>) {
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
