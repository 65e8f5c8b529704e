//! How large a document is as canonical YAML, without writing it.
//!
//! A patch is checked for size after every operation, and writing the document each time would
//! cost more than the operation. [`Measure`] is a close estimate from below that can be added and
//! subtracted: a value's own bytes, the lines it takes (each is indented by what stands around
//! it), and its levels. It leaves out quotes, escapes and the indentation inside long texts.
//!
//! [`Measurer`] remembers the measure of large containers by their address, so that copying a
//! large value ten thousand times measures it once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use crate::blueprint::doc::{Doc, Num};

/// Containers with at least this many values in them are remembered.
const REMEMBER_FROM: usize = 64;

/// Bytes that a level indents by.
const INDENT: usize = 2;

/// The size of a value. Sums saturate, so a sum over any number of aliases stays honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Measure {
    /// Bytes, without the indentation that the value's surroundings give its lines.
    pub(crate) bytes: usize,
    /// Lines that the surroundings indent; 0 for what is written behind its key or dash.
    pub(crate) lines: usize,
    /// Containers within one another; 0 for a scalar.
    pub(crate) levels: usize,
    /// Values, itself included.
    pub(crate) values: usize,
    is_array: bool,
}

impl Measure {
    /// A scalar that is written in `bytes` bytes.
    pub(crate) fn scalar(bytes: usize) -> Measure {
        Measure {
            bytes,
            lines: 0,
            levels: 0,
            values: 1,
            is_array: false,
        }
    }

    /// An array or an object without anything in it.
    pub(crate) fn empty(is_array: bool) -> Measure {
        Measure {
            bytes: 0,
            lines: 0,
            levels: 1,
            values: 1,
            is_array,
        }
    }

    /// The measure of `member` with its dash or its key, as lines of this container.
    pub(crate) fn entry(&self, key: &str, member: Measure) -> Measure {
        let (bytes, lines) = match (member.lines, self.is_array) {
            // "- text" or "key: text" and the line's end; an empty container is [] or {}.
            (0, _) => {
                let text = if member.levels > 0 { 2 } else { member.bytes };
                (text.saturating_add(key.len() + 3), 1)
            }
            // The dash stands in the indentation of the member's first line.
            (lines, true) => (
                member.bytes.saturating_add(lines.saturating_mul(INDENT)),
                lines,
            ),
            // "key:" and the member below; an array in an object is not indented.
            (lines, false) => {
                let indent = if member.is_array { 0 } else { INDENT };
                let below = member.bytes.saturating_add(lines.saturating_mul(indent));
                (below.saturating_add(key.len() + 2), lines.saturating_add(1))
            }
        };
        Measure {
            bytes,
            lines,
            ..member
        }
    }

    /// Takes an [`entry`](Measure::entry) into this container.
    pub(crate) fn insert(&mut self, entry: Measure) {
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.lines = self.lines.saturating_add(entry.lines);
        self.levels = self.levels.max(entry.levels.saturating_add(1));
        self.values = self.values.saturating_add(entry.values);
    }

    /// How much the lines of a member of such a container are indented within it.
    pub(crate) fn indent_of(&self, member_is_array: bool) -> usize {
        if !self.is_array && member_is_array {
            0
        } else {
            INDENT
        }
    }

    /// The bytes with every line indented by `indent`.
    pub(crate) fn cost(&self, indent: usize) -> usize {
        self.bytes.saturating_add(self.lines.saturating_mul(indent))
    }
}

type Members = BTreeMap<Arc<str>, Doc>;

/// Keeps an address taken, so that it cannot come to mean another container. A weak reference
/// does that without making the container look shared to `Arc::make_mut`.
enum Kept {
    Array(#[expect(dead_code, reason = "held, never read")] Weak<Vec<Doc>>),
    Object(#[expect(dead_code, reason = "held, never read")] Weak<Members>),
}

/// Measures values, remembering the large ones.
#[derive(Default)]
pub(crate) struct Measurer {
    known: HashMap<usize, (Kept, Measure)>,
}

impl Measurer {
    /// The measure of `doc`.
    pub(crate) fn measure(&mut self, doc: &Doc) -> Measure {
        match doc {
            Doc::Null | Doc::Bool(true) => Measure::scalar(4),
            Doc::Bool(false) => Measure::scalar(5),
            Doc::Num(Num::Int(i)) => {
                Measure::scalar(i.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1)
            }
            Doc::Num(Num::Float(_)) => Measure::scalar(3),
            Doc::Str(text) => Measure::scalar(text.len()),
            Doc::Array(items) => {
                let address = Arc::as_ptr(items) as usize;
                if let Some((_, known)) = self.known.get(&address) {
                    return *known;
                }
                let mut sum = Measure::empty(true);
                for item in items.iter() {
                    sum.insert(sum.entry("", self.measure(item)));
                }
                if sum.values >= REMEMBER_FROM {
                    self.known
                        .insert(address, (Kept::Array(Arc::downgrade(items)), sum));
                }
                sum
            }
            Doc::Object(members) => {
                let address = Arc::as_ptr(members) as usize;
                if let Some((_, known)) = self.known.get(&address) {
                    return *known;
                }
                let mut sum = Measure::empty(false);
                for (key, value) in members.iter() {
                    sum.insert(sum.entry(key, self.measure(value)));
                }
                if sum.values >= REMEMBER_FROM {
                    self.known
                        .insert(address, (Kept::Object(Arc::downgrade(members)), sum));
                }
                sum
            }
        }
    }
}

/// Containers within one another in `doc`.
#[cfg(test)]
pub(crate) fn levels(doc: &Doc) -> usize {
    match doc {
        Doc::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Doc::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::{json, yaml};

    #[test]
    fn is_exact_for_plain_documents() {
        for text in [
            r#"{"a":1}"#,
            r#"[[],{},[[]],[1,[2,3]],{"a":[1,{"b":null,"c":{"d":true}}],"e":{}}]"#,
            r#"{"agents":[{"name":"a","spec":{"fn_id":"x"},"tags":["t","u"]},{"name":"b"}],"flow":{"children":[[{"k":"v"}]]}}"#,
        ] {
            let doc = json::parse(text).unwrap();
            assert_eq!(
                Measurer::default().measure(&doc).bytes,
                yaml::emit(&doc).unwrap().len(),
                "{text}"
            );
        }
    }

    #[test]
    fn remembers_by_address_and_forgets_what_changed() {
        let mut measurer = Measurer::default();
        let mut doc = Doc::array((0..100).map(Doc::from).collect());
        let before = measurer.measure(&doc);
        if let Doc::Array(items) = &mut doc {
            Arc::make_mut(items).push(Doc::from(7));
        }
        assert_eq!(measurer.measure(&doc).bytes, before.bytes + 4);
    }
}
