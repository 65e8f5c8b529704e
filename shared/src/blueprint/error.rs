//! Errors of invalid documents and invalid Blueprints.

use std::fmt;

use thiserror::Error;

use crate::blueprint::{MAX_DOCUMENT_BYTES, MAX_LEVELS};
use crate::ids::{InvalidId, Version};

/// A position in a text and the value at that position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The RFC 6901 pointer to the value; empty for the whole document.
    pub pointer: String,
}

impl Place {
    /// Returns the position of the byte `at` in `text`, without a pointer.
    pub(crate) fn in_text(text: &str, at: usize) -> Place {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: 1 + before.bytes().filter(|b| *b == b'\n').count(),
            column: 1 + before[line_start..].chars().count(),
            pointer: String::new(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        if !self.pointer.is_empty() {
            write!(f, " (at {})", self.pointer)?;
        }
        Ok(())
    }
}

/// The language of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// YAML 1.2.
    Yaml,
    /// JSON, RFC 8259.
    Json,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Language::Yaml => "YAML",
            Language::Json => "JSON",
        })
    }
}

/// The reason why a document is rejected. The parser never rounds or drops a value.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// The text has no value.
    #[error("the document is empty; a YAML or JSON value is needed")]
    Empty,
    /// The text is not well-formed.
    #[error("invalid {language}: {place}: {problem}{}", flow_style(*.is_guess))]
    Syntax {
        /// The language of the parser.
        language: Language,
        /// The position of the error.
        place: Place,
        /// The message of the parser.
        problem: String,
        /// True if the parser was JSON because of the first character.
        is_guess: bool,
    },
    /// The text exceeds the size limit.
    #[error("the document has {bytes} bytes; at most {MAX_DOCUMENT_BYTES} (1 MiB) are allowed")]
    TooLarge {
        /// The size in bytes.
        bytes: usize,
    },
    /// The canonical YAML of the document exceeds the size limit.
    #[error(
        "the document's canonical YAML has more than {MAX_DOCUMENT_BYTES} bytes (1 MiB); make it smaller"
    )]
    CanonicalTooLarge,
    /// Containers are nested too deeply.
    #[error("the document is nested deeper than {MAX_LEVELS} levels{}", at(.place))]
    TooDeep {
        /// The position of the first container that is too deep, if the document was read from a
        /// text.
        place: Option<Place>,
    },
    /// Expanded aliases exceed the size limit.
    #[error(
        "{place}: with its aliases expanded, the document has more than {MAX_DOCUMENT_BYTES} bytes (1 MiB)"
    )]
    AliasesTooLarge {
        /// The alias that exceeds the limit.
        place: Place,
    },
    /// An alias inside its own value.
    #[error("{place}: an alias stands for a value that contains it; write the value out")]
    AliasCycle {
        /// The alias.
        place: Place,
    },
    /// An integer outside i64.
    #[error("{place}: the integer {given} is outside -2^63 to 2^63-1; quote it to keep it as text")]
    IntegerRange {
        /// The number as written, cut to 80 characters.
        given: String,
        /// The position.
        place: Place,
    },
    /// A float that is too large for 64 bits.
    #[error(
        "{place}: the number {given} is too large for a 64-bit float; quote it to keep it as text"
    )]
    FloatRange {
        /// The number as written, cut to 80 characters.
        given: String,
        /// The position.
        place: Place,
    },
    /// A decimal number without an exact round trip through a float.
    #[error(
        "{place}: the number {given} is not exact as a 64-bit float; the nearest value is {nearest:?}; \
         write that value, or quote the number to keep it as text"
    )]
    FloatPrecision {
        /// The number as written, cut to 80 characters.
        given: String,
        /// The nearest float.
        nearest: f64,
        /// The position.
        place: Place,
    },
    /// NaN or infinity.
    #[error(
        "{place}: {given} is not a number of the JSON data model; use null, or quote it to keep it as text"
    )]
    NotFinite {
        /// The text as written.
        given: String,
        /// The position.
        place: Place,
    },
    /// A duplicate key in a mapping.
    #[error("{place}: the key {key:?} occurs twice in one mapping; keep one of them")]
    DuplicateKey {
        /// The key, cut to 80 characters.
        key: String,
        /// The position of the second occurrence.
        place: Place,
    },
    /// A key that is not a string.
    #[error("{place}: a key must be a string, not {found}; quote it")]
    KeyNotString {
        /// The kind of the key.
        found: &'static str,
        /// The position.
        place: Place,
    },
    /// A YAML tag.
    #[error("{place}: the tag {tag} is not allowed; remove it")]
    Tag {
        /// The tag as written, cut to 80 characters.
        tag: String,
        /// The position.
        place: Place,
    },
    /// A second YAML document in the same text.
    #[error("{place}: a second YAML document begins here; send one document")]
    SecondDocument {
        /// Its start position.
        place: Place,
    },
    /// A raw U+0085, U+2028 or U+2029 in YAML: a line break in YAML 1.1, an ordinary character in
    /// YAML 1.2.
    #[error(
        "{place}: the YAML holds a raw line separator (U+0085, U+2028 or U+2029), which YAML 1.1 and 1.2 read \
         differently; write it as \"\\N\", \"\\L\" or \"\\P\" in double quotes, or send the document as JSON"
    )]
    Ambiguous {
        /// The position of the first one.
        place: Place,
    },
    /// All missing or invalid fields of a Blueprint.
    #[error("{}", not_a_blueprint(.0))]
    NotABlueprint(Vec<InvalidField>),
    /// The content matches its hash but is not canonical YAML.
    #[error("is not canonical; only canonical YAML has a version")]
    NotCanonical,
    /// Stored bytes do not match their version: the store is damaged.
    #[error(
        "stored Blueprint is damaged: its version is {declared} but its bytes hash to {computed}"
    )]
    HashMismatch {
        /// The version in the store.
        declared: Version,
        /// The version of the stored bytes.
        computed: Version,
    },
}

