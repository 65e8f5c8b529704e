//! A Blueprint: a validated document with its canonical bytes and its version.

use std::collections::HashMap;
use std::sync::Arc;

use crate::blueprint::doc::Doc;
use crate::blueprint::error::{DocumentError, FieldProblem, InvalidField, cut};
use crate::blueprint::yaml::{self, Format};
use crate::ids::{BlueprintId, Version};

/// The maximum number of invalid fields in one error.
const MAX_PROBLEMS: usize = 20;

/// A valid Blueprint. Clones share all data.
///
/// It holds the document, its canonical YAML and the SHA-256 of those bytes. The three always
/// match.
#[derive(Debug, Clone, PartialEq)]
pub struct Blueprint {
    id: BlueprintId,
    doc: Doc,
    canonical_yaml: Arc<str>,
    version: Version,
}

impl Blueprint {
    /// Parses a Blueprint from YAML or JSON text.
    ///
    /// # Errors
    /// [`DocumentError`] if the text is not a valid document (see [`yaml::parse`]), or the document
    /// is not a valid Blueprint (see [`Blueprint::from_doc`]).
    pub fn parse(text: &str) -> Result<Blueprint, DocumentError> {
        Blueprint::parse_as(text, Format::Auto)
    }

    /// Parses a Blueprint as [`Blueprint::parse`], from text in `format`.
    ///
    /// # Errors
    /// As [`Blueprint::parse`].
    pub fn parse_as(text: &str, format: Format) -> Result<Blueprint, DocumentError> {
        Blueprint::from_doc(yaml::parse_as(text, format)?)
    }

    /// Creates a Blueprint from a document that is about to be written.
    ///
    /// `id` must be a valid id, `flow` an object, and `agents` an array of objects with unique
    /// names. `metadata.version_label`, if present, must be a semantic version.
    ///
    /// # Errors
    /// * [`DocumentError::NotABlueprint`] with every missing or invalid field.
    /// * [`DocumentError::TooDeep`] or [`DocumentError::CanonicalTooLarge`] above the limits.
    pub fn from_doc(doc: Doc) -> Result<Blueprint, DocumentError> {
        let mut problems = Problems::default();
        let id = problems.document(&doc);
        problems.label(&doc);
        let id = problems.into_result(id)?;
        let (canonical_yaml, version) = yaml::emit_hashed(&doc)?;
        Ok(Blueprint {
            id,
            doc,
            canonical_yaml: canonical_yaml.into(),
            version,
        })
    }

    /// Reads a stored Blueprint after a check that its bytes match `declared`. The label is not
    /// checked: the write checked it, or predates the check.
    ///
    /// # Errors
    /// * [`DocumentError::HashMismatch`] for damaged bytes.
    /// * Any other [`DocumentError`] if the hash matches but the content is not a valid Blueprint.
    pub fn from_stored(
        declared: &Version,
        canonical_yaml: &str,
    ) -> Result<Blueprint, DocumentError> {
        Blueprint::read_stored(declared, canonical_yaml, yaml::parse_canonical)
    }

    /// Reads a Blueprint as [`Blueprint::from_stored`], from imported bytes that may not be
    /// canonical.
    ///
    /// # Errors
    /// As [`Blueprint::from_stored`]; [`DocumentError::NotCanonical`].
    pub fn from_canonical(
        declared: &Version,
        canonical_yaml: &str,
    ) -> Result<Blueprint, DocumentError> {
        let read = |text: &str| yaml::read_canonical(text).ok_or(DocumentError::NotCanonical);
        Blueprint::read_stored(declared, canonical_yaml, read)
    }

    fn read_stored(
        declared: &Version,
        canonical_yaml: &str,
        read: impl FnOnce(&str) -> Result<Doc, DocumentError>,
    ) -> Result<Blueprint, DocumentError> {
        let computed = Version::of(canonical_yaml);
        if computed != *declared {
            return Err(DocumentError::HashMismatch {
                declared: declared.clone(),
                computed,
            });
        }
        let doc = read(canonical_yaml)?;
        let id = check(&doc)?;
        Ok(Blueprint {
            id,
            doc,
            canonical_yaml: canonical_yaml.into(),
            version: computed,
        })
    }

    /// Returns the document's own `id`.
    pub fn id(&self) -> &BlueprintId {
        &self.id
    }

    /// Returns the whole document.
    pub fn doc(&self) -> &Doc {
        &self.doc
    }

    /// Returns the canonical YAML. Its SHA-256 is [`Blueprint::version`].
    pub fn canonical_yaml(&self) -> &Arc<str> {
        &self.canonical_yaml
    }

    /// Returns the SHA-256 of the canonical YAML.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Returns `metadata.version_label` if it is present and a string.
    pub fn version_label(&self) -> Option<&str> {
        self.doc.get("metadata")?.get("version_label")?.as_str()
    }

