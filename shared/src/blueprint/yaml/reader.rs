//! Reads YAML from the events of granit-parser and rejects values outside the JSON data model.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};

use crate::blueprint::doc::{Doc, Num};
use crate::blueprint::error::{DocumentError, Language, Place, cut};
use crate::blueprint::measure::Measure;
use crate::blueprint::scalar::{self, Plain};
use crate::blueprint::{MAX_DOCUMENT_BYTES, MAX_LEVELS, pointer};

/// A complete value, and its size with expanded aliases.
#[derive(Clone)]
struct Complete {
    doc: Doc,
    measure: Measure,
}

/// A container in progress.
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

/// A document in progress.
pub(super) struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Complete>,
}

impl<'a> Reader<'a> {
    /// Creates a reader for `text`.
    pub(super) fn new(text: &'a str) -> Self {
        // A block scalar ends at the end of the text, as in libyaml and PyYAML.
        let options = granit_parser::options! { block_scalar_eof_without_line_feed: true };
        Reader {
            parser: Parser::new_from_str_with_options(text, options),
            open: Vec::with_capacity(16),
            anchors: HashMap::new(),
        }
    }

    /// Reads the single document of the text.
    ///
    /// # Errors
    /// See [`crate::blueprint::yaml::parse`].
    pub(super) fn document(mut self) -> Result<Doc, DocumentError> {
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
                        problem: error.kind().to_string(),
                        is_guess: false,
                    });
                }
            };
            if matches!(event, Event::DocumentStart(..)) {
                documents += 1;
                if documents > 1 {
                    return Err(DocumentError::SecondDocument {
                        place: self.place(span.start),
                    });
                }
            }
            if let Some(complete) = self.event(event, span)? {
                root = Some(complete.doc);
            }
        }
        root.ok_or(DocumentError::Empty)
    }

    /// Processes an event; returns the document's root when it is complete.
    fn event(&mut self, event: Event<'a>, span: Span) -> Result<Option<Complete>, DocumentError> {
        let mark = span.start;
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
                // The parser knows the anchor, so its value has started but not ended.
                None => Err(DocumentError::AliasCycle {
                    place: self.place(mark),
                }),
            },
            Event::SequenceStart(_, anchor, tag) => {
                self.no_tag(tag.as_deref(), mark)?;
                self.begin(Members::Array(Vec::new()), anchor, mark)
            }
            Event::MappingStart(_, anchor, tag) => {
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
            // Document boundaries. The options disable all other events.
            _ => Ok(None),
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

    /// Adds a complete value to its container; returns it if it is the root.
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
        // Without aliases, the length of the text bounds the document.
        if parent.measure.bytes > MAX_DOCUMENT_BYTES && !self.anchors.is_empty() {
            return Err(DocumentError::AliasesTooLarge {
                place: self.place(mark),
            });
        }
        Ok(None)
    }

    fn scalar(
        &self,
        text: Cow<'a, str>,
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
            Plain::FloatPrecision(nearest) => {
                return Err(DocumentError::FloatPrecision {
                    given: given(),
                    nearest,
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
            Some(tag) => Err(DocumentError::Tag {
                tag: cut(&tag.original(), 80),
                place: self.place(mark),
            }),
        }
    }

    /// Returns the position of `mark` with a pointer to the current value.
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
