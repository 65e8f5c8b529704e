//! Estimates the size of a document as canonical YAML without writing it.
//!
//! A patch checks the size after every operation. Writing the document each time would cost more
//! than the operation. [`Measure`] is a close lower bound that supports addition and subtraction.
//! It consists of a value's own bytes, its indented lines, and its levels. It ignores quotes,
//! escapes and the indentation inside long texts.
//!
//! [`Measurer`] caches the measure of large containers by address. So ten thousand copies of a
//! large value are measured once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use crate::blueprint::doc::{Doc, Num};

/// The minimum number of values in a cached container.
const REMEMBER_FROM: usize = 64;

/// The indentation of a level in bytes.
const INDENT: usize = 2;

/// The size of a value. Sums saturate, so any number of aliases is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Measure {
    /// Bytes, without the indentation from enclosing containers.
    pub(crate) bytes: usize,
    /// The number of lines that enclosing containers indent; 0 for a value behind its key or dash.
    pub(crate) lines: usize,
    /// The number of nested containers; 0 for a scalar.
    pub(crate) levels: usize,
    /// The number of values, including itself.
    pub(crate) values: usize,
    is_array: bool,
}

impl Measure {
    /// Returns the measure of a scalar with this number of bytes.
    pub(crate) fn scalar(bytes: usize) -> Measure {
        Measure {
            bytes,
            lines: 0,
            levels: 0,
            values: 1,
            is_array: false,
        }
    }

    /// Returns the measure of an empty array or object.
    pub(crate) fn empty(is_array: bool) -> Measure {
        Measure {
            bytes: 0,
            lines: 0,
            levels: 1,
            values: 1,
            is_array,
        }
    }

    /// Returns the measure of `member` with its dash or key, as lines of this container.
    pub(crate) fn entry(&self, key: &str, member: Measure) -> Measure {
        let (bytes, lines) = match (member.lines, self.is_array) {
            // "- text" or "key: text" and a line feed. An empty container is [] or {}.
            (0, _) => {
                let text = if member.levels > 0 { 2 } else { member.bytes };
                (text.saturating_add(key.len() + 3), 1)
            }
            // The dash is in the indentation of the member's first line.
            (lines, true) => (
                member.bytes.saturating_add(lines.saturating_mul(INDENT)),
                lines,
            ),
            // "key:" and the member below. An array in an object is not indented.
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

    /// Adds an [`entry`](Measure::entry) to this container.
    pub(crate) fn insert(&mut self, entry: Measure) {
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.lines = self.lines.saturating_add(entry.lines);
        self.levels = self.levels.max(entry.levels.saturating_add(1));
        self.values = self.values.saturating_add(entry.values);
    }

    /// Returns the indentation of a member's lines within this container.
    pub(crate) fn indent_of(&self, member_is_array: bool) -> usize {
        if !self.is_array && member_is_array {
            0
        } else {
            INDENT
        }
    }

    /// Returns the bytes with every line indented by `indent`.
    pub(crate) fn cost(&self, indent: usize) -> usize {
        self.bytes.saturating_add(self.lines.saturating_mul(indent))
    }
}

type Members = BTreeMap<Arc<str>, Doc>;

/// Keeps an address allocated, so that another container cannot reuse it. A weak reference does not
/// make the container shared for `Arc::make_mut`.
enum Kept {
    Array(#[expect(dead_code, reason = "held, never read")] Weak<Vec<Doc>>),
    Object(#[expect(dead_code, reason = "held, never read")] Weak<Members>),
}

/// Measures values and caches large ones.
#[derive(Default)]
pub(crate) struct Measurer {
    known: HashMap<usize, (Kept, Measure)>,
}

impl Measurer {
    /// Returns the measure of `doc`.
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

/// Returns the number of nested containers in `doc`.
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
