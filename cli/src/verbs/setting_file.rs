//! The file of a setting, in YAML or JSON, with the field names of `EnhanceSetting`. `setting put`
//! reads what `setting get` prints.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as WireValue};
use proto::v1::version_selector::Selector;
use proto::v1::{EnhanceSetting, VersionSelector};
use serde_json::{Value, json};
use shared::blueprint::{Doc, Num, yaml};

use crate::client::CliError;

use crate::output::time_json;

/// The fields of a setting in a file.
const FIELDS: [&str; 14] = [
    "id",
    "blueprint_id",
    "selector",
    "verifier_axes",
    "no_verification",
    "ttl_secs",
    "spawner",
    "applies_to",
    "axis_options",
    "review_ttl_secs",
    "allow_self_review",
    "revision",
    "updated_by",
    "updated_at",
];
/// Largest integer that is exact in the doubles of a `google.protobuf.Struct`: 2^53.
const MAX_EXACT: u64 = 1 << 53;

/// Reads a setting from a file. `no_verification` overrides the field of the file if true. Checks
/// only the shape; intake checks the values.
pub(super) fn from_doc(doc: &Doc, no_verification: bool) -> Result<EnhanceSetting, String> {
    let members = doc
        .as_object()
        .ok_or_else(|| format!("it must be a mapping, not {}", doc.kind()))?;
    if let Some(unknown) = members.keys().find(|key| !FIELDS.contains(&&***key)) {
        let known = FIELDS.join(", ");
        return Err(format!("there is no field {unknown}; fields are {known}"));
    }
    let given = |name: &str| doc.get(name).filter(|value| !matches!(value, Doc::Null));
    let needed = |name: &str| given(name).ok_or_else(|| format!("{name} is missing"));
    let text = |name: &str| {
        let found = needed(name)?.as_str().map(str::to_owned);
        found.ok_or_else(|| format!("{name} must be a string"))
    };
    let flag = |name: &str| match given(name) {
        None => Ok(false),
        Some(Doc::Bool(stated)) => Ok(*stated),
        Some(_) => Err(format!("{name} must be true or false")),
    };
    let secs = |name: &str| {
        let stated = given(name).map(|stated| match stated {
            Doc::Num(Num::Int(secs)) => u64::try_from(*secs).ok(),
            _ => None,
        });
        match stated {
            Some(None) => Err(format!("{name} must be a whole number of seconds")),
            Some(secs) => Ok(secs),
            None => Ok(None),
        }
    };
    let no_verification = flag("no_verification")? || no_verification;
    let axes = match given("verifier_axes") {
        Some(list) => texts("verifier_axes", list)?,
        None if no_verification => Vec::new(),
        None => {
            return Err(
                "verifier_axes is missing; for a setting without verification write no_verification: true"
                    .to_owned(),
            );
        }
    };
    needed("ttl_secs")?;
    Ok(EnhanceSetting {
        id: text("id")?,
        blueprint_id: text("blueprint_id")?,
        selector: given("selector").map(selector).transpose()?,
        verifier_axes: axes,
        no_verification,
        ttl_secs: secs("ttl_secs")?.unwrap_or_default(),
        spawner: given("spawner")
            .map(|spawner| mapping("spawner", spawner))
            .transpose()?,
        applies_to: given("applies_to").map_or(Ok(Vec::new()), |list| texts("applies_to", list))?,
        axis_options: given("axis_options")
            .map(|options| mapping("axis_options", options))
            .transpose()?,
        review_ttl_secs: secs("review_ttl_secs")?,
        allow_self_review: flag("allow_self_review")?,
        // Set by intake.
        revision: 0,
        updated_by: String::new(),
        updated_at: None,
    })
}

fn mapping(name: &str, value: &Doc) -> Result<Struct, String> {
    match to_wire(value)
        .map_err(|problem| format!("{name}: {problem}"))?
        .kind
    {
        Some(Kind::StructValue(fields)) => Ok(fields),
        _ => Err(format!("{name} must be a mapping")),
    }
}

