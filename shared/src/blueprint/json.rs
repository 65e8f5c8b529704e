//! Strict JSON parser and canonical JSON writer.
//!
//! serde_json is not used as the parser for three reasons. It silently converts an integer above
//! u64 to a float. It rounds some floats to a neighbour unless a feature is set that affects all
//! other crates of the program. It keeps the last of two equal keys. This parser rejects any value
//! outside the data model and reports its position.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blueprint::doc::{Doc, Num};
use crate::blueprint::error::{DocumentError, Language, Place, cut};
use crate::blueprint::{MAX_DOCUMENT_BYTES, MAX_LEVELS, float, pointer};

/// Parses one JSON value (RFC 8259).
///
/// # Errors
/// [`DocumentError`] for invalid JSON, more than one value, a text above 1 MiB, nesting above 64
/// levels, or a duplicate key. Also for a number outside i64, or one that f64 cannot represent.
pub fn parse(text: &str) -> Result<Doc, DocumentError> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::TooLarge { bytes: text.len() });
    }
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        levels: 0,
    };
    reader
        .document()
        .map_err(|failure| failure.into_error(text))
}

/// Parses the JSON value at the byte `at` of `text` and returns it with the position behind it. It
/// ignores the rest of the text. Positions in errors refer to `text`.
///
/// # Errors
/// As [`parse`].
pub fn value_at(text: &str, at: usize) -> Result<(Doc, usize), DocumentError> {
    read_at(text, at).map_err(|failure| failure.into_error(text))
}

/// Parses a value as [`value_at`] without error details, for searches at many positions of a text.
pub fn find_value_at(text: &str, at: usize) -> Option<(Doc, usize)> {
    read_at(text, at).ok()
}

fn read_at(text: &str, at: usize) -> Read<(Doc, usize)> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at,
        levels: 0,
    };
    let doc = reader.value()?;
    Ok((doc, reader.at))
}

/// Returns canonical JSON of `doc`: compact, keys in byte order, integers verbatim. Floats have the
/// shortest digits that read back as the same float.
pub fn emit(doc: &Doc) -> String {
    serde_json::to_string(doc)
        .expect("proven invariant: a tree with string keys and finite floats is JSON")
}

/// The problem, its position, and the enclosing values, innermost first.
struct Failure {
    problem: Problem,
    at: usize,
    path: Vec<Step>,
}

enum Step {
    Key(String),
    Index(usize),
}

enum Problem {
    Empty,
    Syntax(&'static str),
    TooDeep,
    IntegerRange(String),
    FloatRange(String),
    FloatPrecision(String, f64),
    DuplicateKey(String),
}

type Read<T> = Result<T, Box<Failure>>;

impl Failure {
    fn into_error(self, text: &str) -> DocumentError {
        let mut pointer = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Key(key) => pointer::push_key(&mut pointer, key),
                Step::Index(index) => pointer::push_index(&mut pointer, *index),
            }
        }
        // The parser stops only at ASCII, so `at` is a character boundary.
        let place = Place {
            pointer,
            ..Place::in_text(text, self.at)
        };
        match self.problem {
            Problem::Empty => DocumentError::Empty,
            Problem::Syntax(problem) => DocumentError::Syntax {
                language: Language::Json,
                place,
                problem: problem.to_owned(),
                is_guess: false,
            },
            Problem::TooDeep => DocumentError::TooDeep { place: Some(place) },
            Problem::IntegerRange(given) => DocumentError::IntegerRange { given, place },
            Problem::FloatRange(given) => DocumentError::FloatRange { given, place },
            Problem::FloatPrecision(given, nearest) => DocumentError::FloatPrecision {
                given,
                nearest,
                place,
            },
            Problem::DuplicateKey(key) => DocumentError::DuplicateKey { key, place },
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    levels: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Read<Doc> {
        self.skip_space();
        if self.at == self.bytes.len() {
            return self.fail(Problem::Empty);
        }
        let doc = self.value()?;
        self.skip_space();
        if self.at == self.bytes.len() {
            Ok(doc)
        } else {
            self.unexpected("unexpected text after the value")
        }
    }

    fn value(&mut self) -> Read<Doc> {
        match self.bytes.get(self.at) {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Doc::Str(self.string()?.into())),
            Some(b't') => self.word("true", Doc::Bool(true)),
            Some(b'f') => self.word("false", Doc::Bool(false)),
            Some(b'n') => self.word("null", Doc::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.unexpected("a value is expected"),
            None => self.syntax("the text ends where a value is expected"),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<Doc>) -> Read<Doc> {
        if self.levels == MAX_LEVELS {
            return self.fail(Problem::TooDeep);
        }
        self.levels += 1;
        self.at += 1;
        let doc = read(self)?;
        self.levels -= 1;
        Ok(doc)
    }

    fn object(&mut self) -> Read<Doc> {
        let mut members: BTreeMap<Arc<str>, Doc> = BTreeMap::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Doc::Object(Arc::new(members)));
        }
        loop {
            let key_at = self.at;
            if self.bytes.get(self.at) != Some(&b'"') {
                return self.unexpected("a key in double quotes is expected");
            }
            let key: Arc<str> = self.string()?.into();
            self.skip_space();
            if !self.take(b':') {
                return self.unexpected("a colon is expected after the key");
            }
            self.skip_space();
            if members.contains_key(&key) {
                self.at = key_at;
                return self.fail(Problem::DuplicateKey(cut(&key, 80)));
            }
            match self.value() {
                Ok(value) => members.insert(key, value),
                Err(failure) => return Err(within(failure, Step::Key(key.as_ref().to_owned()))),
            };
            self.skip_space();
            if self.take(b'}') {
                return Ok(Doc::Object(Arc::new(members)));
            }
            if !self.take(b',') {
                return self.unexpected("a comma or } is expected");
            }
            self.skip_space();
        }
    }

