//! Strict YAML parser and canonical YAML writer.
//!
//! [`parse`] reads untrusted input as YAML or as JSON. It uses the events of a parser, because a
//! deserializer hides tags, duplicate and non-string keys, and a second document. The events also
//! show anchors, whose expansion is bounded, and the text of numbers.
//!
//! [`emit`] writes exactly one text for a document. Every reader of YAML 1.1 and 1.2 reads that
//! text as this document; `docs/canonical-yaml.md` has the rules. [`read_canonical`] reads only
//! such texts, several times faster than [`parse`].

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

/// The format of an input text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON if it begins with `{` or `[`, otherwise YAML.
    #[default]
    Auto,
    /// YAML 1.2, including flow style.
    Yaml,
    /// JSON, RFC 8259.
    Json,
}

/// Parses one document. A text with a leading `{` or `[` is JSON, any other is YAML.
///
/// # Errors
/// [`DocumentError`] with the position for any value that the JSON data model cannot represent
/// exactly. Also for a text or its expansion above 1 MiB, and for nesting above 64 levels.
pub fn parse(text: &str) -> Result<Doc, DocumentError> {
    parse_as(text, Format::Auto)
}

/// Parses one document in `format`.
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

/// Parses YAML that is probably canonical. Any other YAML is parsed as with [`parse`].
///
/// # Errors
/// As [`parse`].
pub fn parse_canonical(text: &str) -> Result<Doc, DocumentError> {
    match read_canonical(text) {
        Some(doc) => Ok(doc),
        None => parse_any(text),
    }
}

/// Returns the document with the canonical YAML `text`; `None` if `text` is not canonical.
///
/// [`emit`] of the result is always `text`.
pub fn read_canonical(text: &str) -> Option<Doc> {
    canonical::read(text)
}

/// Parses any YAML, canonical or not, with the full reader.
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

/// Returns the canonical YAML of `doc`: block style, the keys of every mapping in byte order.
///
/// # Errors
/// [`DocumentError::TooDeep`], [`DocumentError::CanonicalTooLarge`].
pub fn emit(doc: &Doc) -> Result<String, DocumentError> {
    writer::write(doc)
}

/// Returns the canonical YAML as [`emit`], with its version.
///
/// # Errors
/// As [`emit`].
pub fn emit_hashed(doc: &Doc) -> Result<(String, Version), DocumentError> {
    writer::write_hashed(doc)
}