fn texts(name: &str, list: &Doc) -> Result<Vec<String>, String> {
    let texts = list.as_array().and_then(|items| {
        let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
        texts.collect::<Option<Vec<String>>>()
    });
    texts.ok_or_else(|| format!("{name} must be a list of strings"))
}

fn selector(given: &Doc) -> Result<VersionSelector, String> {
    const EXPECTED: &str = "selector must be one of `latest: true`, `fixed: <version>`, `semver_req: <requirement>`, `channel: <name>`";
    let members = given.as_object().filter(|members| members.len() == 1);
    let choice = members.and_then(|members| members.iter().next());
    let choice = match choice.map(|(name, value)| (&**name, value)) {
        Some(("latest", Doc::Bool(latest))) => Selector::Latest(*latest),
        Some(("fixed", Doc::Str(version))) => Selector::Fixed(version.to_string()),
        Some(("semver_req", Doc::Str(requirement))) => Selector::SemverReq(requirement.to_string()),
        Some(("channel", Doc::Str(name))) => Selector::Channel(name.to_string()),
        _ => return Err(EXPECTED.to_owned()),
    };
    Ok(VersionSelector {
        selector: Some(choice),
    })
}

/// Returns a value for the wire.
///
/// # Errors
/// An integer is not exact in a double.
pub(super) fn to_wire(doc: &Doc) -> Result<WireValue, String> {
    let kind = match doc {
        Doc::Null => Kind::NullValue(0),
        Doc::Bool(bool) => Kind::BoolValue(*bool),
        Doc::Num(Num::Int(integer)) if integer.unsigned_abs() > MAX_EXACT => {
            return Err(format!(
                "the integer {integer} is outside -2^53 to 2^53; write it as text"
            ));
        }
        Doc::Num(Num::Int(integer)) => Kind::NumberValue(*integer as f64),
        Doc::Num(Num::Float(float)) => Kind::NumberValue(*float),
        Doc::Str(text) => Kind::StringValue(text.to_string()),
        Doc::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(to_wire).collect::<Result<_, _>>()?,
        }),
        Doc::Object(members) => Kind::StructValue(Struct {
            fields: members
                .iter()
                .map(|(key, value)| Ok((key.to_string(), to_wire(value)?)))
                .collect::<Result<_, String>>()?,
        }),
    };
    Ok(WireValue { kind: Some(kind) })
}

/// Returns a setting as JSON, with the field names of the call.
pub(super) fn to_json(setting: &EnhanceSetting) -> Value {
    let selector = match setting.selector.as_ref().and_then(|s| s.selector.as_ref()) {
        None => Value::Null,
        Some(Selector::Latest(latest)) => json!({ "latest": latest }),
        Some(Selector::Fixed(version)) => json!({ "fixed": version }),
        Some(Selector::SemverReq(requirement)) => json!({ "semver_req": requirement }),
        Some(Selector::Channel(name)) => json!({ "channel": name }),
    };
    json!({
        "id": setting.id,
        "blueprint_id": setting.blueprint_id,
        "selector": selector,
        "verifier_axes": setting.verifier_axes,
        "no_verification": setting.no_verification,
        "ttl_secs": setting.ttl_secs,
        "spawner": setting.spawner.as_ref().map(struct_to_json),
        "applies_to": setting.applies_to,
        "axis_options": setting.axis_options.as_ref().map(struct_to_json),
        "review_ttl_secs": setting.review_ttl_secs,
        "allow_self_review": setting.allow_self_review,
        "revision": setting.revision,
        "updated_by": setting.updated_by,
        "updated_at": time_json(setting.updated_at.as_ref()),
    })
}

/// Returns a setting as YAML, in the form that `setting put` reads.
///
/// # Errors
/// [`CliError::Answer`] if intake sent what cannot be written.
pub(super) fn to_yaml(setting: &EnhanceSetting) -> Result<String, CliError> {
    let doc = Doc::try_from(&to_json(setting)).ok();
    let text = doc.and_then(|doc| yaml::emit(&doc).ok());
    text.ok_or(CliError::Answer {
        field: "setting.spawner",
    })
}

