//! Writes a document as canonical YAML in one pass.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::blueprint::doc::{Doc, Num};
use crate::blueprint::error::DocumentError;
use crate::blueprint::yaml::style::{self, MAX_SIMPLE_KEY, Style};
use crate::blueprint::{MAX_DOCUMENT_BYTES, MAX_LEVELS, float};
use crate::ids::Version;

/// The indentation of a level in columns.
pub(super) const INDENT: usize = 2;

/// The interval of hash updates in bytes: the text is still in the CPU cache.
const HASH_EVERY: usize = 16 * 1024;

/// Spaces for the indentation of the deepest level.
const SPACES: &str = {
    const { assert!(MAX_LEVELS * INDENT + INDENT <= 160) };
    "                                                                                                                                                                "
};

/// Returns the canonical YAML of `doc`.
///
/// # Errors
/// [`DocumentError::TooDeep`], [`DocumentError::CanonicalTooLarge`].
pub(super) fn write(doc: &Doc) -> Result<String, DocumentError> {
    let mut writer = Writer::new(None);
    writer.document(doc)?;
    Ok(writer.out)
}

/// Returns the canonical YAML of `doc` and its version.
///
/// # Errors
/// As [`write`].
pub(super) fn write_hashed(doc: &Doc) -> Result<(String, Version), DocumentError> {
    let mut writer = Writer::new(Some(Sha256::new()));
    writer.document(doc)?;
    let mut hash = writer.hash.unwrap_or_default();
    hash.update(&writer.out.as_bytes()[writer.hashed..]);
    Ok((writer.out, Version::of_digest(&hash.finalize())))
}

struct Writer {
    out: String,
    hash: Option<Sha256>,
    /// The number of bytes of `out` in the hash.
    hashed: usize,
    levels: usize,
}

impl Writer {
    fn new(hash: Option<Sha256>) -> Self {
        Self {
            out: String::with_capacity(4096),
            hash,
            hashed: 0,
            levels: 0,
        }
    }

    fn document(&mut self, doc: &Doc) -> Result<(), DocumentError> {
        match doc {
            Doc::Object(members) if !members.is_empty() => self.mapping(members, 0),
            Doc::Array(items) if !items.is_empty() => self.sequence(items, 0),
            Doc::Str(text) => {
                self.text(style::inline(text), text, 0);
                self.end_line()
            }
            other => self.one_line(other),
        }
    }

    /// Writes the entries of a mapping at `column`. The first line is already indented.
    fn mapping(
        &mut self,
        members: &BTreeMap<Arc<str>, Doc>,
        column: usize,
    ) -> Result<(), DocumentError> {
        self.enter()?;
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                self.out.push_str(&SPACES[..column]);
            }
            let key_at = self.out.len();
            self.text(style::inline(key), key, column);
            let is_long = self.out.len() - key_at > MAX_SIMPLE_KEY;
            if is_long {
                self.out.insert_str(key_at, "? ");
                self.end_line()?;
                self.out.push_str(&SPACES[..column]);
            }
            self.out.push(':');
            match value {
                Doc::Object(members) if !members.is_empty() => {
                    self.next_line(column + INDENT);
                    self.mapping(members, column + INDENT)?;
                }
                Doc::Array(items) if !items.is_empty() => {
                    let column = if is_long { column + INDENT } else { column };
                    self.next_line(column);
                    self.sequence(items, column)?;
                }
                Doc::Str(text) => {
                    self.out.push(' ');
                    self.text(style::block(text), text, column);
                    self.end_line()?;
                }
                other => {
                    self.out.push(' ');
                    self.one_line(other)?;
                }
            }
        }
        self.levels -= 1;
        Ok(())
    }

    /// Writes the items of a sequence at `column`. The first line is already indented.
    fn sequence(&mut self, items: &[Doc], column: usize) -> Result<(), DocumentError> {
        self.enter()?;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push_str(&SPACES[..column]);
            }
            self.out.push_str("- ");
            match item {
                Doc::Object(members) if !members.is_empty() => {
                    self.mapping(members, column + INDENT)?
                }
                Doc::Array(items) if !items.is_empty() => self.sequence(items, column + INDENT)?,
                Doc::Str(text) => {
                    self.text(style::block(text), text, column);
                    self.end_line()?;
                }
                other => self.one_line(other)?,
            }
        }
        self.levels -= 1;
        Ok(())
    }

    fn enter(&mut self) -> Result<(), DocumentError> {
        self.levels += 1;
        if self.levels > MAX_LEVELS {
            return Err(DocumentError::TooDeep { place: None });
        }
        Ok(())
    }

    fn next_line(&mut self, column: usize) {
        self.out.push('\n');
        self.out.push_str(&SPACES[..column]);
    }

    /// Ends a line and fails if the document is too large.
    fn end_line(&mut self) -> Result<(), DocumentError> {
        self.out.push('\n');
        if self.out.len() > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::CanonicalTooLarge);
        }
        if let Some(hash) = &mut self.hash
            && self.out.len() - self.hashed >= HASH_EVERY
        {
            hash.update(&self.out.as_bytes()[self.hashed..]);
            self.hashed = self.out.len();
        }
        Ok(())
    }

    /// Writes a value on one line: not a string, and not a non-empty container. Also ends the line.
    fn one_line(&mut self, doc: &Doc) -> Result<(), DocumentError> {
        match doc {
            Doc::Null => self.out.push_str("null"),
            Doc::Bool(true) => self.out.push_str("true"),
            Doc::Bool(false) => self.out.push_str("false"),
            Doc::Num(Num::Int(integer)) => {
                write!(self.out, "{integer}").expect("a String takes everything");
            }
            Doc::Num(Num::Float(number)) => float::push(&mut self.out, *number),
            Doc::Str(text) => self.text(Style::Quoted, text, 0),
            Doc::Array(_) => {
                self.enter()?;
                self.levels -= 1;
                self.out.push_str("[]");
            }
            Doc::Object(_) => {
                self.enter()?;
                self.levels -= 1;
                self.out.push_str("{}");
            }
        }
        self.end_line()
    }

    /// Writes a string without its final line end. `column` is the column of the enclosing mapping
    /// or sequence.
    fn text(&mut self, style: Style, text: &str, column: usize) {
        match style {
            Style::Plain => self.out.push_str(text),
            Style::Quoted => style::push_quoted(&mut self.out, text),
            Style::Literal {
                indicator,
                chomping,
            } => {
                self.out.push('|');
                if indicator {
                    self.out.push('2');
                }
                self.out.push_str(chomping.indicator());
                let text = text.strip_suffix('\n').unwrap_or(text);
                for line in text.split('\n') {
                    self.out.push('\n');
                    if !line.is_empty() {
                        self.out.push_str(&SPACES[..column + INDENT]);
                        self.out.push_str(line);
                    }
                }
            }
        }
    }
}
