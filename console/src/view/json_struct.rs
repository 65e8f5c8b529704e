//! JSON text of `google.protobuf.Struct`, in both directions.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as WireValue};
use serde_json::{Map, Number, Value};

/// Largest integer that is exact in the doubles of a `Struct`: 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Returns a struct as indented JSON.
pub(crate) fn to_text(given: &Struct) -> String {
    let value = Value::Object(members(given));
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

/// Reads an object from JSON text. An empty text is absent.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn from_text(text: &str) -> Result<Option<Struct>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(given)) => {
            let fields = given
                .iter()
                .map(|(name, value)| Ok((name.clone(), wire(value)?)));
            Ok(Some(Struct {
                fields: fields.collect::<Result<_, String>>()?,
            }))
        }
        Ok(_) => Err("it must be a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the members of a struct.
pub(crate) fn members(given: &Struct) -> Map<String, Value> {
    let pairs = given.fields.iter();
    pairs
        .map(|(name, value)| (name.clone(), json(value)))
        .collect()
}

fn json(value: &WireValue) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::StringValue(value)) => Value::String(value.clone()),
        Some(Kind::StructValue(value)) => Value::Object(members(value)),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(json).collect()),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the value is checked to be exact"
        )]
        Some(Kind::NumberValue(value)) if value.fract() == 0.0 && value.abs() <= MAX_EXACT => {
            Value::Number((*value as i64).into())
        }
        Some(Kind::NumberValue(value)) => {
            Number::from_f64(*value).map_or(Value::Null, Value::Number)
        }
    }
}

fn wire(value: &Value) -> Result<WireValue, String> {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::String(value) => Kind::StringValue(value.clone()),
        Value::Number(value) => match value.as_f64() {
            Some(number) if number.abs() <= MAX_EXACT || value.is_f64() => {
                Kind::NumberValue(number)
            }
            _ => return Err(format!("the number {value} is too large to be exact")),
        },
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(wire).collect::<Result<_, _>>()?,
        }),
        Value::Object(given) => {
            let fields = given
                .iter()
                .map(|(name, value)| Ok((name.clone(), wire(value)?)));
            Kind::StructValue(Struct {
                fields: fields.collect::<Result<_, String>>()?,
            })
        }
    };
    Ok(WireValue { kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = r#"{"a":{"ttl_secs":30,"x":1.5},"b":[null,true,"t"]}"#;
        let read = from_text(text).unwrap().unwrap();
        let written: Value = serde_json::from_str(&to_text(&read)).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(from_text(" \n").unwrap(), None);
        for bad in ["[]", "{", r#"{"a":9007199254740993000}"#] {
            assert!(from_text(bad).is_err(), "{bad}");
        }
    }
}