fn struct_to_json(object: &Struct) -> Value {
    let members = object.fields.iter();
    members
        .map(|(key, value)| (key.clone(), value_to_json(value)))
        .collect()
}

fn value_to_json(value: &WireValue) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(bool)) => Value::from(*bool),
        // An integer became a double in the Struct and is restored here.
        Some(Kind::NumberValue(n)) if n.fract() == 0.0 && n.abs() <= MAX_EXACT as f64 =>
        {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a whole number within 2^53"
            )]
            Value::from(*n as i64)
        }
        Some(Kind::NumberValue(n)) => Value::from(*n),
        Some(Kind::StringValue(text)) => Value::from(text.as_str()),
        Some(Kind::ListValue(list)) => list.values.iter().map(value_to_json).collect(),
        Some(Kind::StructValue(object)) => struct_to_json(object),
    }
}

#[cfg(test)]
mod tests {
    use shared::blueprint::yaml;

    use super::*;

    const GOOD: &str = "id: s\nblueprint_id: orbit\nselector: {semver_req: ^1.2}\nverifier_axes: [des]\nttl_secs: 60\n\
        spawner: {kind: lua, spec: {fn_id: x, n: 7, f: 0.5, none: null, list: [true]}}\napplies_to: ['team.*']\n\
        axis_options: {des: {ttl_secs: 5}}\nreview_ttl_secs: 0\nallow_self_review: true\nrevision: 3\n";

    fn parse(text: &str) -> Result<EnhanceSetting, String> {
        from_doc(&yaml::parse(text).unwrap(), false)
    }

    #[test]
    fn what_is_printed_is_taken_again() {
        let first = parse(GOOD).unwrap();
        let printed = yaml::emit(&Doc::try_from(&to_json(&first)).unwrap()).unwrap();
        assert_eq!(parse(&printed).unwrap(), first);
        assert_eq!(parse(&to_json(&first).to_string()).unwrap(), first);
        let bare = "id: s\nblueprint_id: o\nno_verification: true\nttl_secs: 1\n";
        let read = parse(bare).unwrap();
        assert_eq!((&read.selector, &read.spawner), (&None, &None));
        assert!(read.no_verification && read.verifier_axes.is_empty());
        assert_eq!(parse(&to_json(&read).to_string()).unwrap(), read);
        // The flag has the effect of the field.
        let flagged = yaml::parse("id: s\nblueprint_id: o\nttl_secs: 1\n").unwrap();
        assert_eq!(from_doc(&flagged, true).unwrap(), read);
    }

    #[test]
    fn what_is_no_setting_is_named() {
        for (from, to, word) in [
            ("id: s", "name: s", "no field name"),
            ("id: s", "id: 5", "id must be a string"),
            ("verifier_axes: [des]\n", "", "verifier_axes is missing"),
            ("[des]", "[1]", "verifier_axes must be"),
            (
                "revision: 3",
                "no_verification: maybe",
                "no_verification must be",
            ),
            ("ttl_secs: 60", "ttl_secs: -1", "ttl_secs must be"),
            ("ttl_secs: 60", "ttl_secs: 0.5", "ttl_secs must be"),
            ("semver_req", "semver", "selector must be"),
            ("n: 7", "n: 9007199254740993", "9007199254740993"),
            ("['team.*']", "team", "applies_to must be"),
            (
                "{des: {ttl_secs: 5}}",
                "[]",
                "axis_options must be a mapping",
            ),
            (
                "ttl_secs: 5",
                "n: 9007199254740993",
                "axis_options: the integer",
            ),
        ] {
            let refused = parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(refused.contains(word), "{to}: {refused}");
        }
        assert!(parse("- a\n").unwrap_err().contains("mapping"));
    }
}
