//! The document tree: the JSON data model with exact numbers and shared subtrees.
//!
//! A Blueprint passes through a whole flow (spawner, applier, four verifiers, committer) with at
//! most one change. So [`Doc`] is immutable and shares its containers. A clone costs one reference
//! count. A change copies only the path to the changed value ([`std::sync::Arc::make_mut`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A value of the JSON data model. Mappings are sorted by the bytes of their keys, as in the
/// canonical form.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Doc {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number. Integers and floats are distinct: `1` is not `1.0`.
    Num(Num),
    /// A Unicode string.
    Str(Arc<str>),
    /// An array.
    Array(Arc<Vec<Doc>>),
    /// A mapping with string keys.
    Object(Arc<BTreeMap<Arc<str>, Doc>>),
}

/// A number as written: an exact 64-bit integer, or a finite float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Num {
    /// An integer.
    Int(i64),
    /// A float that is neither NaN nor infinite.
    Float(f64),
}

impl Num {
    /// Compares by exact mathematical value: `1` equals `1.0`, and 2^53+1 differs from the nearest
    /// float. RFC 6902 section 4.6 compares numbers by value.
    pub fn same_value(self, other: Num) -> bool {
        match (self, other) {
            (Num::Int(a), Num::Int(b)) => a == b,
            (Num::Float(a), Num::Float(b)) => a == b,
            (Num::Int(i), Num::Float(f)) | (Num::Float(f), Num::Int(i)) => int_equals_float(i, f),
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a whole number in the range of an i64"
)]
fn int_equals_float(i: i64, f: f64) -> bool {
    // 2^63 is exact as a float. A float at or above it does not fit i64.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    f.fract() == 0.0 && (-LIMIT..LIMIT).contains(&f) && f as i64 == i
}

impl Doc {
    /// Creates an array from its elements.
    pub fn array(items: Vec<Doc>) -> Doc {
        Doc::Array(Arc::new(items))
    }

    /// Creates a mapping from key-value pairs. For equal keys, the last pair counts.
    pub fn object<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Doc)>) -> Doc {
        Doc::Object(Arc::new(
            entries.into_iter().map(|(k, v)| (k.into(), v)).collect(),
        ))
    }

    /// Returns the member `key` of a mapping; `None` for any other kind of value.
    pub fn get(&self, key: &str) -> Option<&Doc> {
        match self {
            Doc::Object(map) => map.get(key),
            _ => None,
        }
    }

    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Doc::Str(s) => Some(s),
            _ => None,
        }
    }

    /// Returns the elements of an array.
    pub fn as_array(&self) -> Option<&[Doc]> {
        match self {
            Doc::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the members of a mapping.
    pub fn as_object(&self) -> Option<&BTreeMap<Arc<str>, Doc>> {
        match self {
            Doc::Object(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Doc::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// Returns the kind of this value in the terms of RFC 8259, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Doc::Null => "null",
            Doc::Bool(_) => "a boolean",
            Doc::Num(_) => "a number",
            Doc::Str(_) => "a string",
            Doc::Array(_) => "an array",
            Doc::Object(_) => "an object",
        }
    }

    /// Compares as RFC 6902 section 4.6: numbers by value, mappings without order.
    pub fn same_value(&self, other: &Doc) -> bool {
        match (self, other) {
            (Doc::Num(a), Doc::Num(b)) => a.same_value(*b),
            (Doc::Array(a), Doc::Array(b)) => {
                Arc::ptr_eq(a, b)
                    || (a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| x.same_value(y)))
            }
            (Doc::Object(a), Doc::Object(b)) => {
                Arc::ptr_eq(a, b)
                    || (a.len() == b.len()
                        && a.iter()
                            .zip(b.iter())
                            .all(|((k, x), (l, y))| k == l && x.same_value(y)))
            }
            (a, b) => a == b,
        }
    }

    /// Returns true if both have the same canonical form. `1` and `1.0` differ, and so do `0.0` and
    /// `-0.0`.
    pub fn identical(&self, other: &Doc) -> bool {
        match (self, other) {
            (Doc::Num(Num::Float(a)), Doc::Num(Num::Float(b))) => a.to_bits() == b.to_bits(),
            (Doc::Array(a), Doc::Array(b)) => {
                Arc::ptr_eq(a, b)
                    || (a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| x.identical(y)))
            }
            (Doc::Object(a), Doc::Object(b)) => {
                Arc::ptr_eq(a, b)
                    || (a.len() == b.len()
                        && a.iter().zip(b.iter()).all(|((k, x), (l, y))| {
                            (Arc::ptr_eq(k, l) || k == l) && x.identical(y)
                        }))
            }
            (Doc::Str(a), Doc::Str(b)) => Arc::ptr_eq(a, b) || a == b,
            (a, b) => a == b,
        }
    }

    /// Returns true if both are the same container in memory. This is a cheap check for unchanged
    /// values.
    pub fn same_allocation(&self, other: &Doc) -> bool {
        match (self, other) {
            (Doc::Array(a), Doc::Array(b)) => Arc::ptr_eq(a, b),
            (Doc::Object(a), Doc::Object(b)) => Arc::ptr_eq(a, b),
            (Doc::Str(a), Doc::Str(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl From<&str> for Doc {
    fn from(s: &str) -> Doc {
        Doc::Str(s.into())
    }
}

impl From<String> for Doc {
    fn from(s: String) -> Doc {
        Doc::Str(s.into())
    }
}

impl From<bool> for Doc {
    fn from(b: bool) -> Doc {
        Doc::Bool(b)
    }
}

impl From<i64> for Doc {
    fn from(i: i64) -> Doc {
        Doc::Num(Num::Int(i))
    }
}

impl Serialize for Doc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Doc::Null => serializer.serialize_unit(),
            Doc::Bool(b) => serializer.serialize_bool(*b),
            Doc::Num(Num::Int(i)) => serializer.serialize_i64(*i),
            Doc::Num(Num::Float(f)) => serializer.serialize_f64(*f),
            Doc::Str(s) => serializer.serialize_str(s),
            Doc::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Doc::Object(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map.iter() {
                    out.serialize_entry(&**key, value)?;
                }
                out.end()
            }
        }
    }
}
