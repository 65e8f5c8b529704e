//! An oracle: the yaml_serde reader.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::blueprint::doc::{Doc, Num};

/// Returns the document that yaml_serde reads from `text`.
pub(super) fn read(text: &str) -> Result<Doc, serde_yaml::Error> {
    serde_yaml::from_str(text).map(|Tree(doc)| doc)
}

/// A document that implements `Deserialize`.
struct Tree(Doc);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Tree)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Doc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the JSON data model")
    }

    fn visit_unit<E>(self) -> Result<Doc, E> {
        Ok(Doc::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Doc, E> {
        Ok(Doc::Bool(b))
    }

    fn visit_i64<E>(self, i: i64) -> Result<Doc, E> {
        Ok(Doc::Num(Num::Int(i)))
    }

    fn visit_u64<E: de::Error>(self, u: u64) -> Result<Doc, E> {
        match i64::try_from(u) {
            Ok(i) => Ok(Doc::Num(Num::Int(i))),
            Err(_) => Err(E::invalid_value(
                de::Unexpected::Unsigned(u),
                &"an integer of i64",
            )),
        }
    }

    fn visit_f64<E: de::Error>(self, f: f64) -> Result<Doc, E> {
        if f.is_finite() {
            Ok(Doc::Num(Num::Float(f)))
        } else {
            Err(E::invalid_value(
                de::Unexpected::Float(f),
                &"a finite number",
            ))
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Doc, E> {
        Ok(Doc::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Doc, A::Error> {
        let mut items = Vec::new();
        while let Some(Tree(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Doc::array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Doc, A::Error> {
        let mut members: BTreeMap<Arc<str>, Doc> = BTreeMap::new();
        while let Some(Tree(key)) = access.next_key()? {
            let Doc::Str(key) = key else {
                return Err(de::Error::custom(format_args!(
                    "a key must be a string, not {}",
                    key.kind()
                )));
            };
            let Tree(value) = access.next_value()?;
            if members.insert(key, value).is_some() {
                return Err(de::Error::custom("a key occurs twice in one mapping"));
            }
        }
        Ok(Doc::Object(Arc::new(members)))
    }
}
