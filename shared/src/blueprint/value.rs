//! Conversion between [`Doc`] and [`serde_json::Value`], for libraries that use the latter.

use serde_json::Value;
use thiserror::Error;

use crate::blueprint::doc::{Doc, Num};

/// A number that a document cannot represent exactly.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the number {given} is outside what a document can hold exactly")]
pub struct NumberOutOfRange {
    /// The number as JSON.
    pub given: String,
}

impl TryFrom<&Value> for Doc {
    type Error = NumberOutOfRange;

    fn try_from(value: &Value) -> Result<Doc, NumberOutOfRange> {
        Ok(match value {
            Value::Null => Doc::Null,
            Value::Bool(b) => Doc::Bool(*b),
            Value::Number(number) => {
                if let Some(i) = number.as_i64() {
                    Doc::Num(Num::Int(i))
                } else if number.is_f64() {
                    // The float of a Value is always finite.
                    number
                        .as_f64()
                        .map(|f| Doc::Num(Num::Float(f)))
                        .ok_or_else(|| out_of_range(number))?
                } else {
                    return Err(out_of_range(number));
                }
            }
            Value::String(text) => Doc::from(text.as_str()),
            Value::Array(items) => {
                Doc::array(items.iter().map(Doc::try_from).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let members: Result<Vec<(&str, Doc)>, _> = members
                    .iter()
                    .map(|(key, value)| Ok((key.as_str(), Doc::try_from(value)?)))
                    .collect();
                Doc::object(members?)
            }
        })
    }
}

impl TryFrom<Value> for Doc {
    type Error = NumberOutOfRange;

    fn try_from(value: Value) -> Result<Doc, NumberOutOfRange> {
        Doc::try_from(&value)
    }
}

impl From<&Doc> for Value {
    fn from(doc: &Doc) -> Value {
        match doc {
            Doc::Null => Value::Null,
            Doc::Bool(b) => Value::Bool(*b),
            Doc::Num(Num::Int(i)) => Value::from(*i),
            Doc::Num(Num::Float(f)) => Value::from(*f),
            Doc::Str(text) => Value::String(text.as_ref().to_owned()),
            Doc::Array(items) => Value::Array(items.iter().map(Value::from).collect()),
            Doc::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(key, value)| (key.as_ref().to_owned(), value.into()))
                    .collect(),
            ),
        }
    }
}

fn out_of_range(number: &serde_json::Number) -> NumberOutOfRange {
    NumberOutOfRange {
        given: number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_both_ways() {
        let value = serde_json::json!({"a": [1, 1.0, null, true, "x"], "b": {"c": i64::MIN}});
        let doc = Doc::try_from(&value).unwrap();
        assert_eq!(Value::from(&doc), value);
        assert_eq!(
            doc.get("a").unwrap().as_array().unwrap()[1],
            Doc::Num(Num::Float(1.0))
        );
    }

    #[test]
    fn refuses_integers_above_i64() {
        assert!(Doc::try_from(Value::from(u64::MAX)).is_err());
    }
}
