//! Why a text is no document, or a document no Blueprint.

use std::fmt;

use thiserror::Error;

use crate::blueprint::{MAX_DOCUMENT_BYTES, MAX_LEVELS};
use crate::ids::{InvalidId, Version};

/// A place in a text, and the value that stands there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// RFC 6901 pointer to the value; empty for the whole document.
    pub pointer: String,
}

impl Place {
    /// The place of the byte `at` in `text`, without a pointer.
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

/// Why a document was refused. Nothing is ever rounded or dropped instead.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// No value in it at all.
    #[error("the document is empty; a YAML or JSON value is needed")]
    Empty,
    /// Not well-formed.
    #[error("invalid {language}: {place}: {problem}{}", flow_style(*.is_guess))]
    Syntax {
        /// What it was read as.
        language: Language,
        /// Where reading stopped.
        place: Place,
        /// What the reader met, in its words.
        problem: String,
        /// True if the text was taken for JSON because of its first character.
        is_guess: bool,
    },
    /// The text is longer than a document may be.
    #[error("the document has {bytes} bytes; at most {MAX_DOCUMENT_BYTES} (1 MiB) are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The document is longer, written as canonical YAML, than a document may be.
    #[error(
        "the document's canonical YAML has more than {MAX_DOCUMENT_BYTES} bytes (1 MiB); make it smaller"
    )]
    CanonicalTooLarge,
    /// Containers within one another, too many.
    #[error("the document is nested deeper than {MAX_LEVELS} levels{}", at(.place))]
    TooDeep {
        /// Where the level too many begins, if it was read from a text.
        place: Option<Place>,
    },
    /// Aliases that stand for more than a document may hold.
    #[error(
        "{place}: with its aliases written out the document has more than {MAX_DOCUMENT_BYTES} bytes (1 MiB)"
    )]
    AliasesTooLarge {
        /// The alias at which it became too large.
        place: Place,
    },
    /// An alias inside the value that it stands for.
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
        /// Where it stands.
        place: Place,
    },
    /// A float too large for 64 bits.
    #[error(
        "{place}: the number {given} is too large for a 64-bit float; quote it to keep it as text"
    )]
    FloatRange {
        /// The number as written, cut to 80 characters.
        given: String,
        /// Where it stands.
        place: Place,
    },
    /// A number between two floats: it would be rounded.
    #[error(
        "{place}: the number {given} does not survive as a 64-bit float, whose nearest value is {nearest:?}; \
         write that value, or quote the number to keep it as text"
    )]
    FloatPrecision {
        /// The number as written, cut to 80 characters.
        given: String,
        /// The float next to it.
        nearest: f64,
        /// Where it stands.
        place: Place,
    },
    /// NaN or infinity.
    #[error(
        "{place}: {given} is no number of the JSON data model; use null, or quote it to keep it as text"
    )]
    NotFinite {
        /// As written.
        given: String,
        /// Where it stands.
        place: Place,
    },
    /// A key that its mapping has already.
    #[error("{place}: the key {key:?} occurs twice in one mapping; keep one of them")]
    DuplicateKey {
        /// The key, cut to 80 characters.
        key: String,
        /// Where it stands the second time.
        place: Place,
    },
    /// A key that is no string.
    #[error("{place}: a key must be a string, not {found}; quote it")]
    KeyNotString {
        /// What it is.
        found: &'static str,
        /// Where it stands.
        place: Place,
    },
    /// A YAML tag.
    #[error("{place}: the tag {tag} is not allowed; remove it")]
    Tag {
        /// The tag as written, cut to 80 characters.
        tag: String,
        /// Where it stands.
        place: Place,
    },
    /// A second YAML document in the same text.
    #[error("{place}: a second YAML document begins here; send one document")]
    SecondDocument {
        /// Where it begins.
        place: Place,
    },
    /// A raw U+0085, U+2028 or U+2029 in YAML: a line break in YAML 1.1, a character in YAML 1.2.
    #[error(
        "{place}: the YAML holds a raw line separator (U+0085, U+2028 or U+2029), which YAML 1.1 and 1.2 read \
         differently; write it as \"\\N\", \"\\L\" or \"\\P\" in double quotes, or send the document as JSON"
    )]
    Ambiguous {
        /// The first of them.
        place: Place,
    },
    /// Fields that Draftsman reads are missing or invalid: all of them.
    #[error("{}", not_a_blueprint(.0))]
    NotABlueprint(Vec<InvalidField>),
    /// The content has the right hash and is not canonical YAML.
    #[error("is not canonical; only canonical YAML has a version")]
    NotCanonical,
    /// Stored bytes are not those that their version names: the store is damaged.
    #[error(
        "stored Blueprint is damaged: its version is {declared} but its bytes hash to {computed}"
    )]
    HashMismatch {
        /// The version it was stored under.
        declared: Version,
        /// The version of the bytes found there.
        computed: Version,
    },
}

/// A field of a Blueprint that is missing or invalid.
#[derive(Debug, Error)]
#[error("field {field}: {problem}")]
pub struct InvalidField {
    /// The field, as `agents[2].name`; `document` for the whole document.
    pub field: String,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

/// What is wrong with a field that Draftsman reads.
#[derive(Debug, Error)]
pub enum FieldProblem {
    /// It is not there.
    #[error("is missing; it must be {expected}")]
    Missing {
        /// What belongs there.
        expected: &'static str,
    },
    /// It is there, and of another kind.
    #[error("must be {expected}, not {found}")]
    WrongKind {
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// An empty string.
    #[error("must not be empty")]
    Empty,
    /// A name that an earlier element has.
    #[error("the name {name:?} is that of agents[{first}] already; names must be unique")]
    DuplicateName {
        /// The name, cut to 80 characters.
        name: String,
        /// The element that has it first.
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
    /// A label that is no semantic version.
    #[error("{label:?} is no semantic version such as 1.2.3")]
    Label {
        /// The label, cut to 80 characters.
        label: String,
        /// What is wrong with it.
        source: semver::Error,
    },
}

impl DocumentError {
    /// The field at fault in the words of a request: a path such as `agents[2].name` where the
    /// document was read and one of its fields is invalid, else `document`. Of several the first.
    pub fn field(&self) -> &str {
        match self {
            DocumentError::NotABlueprint(fields) => {
                fields.first().map_or("document", |first| &first.field)
            }
            _ => "document",
        }
    }

    /// True if the text is not well-formed.
    #[cfg(test)]
    pub(crate) fn is_syntax(&self) -> bool {
        matches!(self, DocumentError::Syntax { .. })
    }

    /// True if it is our own data that is wrong, not what somebody sent.
    pub fn is_damage(&self) -> bool {
        matches!(self, DocumentError::HashMismatch { .. })
    }
}

/// The first `chars` characters of `text`, for an error that must stay short.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is wrong with each field and, where one that every Blueprint has is not as it must be, what
/// a Blueprint is.
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