    /// Returns the flow. In a runnable Blueprint it is a flow.ir node.
    pub fn flow(&self) -> &Doc {
        self.doc
            .get("flow")
            .expect("proven invariant: checked when this was made")
    }

    /// Returns the declared agents: objects with unique names.
    pub fn agents(&self) -> &[Doc] {
        self.doc
            .get("agents")
            .and_then(Doc::as_array)
            .expect("proven invariant: checked when this was made")
    }

    /// Returns the agent with this name.
    pub fn agent(&self, name: &str) -> Option<&Doc> {
        self.agents()
            .iter()
            .find(|agent| agent.get("name").and_then(Doc::as_str) == Some(name))
    }
}

/// Performs the checks of the axis `des`, except that the id is unchanged. Returns the document's
/// id.
///
/// # Errors
/// [`DocumentError::NotABlueprint`] with every missing or invalid field.
pub fn check(doc: &Doc) -> Result<BlueprintId, DocumentError> {
    let mut problems = Problems::default();
    let id = problems.document(doc);
    problems.into_result(id)
}

/// The missing or invalid fields.
#[derive(Default)]
struct Problems(Vec<InvalidField>);

impl Problems {
    fn into_result(self, id: Option<BlueprintId>) -> Result<BlueprintId, DocumentError> {
        match id {
            Some(id) if self.0.is_empty() => Ok(id),
            _ => Err(DocumentError::NotABlueprint(self.0)),
        }
    }

    /// Checks the fields that every Blueprint has. Returns the id if it is valid.
    fn document(&mut self, doc: &Doc) -> Option<BlueprintId> {
        if doc.as_object().is_none() {
            self.wrong_kind("document", "an object with id, flow and agents", doc);
            return None;
        }
        let id = self.required(doc, "id", "a string", Doc::as_str);
        let id = id.and_then(|id| match BlueprintId::parse(id) {
            Ok(id) => Some(id),
            Err(invalid) => {
                self.note("id", FieldProblem::Id(invalid));
                None
            }
        });
        self.required(doc, "flow", "an object", Doc::as_object);
        if let Some(agents) = self.required(doc, "agents", "an array of objects", Doc::as_array) {
            self.agents(agents);
        }
        id
    }

    fn agents(&mut self, agents: &[Doc]) {
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(agents.len());
        for (index, agent) in agents.iter().enumerate() {
            if self.0.len() >= MAX_PROBLEMS {
                return;
            }
            let path = || format!("agents[{index}].name");
            match (agent, agent.get("name")) {
                (Doc::Object(_), Some(Doc::Str(name))) if name.is_empty() => {
                    self.note(&path(), FieldProblem::Empty);
                }
                (Doc::Object(_), Some(Doc::Str(name))) => {
                    if let Some(first) = seen.insert(name, index) {
                        let name = cut(name, 80);
                        self.note(&path(), FieldProblem::DuplicateName { name, first });
                    }
                }
                (Doc::Object(_), Some(other)) => self.wrong_kind(&path(), "a string", other),
                (Doc::Object(_), None) if agent.get("$agent_md").is_some() => {
                    self.note(&format!("agents[{index}]"), FieldProblem::AgentFile);
                }
                (Doc::Object(_), None) => {
                    let expected = "a string";
                    self.note(&path(), FieldProblem::Missing { expected });
                }
                (other, _) => self.wrong_kind(&format!("agents[{index}]"), "an object", other),
            }
        }
    }

    /// Checks that `metadata.version_label` is absent or a semantic version.
    fn label(&mut self, doc: &Doc) {
        const FIELD: &str = "metadata.version_label";
        let Some(label) = doc
            .get("metadata")
            .and_then(|metadata| metadata.get("version_label"))
        else {
            return;
        };
        let Some(text) = label.as_str() else {
            return self.wrong_kind(FIELD, "a string", label);
        };
        if let Err(source) = semver::Version::parse(text) {
            let label = cut(text, 80);
            self.note(FIELD, FieldProblem::Label { label, source });
        }
    }

    fn required<'a, T: ?Sized>(
        &mut self,
        doc: &'a Doc,
        key: &str,
        expected: &'static str,
        of_kind: fn(&'a Doc) -> Option<&'a T>,
    ) -> Option<&'a T> {
        match doc.get(key) {
            None => {
                self.note(key, FieldProblem::Missing { expected });
                None
            }
            Some(value) => {
                let found = of_kind(value);
                if found.is_none() {
                    self.wrong_kind(key, expected, value);
                }
                found
            }
        }
    }

    fn wrong_kind(&mut self, path: &str, expected: &'static str, found: &Doc) {
        let found = found.kind();
        self.note(path, FieldProblem::WrongKind { expected, found });
    }

    fn note(&mut self, field: &str, problem: FieldProblem) {
        let field = field.to_owned();
        self.0.push(InvalidField { field, problem });
    }
}
