//! Sample documents with realistic content and a known size.

use std::fmt::Write;

use proto::v1;
use serde_json::Value;

/// The smallest Blueprint: two agents and a flow that names both.
pub fn small(id: &str) -> String {
    document(id, 2, 0)
}

/// A Blueprint of about 2 KB of canonical YAML.
pub fn two_kb(id: &str) -> String {
    document(id, 6, 160)
}

/// A Blueprint of about 100 KB of canonical YAML.
pub fn hundred_kb(id: &str) -> String {
    document(id, 200, 320)
}

/// A Blueprint with `n_agents` agents `agent-0` … in a sequence of as many steps. Each agent has a
/// system prompt of about `prompt_bytes` bytes.
pub fn document(id: &str, n_agents: usize, prompt_bytes: usize) -> String {
    let mut text = format!(
        "schema_version: '1'\nid: {id}\nmetadata:\n  description: sample {id}\n  tags: [sample]\n"
    );
    text.push_str("  version_label: 1.0.0\nflow:\n  kind: seq\n  children:\n");
    for n in 0..n_agents {
        let _infallible = writeln!(
            text,
            "  - kind: step\n    ref: agent-{n}\n    in: {{op: path, at: $}}\n    out: {{op: path, at: $.out_{n}}}"
        );
    }
    text.push_str("agents:\n");
    for n in 0..n_agents {
        let prompt = prompt(n, prompt_bytes);
        let _infallible = writeln!(
            text,
            "- name: agent-{n}\n  kind: llm\n  profile:\n    model: model-{n}\n    system_prompt: {prompt}"
        );
    }
    text
}

/// A flow that denies every issue: the shortest flow that decides.
pub fn denying_flow() -> Value {
    let reason = "closed for today";
    let commit = serde_json::json!({
        "committed": false, "reasons": [format!("des: {reason}")], "rationale": "",
        "verdicts_summary": [{"axis": "des", "status": "deny", "reason": reason}],
    });
    serde_json::json!({"kind": "let", "at": "$.commit", "value": {"op": "lit", "value": commit}})
}

/// A directory for `DRAFTSMAN_LUA_DIR` whose spawner never ends, so that claimed issues stay in
/// flight.
///
/// # Panics
/// If it cannot be written.
pub fn endless_scripts() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let spawner = dir.path().join("patch_spawner.lua");
    std::fs::write(spawner, "while true do end").expect("a script file");
    dir
}

/// A request to write a setting with the bundled orbit and one axis, after `edit`.
pub fn setting(id: &str, edit: impl FnOnce(&mut v1::EnhanceSetting)) -> v1::PutSettingRequest {
    let mut setting = v1::EnhanceSetting {
        id: id.to_owned(),
        blueprint_id: "enhance-default".to_owned(),
        verifier_axes: vec!["des".to_owned()],
        ttl_secs: 60,
        ..Default::default()
    };
    edit(&mut setting);
    v1::PutSettingRequest {
        setting: Some(setting),
        ..Default::default()
    }
}

/// Removes a setting's verification and confirms that this is intended.
pub fn without_verification(setting: &mut v1::EnhanceSetting) {
    setting.verifier_axes.clear();
    setting.no_verification = true;
}

/// A version selector as a message.
pub fn selector(selector: v1::version_selector::Selector) -> Option<v1::VersionSelector> {
    Some(v1::VersionSelector {
        selector: Some(selector),
    })
}

/// A JSON object as a message.
///
/// # Panics
/// If the value is not an object.
pub fn to_struct(value: &Value) -> prost_types::Struct {
    match to_wire(value).kind {
        Some(prost_types::value::Kind::StructValue(fields)) => fields,
        _ => panic!("an object is expected"),
    }
}

fn to_wire(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().expect("a float")),
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.iter().map(to_wire).collect(),
        }),
        Value::Object(map) => Kind::StructValue(prost_types::Struct {
            fields: map.iter().map(|(k, v)| (k.clone(), to_wire(v))).collect(),
        }),
    };
    prost_types::Value { kind: Some(kind) }
}

/// A text of words of about `bytes` bytes, with at least one word.
fn prompt(n: usize, bytes: usize) -> String {
    let mut text = format!("You are agent number {n}.");
    while text.len() < bytes {
        text.push_str(" Read what the other agents wrote and answer in one plain sentence.");
    }
    text
}

/// Keys that a document may have beside the known ones, with every value that a stage of the
/// pipeline (YAML, JSON, Lua, Redis) could lose.
pub const UNKNOWN_KEYS_YAML: &str = "\
x_unknown:
  empty_list: []
  empty_map: {}
  nothing: null
  nothings: [null, 1, null]
  nested: {lists: [[], [[]], {}], maps: {a: {}, b: []}}
  big: 1152921504606846977
  smallest: -9223372036854775808
  largest: 9223372036854775807
  one: 1.0
  tenth: 0.1
  text_one: '1'
  yes_text: 'yes'
  date: '2026-01-01'
  empty_text: ''
  unicode: 'größer ☃ 😀'
  multi: \"a\\nb\\n\"
  ? 'key with spaces'
  : kept
'0': top level digit key
";
