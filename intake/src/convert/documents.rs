//! Converts `google.protobuf.Struct` from and to documents.

use prost_types::Struct;
use prost_types::Value;
use prost_types::value::Kind;
use shared::blueprint::Doc;
use shared::blueprint::Num;

/// Deepest nesting of a spawner: the limit of a Blueprint.
pub(crate) const MAX_LEVELS: usize = 64;

/// Largest integer that is exact in the doubles of a `google.protobuf.Struct`: 2^53.
pub(crate) const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

pub(crate) fn struct_to_doc(spawner: Struct) -> Result<Doc, String> {
    value_to_doc(
        Value {
            kind: Some(Kind::StructValue(spawner)),
        },
        "",
        1,
    )
}

fn value_to_doc(value: Value, pointer: &str, level: usize) -> Result<Doc, String> {
    if level > MAX_LEVELS && matches!(value.kind, Some(Kind::StructValue(_) | Kind::ListValue(_))) {
        return Err(format!("is nested deeper than {MAX_LEVELS} levels"));
    }
    match value.kind {
        None => Err(format!("the value at {pointer:?} has no kind")),
        Some(Kind::NullValue(_)) => Ok(Doc::Null),
        Some(Kind::BoolValue(bool)) => Ok(Doc::Bool(bool)),
        Some(Kind::StringValue(text)) => Ok(Doc::from(text)),
        Some(Kind::NumberValue(number)) => number_to_doc(number, pointer),
        Some(Kind::ListValue(list)) => {
            let items = list.values.into_iter().enumerate();
            items
                .map(|(index, item)| value_to_doc(item, &format!("{pointer}/{index}"), level + 1))
                .collect::<Result<_, _>>()
                .map(Doc::array)
        }
        Some(Kind::StructValue(object)) => object
            .fields
            .into_iter()
            .map(|(key, value)| {
                let doc = value_to_doc(value, &format!("{pointer}/{key}"), level + 1)?;
                Ok((key, doc))
            })
            .collect::<Result<Vec<_>, String>>()
            .map(Doc::object),
    }
}

fn number_to_doc(number: f64, pointer: &str) -> Result<Doc, String> {
    if !number.is_finite() {
        return Err(format!("the number at {pointer:?} is not finite"));
    }
    if number.fract() != 0.0 {
        return Ok(Doc::Num(Num::Float(number)));
    }
    if number.abs() > MAX_EXACT {
        return Err(format!(
            "the integer at {pointer:?} is outside -2^53 to 2^53 and not exact here; send it as text"
        ));
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a whole number within 2^53"
    )]
    Ok(Doc::from(number as i64))
}

pub(crate) fn doc_to_struct(doc: &Doc) -> Struct {
    let members = doc.as_object().into_iter().flatten();
    Struct {
        fields: members
            .map(|(key, value)| (key.to_string(), doc_to_value(value)))
            .collect(),
    }
}

fn doc_to_value(doc: &Doc) -> Value {
    let kind = match doc {
        Doc::Null => Kind::NullValue(0),
        Doc::Bool(bool) => Kind::BoolValue(*bool),
        // Exact: `number_to_doc` accepted only integers up to [`MAX_EXACT`].
        Doc::Num(Num::Int(integer)) => Kind::NumberValue(*integer as f64),
        Doc::Num(Num::Float(float)) => Kind::NumberValue(*float),
        Doc::Str(text) => Kind::StringValue(text.to_string()),
        Doc::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.iter().map(doc_to_value).collect(),
        }),
        Doc::Object(_) => Kind::StructValue(doc_to_struct(doc)),
    };
    Value { kind: Some(kind) }
}
