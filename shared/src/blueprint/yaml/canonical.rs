//! Parses canonical YAML, the output of the writer, and rejects all other texts.
//!
//! Any difference from the writer's output, including the choice of quotes, is rejected. So an
//! accepted text is canonical, and needs no second write as a check.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blueprint::doc::{Doc, Num};
use crate::blueprint::yaml::style::{self, Chomping, MAX_SIMPLE_KEY, Style};
use crate::blueprint::yaml::writer::INDENT;
use crate::blueprint::{MAX_DOCUMENT_BYTES, MAX_LEVELS, float};

/// Returns the document with the canonical YAML `text`; `None` if `text` is not canonical.
pub(super) fn read(text: &str) -> Option<Doc> {
    if text.len() > MAX_DOCUMENT_BYTES || !text.ends_with('\n') {
        return None;
    }
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        levels: 0,
        decoded: String::new(),
    };
    let doc = reader.document()?;
    (reader.at == text.len()).then_some(doc)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    levels: usize,
    /// The buffer for a text with escapes or several lines.
    decoded: String,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Option<Doc> {
        match self.bytes.first()? {
            b'-' if self.bytes.get(1) == Some(&b' ') => return self.sequence(0),
            b'?' => return self.mapping(0),
            _ => {}
        }
        // A mapping begins with a key. A scalar is the only line.
        let line = self.rest_of_line();
        let is_mapping = match line.as_bytes() {
            [b'"', ..] => {
                self.quoted()?;
                let is_mapping = self.peek() == Some(b':');
                self.at = 0;
                is_mapping
            }
            _ => key_end(line).is_some(),
        };
        if is_mapping {
            return self.mapping(0);
        }
        if line.starts_with('"') {
            let text = self.quoted()?;
            let text = self.checked(text, style::inline)?;
            self.end_line()?;
            return Some(Doc::Str(text));
        }
        self.one_line()
    }

    /// Parses the mapping whose entries are at `column`; the position is at its first key.
    fn mapping(&mut self, column: usize) -> Option<Doc> {
        self.enter()?;
        let mut members: Vec<(Arc<str>, Doc)> = Vec::new();
        loop {
            let (key, is_long) = self.key(column)?;
            // In byte order, and so without duplicates.
            if members.last().is_some_and(|(last, _)| *last >= key) {
                return None;
            }
            let value = self.value(column, is_long)?;
            members.push((key, value));
            if !self.next_entry(column, false) {
                break;
            }
        }
        self.levels -= 1;
        let members: BTreeMap<_, _> = members.into_iter().collect();
        Some(Doc::Object(Arc::new(members)))
    }

    /// Parses the sequence whose dashes are at `column`; the position is at the first one.
    fn sequence(&mut self, column: usize) -> Option<Doc> {
        self.enter()?;
        let mut items = Vec::new();
        loop {
            self.at += 2;
            items.push(self.item(column)?);
            if !self.next_entry(column, true) {
                break;
            }
        }
        self.levels -= 1;
        Some(Doc::array(items))
    }

    fn enter(&mut self) -> Option<()> {
        self.levels += 1;
        (self.levels <= MAX_LEVELS).then_some(())
    }

    /// Skips the indentation if the current line begins at `column`: with a dash for an item, with
    /// any other character for a key.
    fn next_entry(&mut self, column: usize, is_item: bool) -> bool {
        let line = &self.bytes[self.at..];
        let is_entry = line.len() > column
            && line[..column].iter().all(|b| *b == b' ')
            && line[column] != b' '
            && line[column..].starts_with(b"- ") == is_item;
        if is_entry {
            self.at += column;
        }
        is_entry
    }

    /// Parses a key up to its colon, and returns whether it has the indicator `? `.
    fn key(&mut self, column: usize) -> Option<(Arc<str>, bool)> {
        let is_long = self.bytes[self.at..].starts_with(b"? ");
        if is_long {
            self.at += 2;
        }
        let start = self.at;
        let key = if self.peek() == Some(b'"') {
            let text = self.quoted()?;
            self.checked(text, style::inline)?
        } else {
            let line = self.rest_of_line();
            let end = if is_long { line.len() } else { key_end(line)? };
            let text = &line[..end];
            if style::inline(text) != Style::Plain {
                return None;
            }
            self.at += end;
            text.into()
        };
        if is_long != (self.at - start > MAX_SIMPLE_KEY) {
            return None;
        }
        if is_long {
            self.end_line()?;
            if !self.next_entry(column, false) {
                return None;
            }
        }
        self.take(b':')?;
        Some((key, is_long))
    }

    /// Parses the value behind the colon of a key at `column`.
    fn value(&mut self, column: usize, is_long: bool) -> Option<Doc> {
        if self.peek() == Some(b' ') {
            self.at += 1;
            return self.scalar(column);
        }
        self.end_line()?;
        let sequence_at = if is_long { column + INDENT } else { column };
        if self.next_entry(sequence_at, true) {
            return self.sequence(sequence_at);
        }
        if self.next_entry(column + INDENT, false) {
            return self.mapping(column + INDENT);
        }
        None
    }

    /// Parses the item behind the dash at `column`.
    fn item(&mut self, column: usize) -> Option<Doc> {
        let line = self.rest_of_line();
        match line.as_bytes() {
            [b'-', b' ', ..] => return self.sequence(column + INDENT),
            [b'?', ..] => return self.mapping(column + INDENT),
            [b'"', ..] => {
                let start = self.at;
                let text = self.quoted()?;
                if self.peek() == Some(b':') {
                    self.at = start;
                    return self.mapping(column + INDENT);
                }
                let text = self.checked(text, style::block)?;
                self.end_line()?;
                return Some(Doc::Str(text));
            }
            [b'|', ..] => {}
            _ if key_end(line).is_some() => return self.mapping(column + INDENT),
            _ => {}
        }
        self.scalar(column)
    }

    /// Parses a scalar or an empty container, and the end of the line. `column` is the column of
    /// the enclosing mapping or sequence.
    fn scalar(&mut self, column: usize) -> Option<Doc> {
        match self.peek()? {
            b'"' => {
                let text = self.quoted()?;
                let text = self.checked(text, style::block)?;
                self.end_line()?;
                Some(Doc::Str(text))
            }
            b'|' => self.literal(column + INDENT),
            _ => self.one_line(),
        }
    }

    /// Parses a value that is neither quoted nor a block, and the end of the line.
    fn one_line(&mut self) -> Option<Doc> {
        let line = self.rest_of_line();
        let doc = match line.as_bytes().first()? {
            b'[' if line == "[]" => {
                self.enter()?;
                self.levels -= 1;
                Doc::array(Vec::new())
            }
            b'{' if line == "{}" => {
                self.enter()?;
                self.levels -= 1;
                Doc::Object(Arc::default())
            }
            b'-' | b'0'..=b'9' => Doc::Num(number(line)?),
            _ => match line {
                "null" => Doc::Null,
                "true" => Doc::Bool(true),
                "false" => Doc::Bool(false),
                _ if style::inline(line) == Style::Plain => Doc::Str(line.into()),
                _ => return None,
            },
        };
        self.at += line.len() + 1;
        Some(doc)
    }

    /// Parses a double-quoted string; the position is at the opening quote.
    fn quoted(&mut self) -> Option<Text<'a>> {
        self.at += 1;
        let start = self.at;
        let mut chunk = start;
        let mut has_escapes = false;
        loop {
            let (offset, c) = style::next_escaped(&self.text[self.at..])?;
            self.at += offset;
            let text = &self.text[chunk..self.at];
            match c {
                '"' => {
                    self.at += 1;
                    if !has_escapes {
                        return Some(Text::Raw(text));
                    }
                    self.decoded.push_str(text);
                    return Some(Text::Decoded);
                }
                '\\' => {
                    if !has_escapes {
                        self.decoded.clear();
                        has_escapes = true;
                    }
                    self.decoded.push_str(text);
                    let escaped = self.escape()?;
                    self.decoded.push(escaped);
                    chunk = self.at;
                }
                // A character that requires an escape.
                _ => return None,
            }
        }
    }

    /// Parses an escape, which must be the writer's escape of its character.
    fn escape(&mut self) -> Option<char> {
        let rest = &self.bytes[self.at..];
        let (c, length) = match rest.get(1)? {
            b'"' => ('"', 2),
            b'\\' => ('\\', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{C}', 2),
            b'u' => {
                let digits = std::str::from_utf8(rest.get(2..6)?).ok()?;
                let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                let mut escape = String::with_capacity(6);
                let mut one = [0; 4];
                style::next_escaped(c.encode_utf8(&mut one))?;
                style::push_escape(&mut escape, c);
                if escape.as_bytes() != &rest[..6] {
                    return None;
                }
                (c, 6)
            }
            _ => return None,
        };
        self.at += length;
        Some(c)
    }

    /// Returns the result of [`Reader::quoted`] if the writer would quote that string there.
    fn checked(&self, text: Text<'a>, style: fn(&str) -> Style) -> Option<Arc<str>> {
        let text = match text {
            Text::Raw(text) => text,
            Text::Decoded => &self.decoded,
        };
        (style(text) == Style::Quoted).then(|| text.into())
    }

    /// Parses a literal block whose lines are indented by `column`; the position is at its header.
    fn literal(&mut self, column: usize) -> Option<Doc> {
        let header = self.rest_of_line();
        self.at += header.len() + 1;
        let (indicator, chomping) = match header {
            "|" => (false, Chomping::Clip),
            "|-" => (false, Chomping::Strip),
            "|+" => (false, Chomping::Keep),
            "|2" => (true, Chomping::Clip),
            "|2-" => (true, Chomping::Strip),
            "|2+" => (true, Chomping::Keep),
            _ => return None,
        };
        self.decoded.clear();
        while self.at < self.bytes.len() {
            let line = self.rest_of_line();
            if !line.is_empty() {
                let bytes = line.as_bytes();
                if bytes.len() <= column || !bytes[..column].iter().all(|b| *b == b' ') {
                    break;
                }
                self.decoded.push_str(&line[column..]);
            }
            self.decoded.push('\n');
            self.at += line.len() + 1;
        }
        if chomping == Chomping::Strip {
            self.decoded.pop();
        }
        let expected = Style::Literal {
            indicator,
            chomping,
        };
        (style::block(&self.decoded) == expected).then(|| Doc::from(self.decoded.as_str()))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn end_line(&mut self) -> Option<()> {
        self.take(b'\n')
    }

    /// Returns the text up to the next line feed; the text ends with one.
    fn rest_of_line(&self) -> &'a str {
        let rest = &self.text[self.at..];
        &rest[..rest.find('\n').unwrap_or(rest.len())]
    }
}

/// A double-quoted string.
#[derive(Clone, Copy)]
enum Text<'a> {
    /// Without escapes.
    Raw(&'a str),
    /// Decoded into [`Reader::decoded`].
    Decoded,
}

/// Returns the end of the plain key at the start of `line`: the first colon at the end of the line
/// or before a space. A plain scalar contains no such colon.
fn key_end(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let mut from = 0;
    while let Some(offset) = line[from..].find(':') {
        let at = from + offset;
        match bytes.get(at + 1) {
            None | Some(b' ') => return Some(at),
            Some(_) => from = at + 1,
        }
    }
    None
}

/// Returns the number whose canonical text is `text`.
fn number(text: &str) -> Option<Num> {
    if text.contains('.') {
        let number: f64 = text.parse().ok()?;
        let mut canonical = String::new();
        float::push(&mut canonical, number);
        return (number.is_finite() && canonical == text).then_some(Num::Float(number));
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_canonical = match digits.as_bytes() {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    is_canonical.then(|| text.parse().ok().map(Num::Int))?
}