/// A missing or invalid field of a Blueprint.
#[derive(Debug, Error)]
#[error("field {field}: {problem}")]
pub struct InvalidField {
    /// The field, for example `agents[2].name`; `document` for the whole document.
    pub field: String,
    /// The description of the problem.
    pub problem: FieldProblem,
}

/// The problem of a field.
#[derive(Debug, Error)]
pub enum FieldProblem {
    /// The field is missing.
    #[error("is missing; it must be {expected}")]
    Missing {
        /// The expected kind.
        expected: &'static str,
    },
    /// The field has another kind.
    #[error("must be {expected}, not {found}")]
    WrongKind {
        /// The expected kind.
        expected: &'static str,
        /// The actual kind.
        found: &'static str,
    },
    /// An empty string.
    #[error("must not be empty")]
    Empty,
    /// The name of an earlier element.
    #[error("the name {name:?} is also that of agents[{first}]; names must be unique")]
    DuplicateName {
        /// The name, cut to 80 characters.
        name: String,
        /// The index of the earlier element.
        first: usize,
    },
    /// An invalid id.
    #[error(transparent)]
    Id(InvalidId),
    /// A reference to a file instead of an agent.
    #[error(
        "{{\"$agent_md\": ...}} refers to a Markdown file, which only the build step of its project can read; \
         put the document that the build step writes"
    )]
    AgentFile,
    /// A label that is not a semantic version.
    #[error("{label:?} is not a semantic version such as 1.2.3")]
    Label {
        /// The label, cut to 80 characters.
        label: String,
        /// The error of the parser.
        source: semver::Error,
    },
}

impl DocumentError {
    /// Returns the invalid field of the request: a path such as `agents[2].name`, or `document`. Of
    /// several invalid fields, it returns the first.
    pub fn field(&self) -> &str {
        match self {
            DocumentError::NotABlueprint(fields) => {
                fields.first().map_or("document", |first| &first.field)
            }
            _ => "document",
        }
    }

    /// Returns true if the text is not well-formed.
    #[cfg(test)]
    pub(crate) fn is_syntax(&self) -> bool {
        matches!(self, DocumentError::Syntax { .. })
    }

    /// Returns true if stored data is damaged, and false for invalid input.
    pub fn is_damage(&self) -> bool {
        matches!(self, DocumentError::HashMismatch { .. })
    }
}

/// Returns the first `chars` characters of `text`, which keeps an error short.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Formats the problems of all fields. If a required field is invalid, it adds the definition of a
/// Blueprint.
fn not_a_blueprint(fields: &[InvalidField]) -> String {
    let each: Vec<String> = fields.iter().map(InvalidField::to_string).collect();
    let mut message = each.join("; ");
    let is_required = |field: &InvalidField| {
        matches!(&*field.field, "document" | "flow" | "agents")
            || field.field == "id" && !matches!(field.problem, FieldProblem::Id(_))
    };
    if fields.iter().any(is_required) {
        message.push_str(
            "; a Blueprint is an object with id (a string), flow (an object: a flow.ir node) and agents \
             (an array of objects with a name each); docs/documents.md has an example",
        );
    }
    message
}

fn flow_style(is_guess: bool) -> &'static str {
    if is_guess {
        "; a text that begins with { or [ is read as JSON, unless its format is given as yaml"
    } else {
        ""
    }
}

fn at(place: &Option<Place>) -> String {
    match place {
        Some(place) => format!(", at {place}"),
        None => String::new(),
    }
}
