//! Strict YAML in, canonical YAML out.
//!
//! There are two ways in, because there are two kinds of text.
//!
//! [`parse`] reads what somebody sends. It goes through the events of saphyr-parser, so that it
//! sees what a deserializer hides: tags, duplicate and non-string keys, a second document, the
//! anchors (whose expansion is bounded), and how a number was written. Plain scalars mean what
//! they mean to yaml_serde (see `scalar`), except that a number which the data model cannot hold is
//! refused where yaml_serde rounds it or calls it text.
//!
//! [`parse_canonical`] reads what [`emit`] wrote, through yaml_serde itself. The emitter leaves a
//! string such as `1e400` unquoted because yaml_serde reads it as a string again; and it is built
//! on libyaml, which speaks YAML 1.1: about the line separators U+2028 and U+2029, and in how it
//! ends a document that is nothing but an empty line. Only its own reader is sure to understand
//! it. [`parse`] knows the second kind of case: where its own reading is in doubt, a text that is
//! byte for byte what [`emit`] writes is read as that.

use std::io;

use serde::Serialize;

use crate::blueprint::{Doc, DocumentError, MAX_DOCUMENT_BYTES, MAX_LEVELS, json, measure};
use reader::Reader;

mod canonical;
mod reader;

/// Line breaks to libyaml, which wrote our texts; ordinary characters to YAML 1.2.
const YAML_1_1_BREAKS: [char; 2] = ['\u{2028}', '\u{2029}'];

/// Reads one document, written as YAML or as JSON, from somebody who is not us.
///
/// A text that begins with `{` or `[` is read as JSON; if it is no JSON, as YAML.
///
/// # Errors
/// [`DocumentError`] for whatever the JSON data model cannot hold exactly, with the place; for a
/// text above 1 MiB, nesting above 64 levels and aliases that expand to more than that.
pub fn parse(text: &str) -> Result<Doc, DocumentError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::TooLarge { bytes: text.len() });
    }
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '[']) {
        match json::parse(text) {
            Err(error) if error.is_syntax() => {}
            decided => return decided,
        }
    }
    let read = Reader::new(text).document();
    let separators = text.contains(YAML_1_1_BREAKS);
    let doubtful = match &read {
        Ok(_) => separators,
        Err(error) if error.is_range() => false,
        Err(_) => separators || (text.starts_with('|') && text.ends_with("\n...\n")),
    };
    if !doubtful {
        return read;
    }
    if !is_harmless(text) {
        return if separators {
            Err(DocumentError::Ambiguous)
        } else {
            read
        };
    }
    if let Ok(ours) = parse_canonical(text)
        && emit(&ours).is_ok_and(|canonical| canonical == text)
    {
        return Ok(ours);
    }
    read
}

/// Reads what [`emit`] wrote.
///
/// # Errors
/// [`DocumentError`] if the text is no YAML or holds what [`emit`] never writes.
pub fn parse_canonical(text: &str) -> Result<Doc, DocumentError> {
    canonical::parse(text)
}

/// True if yaml_serde reads `text` in linear time: libyaml's time grows with the square of the open
/// brackets, and aliases (which need both characters) may stand for gigabytes.
fn is_harmless(text: &str) -> bool {
    if text.contains('&') && text.contains('*') {
        return false;
    }
    let mut open = 0usize;
    text.bytes().all(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open <= 2 * MAX_LEVELS
    })
}

/// Writes `doc` as canonical YAML: block style, the keys of every mapping in byte order.
///
/// # Errors
/// [`DocumentError::TooDeep`], [`DocumentError::CanonicalTooLarge`].
pub fn emit(doc: &Doc) -> Result<String, DocumentError> {
    if measure::levels(doc) > MAX_LEVELS {
        return Err(DocumentError::TooDeep { place: None });
    }
    let mut serializer = serde_yaml::Serializer::new(Bounded(Vec::with_capacity(2048)));
    let written = doc
        .serialize(&mut serializer)
        .and_then(|()| serializer.into_inner());
    match written {
        Ok(Bounded(bytes)) => {
            Ok(String::from_utf8(bytes).expect("proven invariant: the emitter is set to UTF-8"))
        }
        // The tree itself always serialises: what can fail is only the writer below.
        Err(_) => Err(DocumentError::CanonicalTooLarge),
    }
}

/// A buffer that fails at the limit, so that a document of any size costs at most 1 MiB.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
