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

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput, Tag};
use serde::Serialize;

use crate::blueprint::error::{Language, Place, cut};
use crate::blueprint::measure::{self, Measure};
use crate::blueprint::scalar::{self, Plain};
use crate::blueprint::{Doc, DocumentError, MAX_DOCUMENT_BYTES, MAX_LEVELS, Num, json, pointer};

mod canonical;

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
    let doubtful = match &read {
        Ok(_) => text.contains(YAML_1_1_BREAKS),
        Err(error) if error.is_range() => false,
        Err(_) => {
            text.contains(YAML_1_1_BREAKS) || (text.starts_with('|') && text.ends_with("\n...\n"))
        }
    };
    if !doubtful {
        return read;
    }
    if !is_harmless(text) {
        return read.and(Err(DocumentError::Ambiguous));
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

/// A value that is complete, and how much it is with its aliases written out.
#[derive(Clone)]
struct Complete {
    doc: Doc,
    measure: Measure,
}

/// A container that is still being read.
struct Open {
    members: Members,
    anchor: usize,
    measure: Measure,
}

enum Members {
    Array(Vec<Doc>),
    Object {
        entries: BTreeMap<Arc<str>, Doc>,
        key: Option<Arc<str>>,
    },
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Complete>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Reader {
            parser: Parser::new_from_str(text),
            open: Vec::with_capacity(16),
            anchors: HashMap::new(),
        }
    }

    fn document(mut self) -> Result<Doc, DocumentError> {
        let mut documents = 0;
        let mut root = None;
        while let Some(next) = self.parser.next_event() {
            let (event, span) = match next {
                Ok(event) => event,
                Err(error) => {
                    let place = self.place(*error.marker());
                    return Err(DocumentError::Syntax {
                        language: Language::Yaml,
                        place,
                        problem: error.info().to_owned(),
                    });
                }
            };
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
                if documents > 1 {
                    return Err(DocumentError::SecondDocument {
                        place: self.place(span.start),
                    });
                }
            }
            if let Some(complete) = self.event(event, span.start)? {
                root = Some(complete.doc);
            }
        }
        root.ok_or(DocumentError::Empty)
    }

    /// Takes an event in; returns the document's root when it is complete.
    fn event(&mut self, event: Event<'a>, mark: Marker) -> Result<Option<Complete>, DocumentError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.as_deref(), mark)?;
                let doc = self.scalar(text, style, mark)?;
                let measure = Measure::scalar(doc.as_str().map_or(1, str::len));
                self.complete(Complete { doc, measure }, anchor, mark)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(complete) => {
                    if self.open.len() + complete.measure.levels > MAX_LEVELS {
                        return Err(DocumentError::TooDeep {
                            place: Some(self.place(mark)),
                        });
                    }
                    self.complete(complete, 0, mark)
                }
                // The parser knows the anchor, so its value has begun and not ended.
                None => Err(DocumentError::AliasCycle {
                    place: self.place(mark),
                }),
            },
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.as_deref(), mark)?;
                self.begin(Members::Array(Vec::new()), anchor, mark)
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.as_deref(), mark)?;
                self.begin(
                    Members::Object {
                        entries: BTreeMap::new(),
                        key: None,
                    },
                    anchor,
                    mark,
                )
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self
                    .open
                    .pop()
                    .expect("proven invariant: the parser pairs starts and ends");
                let doc = match open.members {
                    Members::Array(items) => Doc::array(items),
                    Members::Object { entries, .. } => Doc::Object(Arc::new(entries)),
                };
                self.complete(
                    Complete {
                        doc,
                        measure: open.measure,
                    },
                    open.anchor,
                    mark,
                )
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(None),
        }
    }

    fn begin(
        &mut self,
        members: Members,
        anchor: usize,
        mark: Marker,
    ) -> Result<Option<Complete>, DocumentError> {
        if let Some(Open {
            members: Members::Object { key: None, .. },
            ..
        }) = self.open.last()
        {
            let found = match members {
                Members::Array(_) => "an array",
                Members::Object { .. } => "an object",
            };
            return Err(DocumentError::KeyNotString {
                found,
                place: self.place(mark),
            });
        }
        if self.open.len() == MAX_LEVELS {
            return Err(DocumentError::TooDeep {
                place: Some(self.place(mark)),
            });
        }
        let measure = Measure::empty(matches!(members, Members::Array(_)));
        self.open.push(Open {
            members,
            anchor,
            measure,
        });
        Ok(None)
    }

    /// Puts a complete value where it belongs; returns it if it is the root.
    fn complete(
        &mut self,
        value: Complete,
        anchor: usize,
        mark: Marker,
    ) -> Result<Option<Complete>, DocumentError> {
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            return Ok(Some(value));
        };
        match &mut parent.members {
            Members::Array(items) => {
                parent
                    .measure
                    .insert(parent.measure.entry("", value.measure));
                items.push(value.doc);
            }
            Members::Object { entries, key } => match key.take() {
                None => {
                    let Doc::Str(text) = value.doc else {
                        let found = value.doc.kind();
                        return Err(DocumentError::KeyNotString {
                            found,
                            place: self.place(mark),
                        });
                    };
                    if entries.contains_key(&text) {
                        let place = self.place(mark);
                        return Err(DocumentError::DuplicateKey {
                            key: cut(&text, 80),
                            place,
                        });
                    }
                    *key = Some(text);
                }
                Some(key) => {
                    parent
                        .measure
                        .insert(parent.measure.entry(&key, value.measure));
                    entries.insert(key, value.doc);
                }
            },
        }
        // Without aliases the text's own length bounds the document.
        if parent.measure.bytes > MAX_DOCUMENT_BYTES && !self.anchors.is_empty() {
            return Err(DocumentError::AliasesTooLarge {
                place: self.place(mark),
            });
        }
        Ok(None)
    }

    fn scalar(
        &self,
        text: std::borrow::Cow<'a, str>,
        style: ScalarStyle,
        mark: Marker,
    ) -> Result<Doc, DocumentError> {
        if style != ScalarStyle::Plain {
            return Ok(Doc::Str(text.into()));
        }
        let given = || cut(&text, 80);
        Ok(match scalar::resolve(&text) {
            Plain::Null => Doc::Null,
            Plain::Bool(b) => Doc::Bool(b),
            Plain::Int(i) => Doc::Num(Num::Int(i)),
            Plain::Float(f) => Doc::Num(Num::Float(f)),
            Plain::Text => Doc::Str(text.into()),
            Plain::IntegerRange => {
                return Err(DocumentError::IntegerRange {
                    given: given(),
                    place: self.place(mark),
                });
            }
            Plain::FloatRange => {
                return Err(DocumentError::FloatRange {
                    given: given(),
                    place: self.place(mark),
                });
            }
            Plain::NotFinite => {
                return Err(DocumentError::NotFinite {
                    given: given(),
                    place: self.place(mark),
                });
            }
        })
    }

    fn no_tag(&self, tag: Option<&Tag>, mark: Marker) -> Result<(), DocumentError> {
        match tag {
            None => Ok(()),
            Some(tag) => {
                let tag = if tag.is_yaml_core_schema() {
                    format!("!!{}", tag.suffix)
                } else {
                    format!("{}{}", tag.handle, tag.suffix)
                };
                Err(DocumentError::Tag {
                    tag: cut(&tag, 80),
                    place: self.place(mark),
                })
            }
        }
    }

    /// The place of `mark`, with a pointer to the value that is being read.
    fn place(&self, mark: Marker) -> Place {
        let mut path = String::new();
        for open in &self.open {
            match &open.members {
                Members::Array(items) => pointer::push_index(&mut path, items.len()),
                Members::Object { key: Some(key), .. } => pointer::push_key(&mut path, key),
                Members::Object { key: None, .. } => {}
            }
        }
        Place {
            line: mark.line(),
            column: mark.col() + 1,
            pointer: path,
        }
    }
}
