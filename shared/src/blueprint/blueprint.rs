//! A Blueprint: a document that has what every Blueprint has, its canonical bytes, and its version.

use std::collections::HashMap;
use std::sync::Arc;

use crate::blueprint::error::{FieldProblem, cut};
use crate::blueprint::{Doc, DocumentError, yaml};
use crate::ids::{BlueprintId, Version};

/// A valid Blueprint. A clone shares everything.
///
/// It holds the document, the canonical YAML of that document and the SHA-256 of those bytes; the
/// three are made together and never apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Blueprint {
    id: BlueprintId,
    doc: Doc,
    canonical_yaml: Arc<str>,
    version: Version,
}

impl Blueprint {
    /// Reads a Blueprint from YAML or JSON text.
    ///
    /// # Errors
    /// [`DocumentError`] if the text is no document (see [`yaml::parse`]) or the document no
    /// Blueprint (see [`Blueprint::from_doc`]).
    pub fn parse(text: &str) -> Result<Blueprint, DocumentError> {
        Blueprint::from_doc(yaml::parse(text)?)
    }

    /// Makes a Blueprint of a document that is about to be written: `id` a valid id, `flow` an
    /// object, `agents` an array of objects with unique names, and `metadata.version_label`, if
    /// there, a semantic version.
    ///
    /// # Errors
    /// [`DocumentError::Field`] naming the first field that is wrong;
    /// [`DocumentError::TooDeep`] or [`DocumentError::CanonicalTooLarge`] above the limits.
    pub fn from_doc(doc: Doc) -> Result<Blueprint, DocumentError> {
        let id = check(&doc)?;
        check_label(&doc)?;
        let canonical_yaml: Arc<str> = yaml::emit(&doc)?.into();
        let version = Version::of(&canonical_yaml);
        Ok(Blueprint {
            id,
            doc,
            canonical_yaml,
            version,
        })
    }

    /// Reads a stored Blueprint, after checking that its bytes are those that `declared` names.
    /// The label is not looked at: it was checked, or not yet required, when it was written.
    ///
    /// # Errors
    /// [`DocumentError::HashMismatch`] for damaged bytes; any other [`DocumentError`] if they hash
    /// right and still are no Blueprint.
    pub fn from_stored(
        declared: &Version,
        canonical_yaml: &str,
    ) -> Result<Blueprint, DocumentError> {
        let computed = Version::of(canonical_yaml);
        if computed != *declared {
            return Err(DocumentError::HashMismatch {
                declared: declared.clone(),
                computed,
            });
        }
        let doc = yaml::parse_canonical(canonical_yaml)?;
        let id = check(&doc)?;
        Ok(Blueprint {
            id,
            doc,
            canonical_yaml: canonical_yaml.into(),
            version: computed,
        })
    }

    /// The document's own `id`.
    pub fn id(&self) -> &BlueprintId {
        &self.id
    }

    /// The whole document.
    pub fn doc(&self) -> &Doc {
        &self.doc
    }

    /// The bytes whose SHA-256 is [`Blueprint::version`].
    pub fn canonical_yaml(&self) -> &Arc<str> {
        &self.canonical_yaml
    }

    /// The SHA-256 of the canonical YAML.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// `metadata.version_label`, if it is there and a string.
    pub fn version_label(&self) -> Option<&str> {
        self.doc.get("metadata")?.get("version_label")?.as_str()
    }

    /// The flow: a flow.ir node, if this Blueprint is one that runs.
    pub fn flow(&self) -> &Doc {
        self.doc
            .get("flow")
            .expect("proven invariant: checked when this was made")
    }

    /// The declared agents, objects with unique names.
    pub fn agents(&self) -> &[Doc] {
        self.doc
            .get("agents")
            .and_then(Doc::as_array)
            .expect("proven invariant: checked when this was made")
    }

    /// The agent of this name.
    pub fn agent(&self, name: &str) -> Option<&Doc> {
        self.agents()
            .iter()
            .find(|agent| agent.get("name").and_then(Doc::as_str) == Some(name))
    }
}

/// Checks what the axis `des` checks besides the id being the same: returns the document's id.
///
/// # Errors
/// [`DocumentError::Field`] naming the first field that is wrong.
pub fn check(doc: &Doc) -> Result<BlueprintId, DocumentError> {
    if doc.as_object().is_none() {
        return Err(wrong_kind(
            "document",
            "an object with id, flow and agents",
            doc,
        ));
    }
    let id = required(doc, "id", "id", "a string")?;
    let id = id
        .as_str()
        .ok_or_else(|| wrong_kind("id", "a string", id))?;
    let id = BlueprintId::parse(id).map_err(|invalid| field("id", FieldProblem::Id(invalid)))?;
    let flow = required(doc, "flow", "flow", "an object")?;
    if flow.as_object().is_none() {
        return Err(wrong_kind("flow", "an object", flow));
    }
    let agents = required(doc, "agents", "agents", "an array of objects")?;
    let agents = agents
        .as_array()
        .ok_or_else(|| wrong_kind("agents", "an array of objects", agents))?;
    check_agents(agents)?;
    Ok(id)
}

fn check_agents(agents: &[Doc]) -> Result<(), DocumentError> {
    let mut seen: HashMap<&str, usize> = HashMap::with_capacity(agents.len());
    for (index, agent) in agents.iter().enumerate() {
        if agent.as_object().is_none() {
            return Err(wrong_kind(&format!("agents[{index}]"), "an object", agent));
        }
        let path = || format!("agents[{index}].name");
        let Some(name) = agent.get("name") else {
            return Err(field(
                &path(),
                FieldProblem::Missing {
                    expected: "a string",
                },
            ));
        };
        let name = name
            .as_str()
            .ok_or_else(|| wrong_kind(&path(), "a string", name))?;
        if name.is_empty() {
            return Err(field(&path(), FieldProblem::Empty));
        }
        if let Some(first) = seen.insert(name, index) {
            return Err(field(
                &path(),
                FieldProblem::DuplicateName {
                    name: cut(name, 80),
                    first,
                },
            ));
        }
    }
    Ok(())
}

/// Checks `metadata.version_label`: absent, or a semantic version.
fn check_label(doc: &Doc) -> Result<(), DocumentError> {
    const FIELD: &str = "metadata.version_label";
    let Some(label) = doc
        .get("metadata")
        .and_then(|metadata| metadata.get("version_label"))
    else {
        return Ok(());
    };
    let label = label
        .as_str()
        .ok_or_else(|| wrong_kind(FIELD, "a string", label))?;
    match semver::Version::parse(label) {
        Ok(_) => Ok(()),
        Err(source) => Err(field(
            FIELD,
            FieldProblem::Label {
                label: cut(label, 80),
                source,
            },
        )),
    }
}

fn required<'a>(
    doc: &'a Doc,
    key: &str,
    path: &str,
    expected: &'static str,
) -> Result<&'a Doc, DocumentError> {
    doc.get(key)
        .ok_or_else(|| field(path, FieldProblem::Missing { expected }))
}

fn wrong_kind(path: &str, expected: &'static str, found: &Doc) -> DocumentError {
    field(
        path,
        FieldProblem::WrongKind {
            expected,
            found: found.kind(),
        },
    )
}

fn field(path: &str, problem: FieldProblem) -> DocumentError {
    DocumentError::Field {
        field: path.to_owned(),
        problem,
    }
}
