//! A flow preserves all parts of a document.

use shared::blueprint::{Doc, Num, json};

use super::*;

/// Values that an imprecise conversion through Lua, YAML or JSON would change.
const HARD: &str = r#"{
  "schema_version": "1", "id": "hard", "flow": {}, "agents": [],
  "empty_array": [], "empty_object": {}, "null": null, "nulls": [null, [null], {"a": null}, null],
  "nested": {"a": [[], {}, [{}], {"b": []}]},
  "int": 1152921504606846977, "min": -9223372036854775808, "max": 9223372036854775807,
  "float": 1.0, "exponent": 1e300, "small": 5e-324, "minus_zero": -0.0, "tenth": 0.1,
  "text": {"yes": "yes", "no": "1e400", "date": "2026-01-01", "tilde": "~", "multi": "a\n b\n", "tab": "\t", "": "empty key",
           "0": "digit key", "1": "one", "unicode": "äöü \u2028 \ud83d\ude00", "zero": "a\u0000b"},
  "unknown": {"deep": [{"x": {"y": {"z": [1, 2.0, "3", true]}}}]},
  "metadata": {"further": [], "version_label": "0.1.0"}
}"#;

#[tokio::test]
async fn everything_survives_a_whole_flow() {
    let bench = Bench::bundled();
    let blueprint = bench.commit(HARD, "set /touched to true").await;
    let mut expected = json::parse(HARD).unwrap();
    let Doc::Object(members) = &mut expected else {
        panic!("an object")
    };
    let members = std::sync::Arc::make_mut(members);
    members.insert("touched".into(), Doc::Bool(true));
    let metadata = [
        ("further", Doc::array(vec![])),
        ("version_label", Doc::from("0.1.1")),
    ];
    members.insert("metadata".into(), Doc::object(metadata));
    assert_eq!(json::emit(blueprint.doc()), json::emit(&expected));
    assert_eq!(
        blueprint.doc().get("float"),
        Some(&Doc::Num(Num::Float(1.0)))
    );
    assert_eq!(
        blueprint.doc().get("int"),
        Some(&Doc::Num(Num::Int((1 << 60) + 1)))
    );
    // The written document reads back unchanged.
    let again = Blueprint::from_stored(blueprint.version(), blueprint.canonical_yaml()).unwrap();
    assert_eq!(json::emit(again.doc()), json::emit(&expected));
}

#[tokio::test]
async fn values_survive_being_set_and_copied_in_lua() {
    // A spawner that copies the document into tables and returns all of it.
    let bench = Bench::with_scripts(&[(
        "patch_spawner.lua",
        "local function copy(value)
           if value == host.null or type(value) ~= 'table' then return value end
           local to
           if host.is_array(value) then
             to = host.array()
             for i, item in ipairs(value) do to[i] = copy(item) end
           else
             to = host.object()
             for key, item in pairs(value) do to[key] = copy(item) end
           end
           return to
         end
         local document = host.yaml_to_json(_CTX.prev_bp_yaml)
         local ops = {}
         for key, value in pairs(document) do
           if key ~= 'id' and key ~= 'metadata' then
             ops[#ops + 1] = {op = 'replace', path = '/' .. key, value = copy(value)}
           end
         end
         ops[#ops + 1] = {op = 'add', path = '/touched', value = true}
         return {ops = ops, bump = 'patch', rationale = ''}",
    )]);
    let copied = bench.commit(HARD, "?").await;
    let plain = Bench::bundled().commit(HARD, "set /touched to true").await;
    assert_eq!(copied.canonical_yaml(), plain.canonical_yaml());
}

#[tokio::test]
async fn prompts_and_labels_follow_the_change() {
    let bench = Bench::bundled();
    let hash = |text: &str| Some(shared::ids::sha256_hex(text.as_bytes()));
    let version_hash = |blueprint: &Blueprint, agent: &str| {
        let profile = blueprint.agent(agent).and_then(|a| a.get("profile"))?;
        profile
            .get("version_hash")
            .and_then(Doc::as_str)
            .map(str::to_owned)
    };

    let changed = bench
        .commit(TARGET, "set prompt of agent writer to Be kind.")
        .await;
    assert_eq!(version_hash(&changed, "writer"), hash("Be kind."));
    assert_eq!(version_hash(&changed, "reviewer"), None);

    let renamed = bench.commit(TARGET, "rename agent writer to author").await;
    assert_eq!(version_hash(&renamed, "author"), None);

    let added = bench
        .commit(
            TARGET,
            r#"add {"name": "third", "profile": {"system_prompt": "New."}} to /agents"#,
        )
        .await;
    assert_eq!(version_hash(&added, "third"), hash("New."));
    assert_eq!(version_hash(&added, "writer"), None);

    let moved = bench
        .commit(
            TARGET,
            r#"[{"op":"move","from":"/agents/0","path":"/agents/1"}]"#,
        )
        .await;
    assert_eq!(version_hash(&moved, "writer"), None);

    let bare = "id: bare\nflow: {}\nagents: []\n";
    assert_eq!(
        bench.commit(bare, "set /x to 1").await.version_label(),
        Some("0.0.1")
    );
    let pre = "id: pre\nflow: {}\nagents: []\nmetadata: {version_label: 1.2.3-rc.1+b}\n";
    assert_eq!(
        bench.commit(pre, "set /x to 1").await.version_label(),
        Some("1.2.4")
    );
}

#[tokio::test]
async fn a_document_at_the_limit_goes_through() {
    let filler = "x".repeat((1 << 20) - 2000);
    let large =
        format!("id: large\nflow: {{}}\nagents: []\nmetadata: {{}}\nfiller: \"{filler}\"\n");
    let bench = Bench::bundled();
    bench.commit(&large, "set /y to 1").await;
    let reasons = bench
        .deny(&large, &format!("set /y to {}", "y".repeat(4000)))
        .await;
    assert!(
        reasons[0].starts_with("apply: ") && reasons[0].contains("1 MiB"),
        "{reasons:?}"
    );
}
