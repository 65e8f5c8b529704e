//! A cache of the documents in one run.

use shared::blueprint::Blueprint;
use shared::blueprint::Doc;
use shared::blueprint::DocumentError;
use shared::blueprint::yaml;
use shared::ids::Version;
use std::sync::Arc;

/// The maximum number of cached documents; further documents evict the oldest.
const MAX_KNOWN: usize = 16;

/// A document with its derived values.
#[derive(Debug)]
enum Known {
    /// A valid Blueprint, with its canonical text and version.
    Blueprint(Blueprint),
    /// Any other document.
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

/// Caches canonical texts and versions. A document that passes through applier, verifiers and
/// committer is serialised and hashed once.
///
/// The cache works in one direction only: [`Memo::parse`] never answers from an emitted text. The
/// axis `canonical` checks exactly whether parsing that text returns the same document.
#[derive(Debug, Default)]
pub(super) struct Memo {
    emitted: Vec<Known>,
    parsed: Vec<(Arc<str>, Doc)>,
}

impl Memo {
    /// Adds a Blueprint that was parsed from its canonical text.
    pub(crate) fn seed(&mut self, blueprint: &Arc<Blueprint>) {
        self.emitted
            .push(Known::Blueprint(Blueprint::clone(blueprint)));
        self.parsed
            .push((blueprint.canonical_yaml().clone(), blueprint.doc().clone()));
    }

    /// Returns the canonical YAML of `doc`.
    ///
    /// # Errors
    /// [`DocumentError`] if `doc` exceeds the size or depth limit of documents.
    pub(super) fn canonical_yaml(&mut self, doc: &Doc) -> Result<Arc<str>, DocumentError> {
        Ok(match self.known(doc)? {
            Known::Blueprint(blueprint) => blueprint.canonical_yaml().clone(),
            Known::Other { yaml, .. } => yaml.clone(),
        })
    }

    /// Returns the version of `doc`: the SHA-256 of its canonical YAML.
    ///
    /// # Errors
    /// The same as [`Memo::canonical_yaml`].
    pub(super) fn version(&mut self, doc: &Doc) -> Result<Version, DocumentError> {
        Ok(match self.known(doc)? {
            Known::Blueprint(blueprint) => blueprint.version().clone(),
            Known::Other { yaml, version, .. } => {
                version.get_or_insert_with(|| Version::of(yaml)).clone()
            }
        })
    }

    /// Returns `doc` as a Blueprint.
    ///
    /// # Errors
    /// [`DocumentError`] naming the invalid field.
    pub(super) fn blueprint(&mut self, doc: &Doc) -> Result<Blueprint, DocumentError> {
        match self.known(doc) {
            Ok(Known::Blueprint(blueprint)) => Ok(blueprint.clone()),
            // Converted again to obtain the error.
            _ => Blueprint::from_doc(doc.clone()),
        }
    }

    /// Parses `text` as YAML.
    ///
    /// # Errors
    /// [`DocumentError`] if `text` is not a valid document.
    pub(super) fn parse(&mut self, text: &str) -> Result<Doc, DocumentError> {
        // The newest first, here and in `known`: a miss against the target costs a comparison of
        // two long texts that are equal almost to their end.
        let mut parsed = self.parsed.iter().rev();
        if let Some((_, doc)) = parsed.find(|(known, _)| **known == *text) {
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
            .rposition(|known| known.doc().identical(doc))
        {
            Some(at) => at,
            None => {
                // `from_doc` checks the document before it serialises it, so a failure does not
                // cause a second serialisation.
                let known = match Blueprint::from_doc(doc.clone()) {
                    Ok(blueprint) => Known::Blueprint(blueprint),
                    Err(_) => Known::Other {
                        doc: doc.clone(),
                        yaml: yaml::emit(doc)?.into(),
                        version: None,
                    },
                };
                if self.emitted.len() == MAX_KNOWN {
                    // Entry 0 is the target and stays.
                    self.emitted.remove(1);
                }
                self.emitted.push(known);
                self.emitted.len() - 1
            }
        };
        Ok(&mut self.emitted[at])
    }
}