    fn array(&mut self) -> Read<Doc> {
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Doc::array(items));
        }
        loop {
            match self.value() {
                Ok(value) => items.push(value),
                Err(failure) => return Err(within(failure, Step::Index(items.len()))),
            }
            self.skip_space();
            if self.take(b']') {
                return Ok(Doc::array(items));
            }
            if !self.take(b',') {
                return self.unexpected("a comma or ] is expected");
            }
            self.skip_space();
        }
    }

    fn number(&mut self) -> Read<Doc> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return self.syntax("a digit is expected");
        }
        if matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            return self.syntax("a number has no leading zero");
        }
        let mut integer = true;
        if self.take(b'.') {
            integer = false;
            if self.digits() == 0 {
                return self.syntax("a digit is expected after the point");
            }
        }
        if self.take(b'e') || self.take(b'E') {
            integer = false;
            let _ = self.take(b'+') || self.take(b'-');
            if self.digits() == 0 {
                return self.syntax("a digit is expected in the exponent");
            }
        }
        let token = &self.text[start..self.at];
        let number = if integer {
            token
                .parse()
                .map(Num::Int)
                .map_err(|_| Problem::IntegerRange(cut(token, 80)))
        } else {
            match token.parse::<f64>() {
                Ok(number) if !number.is_finite() => Err(Problem::FloatRange(cut(token, 80))),
                Ok(number) if float::survives(token, number) => Ok(Num::Float(number)),
                Ok(nearest) => Err(Problem::FloatPrecision(cut(token, 80), nearest)),
                Err(_) => return self.syntax("a number is expected"),
            }
        };
        number.map(Doc::Num).or_else(|problem| {
            self.at = start;
            self.fail(problem)
        })
    }

    /// Parses a string; the position is at its opening quote.
    fn string(&mut self) -> Read<std::borrow::Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        self.plain_characters();
        if self.bytes.get(self.at) == Some(&b'"') {
            let text = &self.text[start..self.at];
            self.at += 1;
            return Ok(text.into());
        }
        let mut text = self.text[start..self.at].to_owned();
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(b'\n' | b'\r') => {
                    return self.syntax("a line break in a string must be written as \\n");
                }
                Some(_) => return self.syntax("a control character in a string must be escaped"),
                None => return self.syntax("the text ends inside a string"),
            }
            let run = self.at;
            self.plain_characters();
            text.push_str(&self.text[run..self.at]);
        }
    }

    /// Skips unescaped characters of a string. It stops at ASCII, so at a character boundary.
    fn plain_characters(&mut self) {
        while self
            .bytes
            .get(self.at)
            .is_some_and(|b| !matches!(b, b'"' | b'\\' | 0..=0x1F))
        {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Read<char> {
        self.at += 1;
        let escaped = match self.bytes.get(self.at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.syntax("no such escape in JSON"),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Read<char> {
        let first = self.hex4()?;
        let code = match first {
            0xD800..=0xDBFF if self.bytes.get(self.at..self.at + 2) == Some(b"\\u") => {
                self.at += 1;
                match self.hex4()? {
                    second @ 0xDC00..=0xDFFF => {
                        0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    _ => first,
                }
            }
            _ => first,
        };
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => self.syntax("an unpaired surrogate is not a character"),
        }
    }

    /// Parses `uXXXX`; the position is at the `u`.
    fn hex4(&mut self) -> Read<u32> {
        let digits = self.bytes.get(self.at + 1..self.at + 5);
        match digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            Some(digits) => {
                self.at += 5;
                Ok(digits.iter().fold(0, |sum, b| {
                    sum * 16 + char::from(*b).to_digit(16).unwrap_or(0)
                }))
            }
            None => self.syntax("four hexadecimal digits are expected"),
        }
    }

    fn word(&mut self, word: &str, doc: Doc) -> Read<Doc> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(doc)
        } else {
            self.unexpected("a value is expected")
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    /// Returns an error for the token at the position. It names a known form of another language,
    /// or else the expected token.
    fn unexpected<T>(&self, expected: &'static str) -> Read<T> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_word = |word: &str| rest.starts_with(word);
        let problem = match rest.chars().next() {
            Some('/' | '#') => "JSON has no comments",
            Some('\'' | '`' | '\u{2018}'..='\u{201F}') => {
                "JSON has no other quotes than double quotes (\")"
            }
            Some('}' | ']') if self.is_after_comma() => "JSON has no comma after the last element",
            Some('}' | ']' | ',') => expected,
            _ if is_word("None") || is_word("undefined") => "JSON writes null for no value",
            _ if is_word("True") || is_word("False") => "JSON writes true and false in lower case",
            _ if is_word("NaN") || is_word("Infinity") => "JSON has no such number",
            _ => expected,
        };
        self.syntax(problem)
    }

    /// Returns true if the last non-blank character before the position is a comma.
    fn is_after_comma(&self) -> bool {
        let before = self.text.get(..self.at).unwrap_or_default();
        before
            .trim_end_matches([' ', '\t', '\n', '\r'])
            .ends_with(',')
    }

    fn syntax<T>(&self, problem: &'static str) -> Read<T> {
        self.fail(Problem::Syntax(problem))
    }

    fn fail<T>(&self, problem: Problem) -> Read<T> {
        Err(Box::new(Failure {
            problem,
            at: self.at,
            path: Vec::new(),
        }))
    }
}

fn within(mut failure: Box<Failure>, step: Step) -> Box<Failure> {
    failure.path.push(step);
    failure
}
