//! Strict YAML in, canonical YAML out.
//!
//! [`parse`] reads what somebody sends, as YAML or as JSON. It goes through the events of a parser,
//! and so sees what a deserializer hides: tags, duplicate and non-string keys, a second document,
//! the anchors (whose expansion is bounded), and how a number was written.
//!
//! [`emit`] writes one text for one document. Every reader of YAML 1.1 and 1.2 reads that text as
//! this document; `docs/canonical-yaml.md` states the rule. [`read_canonical`] reads such texts and
//! no others, several times faster than [`parse`].

mod canonical;
mod reader;
mod style;
mod writer;

use crate::blueprint::doc::Doc;
use crate::blueprint::error::{DocumentError, Place};
use crate::blueprint::yaml::reader::Reader;
use crate::blueprint::{MAX_DOCUMENT_BYTES, json};
use crate::ids::Version;

/// Line breaks in YAML 1.1; ordinary characters in YAML 1.2.
const YAML_1_1_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// The language of a text that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON if it begins with `{` or `[`, else YAML.
    #[default]
    Auto,
    /// YAML 1.2, flow style included.
    Yaml,
    /// JSON, RFC 8259.
    Json,
}

/// Reads one document. A text that begins with `{` or `[` is read as JSON, any other as YAML.
///
/// # Errors
/// [`DocumentError`] for whatever the JSON data model cannot hold exactly, with the place; for a
/// text above 1 MiB, nesting above 64 levels and aliases that expand to more than that.
pub fn parse(text: &str) -> Result<Doc, DocumentError> {
    parse_as(text, Format::Auto)
}

/// Reads one document in `format`.
///
/// # Errors
/// As [`parse`].
pub fn parse_as(text: &str, format: Format) -> Result<Doc, DocumentError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::TooLarge { bytes: text.len() });
    }
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    match format {
        Format::Json => json::parse(text),
        Format::Auto if text.trim_start().starts_with(['{', '[']) => {
            json::parse(text).map_err(|mut error| {
                if let DocumentError::Syntax { is_guess, .. } = &mut error {
                    *is_guess = true;
                }
                error
            })
        }
        Format::Auto | Format::Yaml => parse_canonical(text),
    }
}

/// Reads YAML that is expected to be canonical; any other YAML is read as [`parse`] reads it.
///
/// # Errors
/// As [`parse`].
pub fn parse_canonical(text: &str) -> Result<Doc, DocumentError> {
    match read_canonical(text) {
        Some(doc) => Ok(doc),
        None => parse_any(text),
    }
}

/// The document that `text` is the canonical YAML of; `None` if `text` is not canonical.
///
/// So [`emit`] of what this returns is `text`, and there is no need to call it to find out.
pub fn read_canonical(text: &str) -> Option<Doc> {
    canonical::read(text)
}

/// Reads any YAML, canonical or not, by the full reader.
pub(super) fn parse_any(text: &str) -> Result<Doc, DocumentError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::TooLarge { bytes: text.len() });
    }
    if let Some(at) = text.find(YAML_1_1_BREAKS) {
        let place = Place::in_text(text, at);
        return Err(DocumentError::Ambiguous { place });
    }
    Reader::new(text).document()
}

/// Writes `doc` as canonical YAML: block style, the keys of every mapping in byte order.
///
/// # Errors
/// [`DocumentError::TooDeep`], [`DocumentError::CanonicalTooLarge`].
pub fn emit(doc: &Doc) -> Result<String, DocumentError> {
    writer::write(doc)
}

/// As [`emit`], with the version of the text.
///
/// # Errors
/// As [`emit`].
pub fn emit_hashed(doc: &Doc) -> Result<(String, Version), DocumentError> {
    writer::write_hashed(doc)
}
