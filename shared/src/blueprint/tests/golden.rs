//! The canonical bytes, literally. If one of these changes, every stored version changes its name.

use crate::blueprint::{Blueprint, Doc, json, yaml};
use crate::ids::{Version, sha256_hex};

/// A small Blueprint in no particular order, as JSON.
const SMALL: &str = r#"{"schema_version":"1","id":"golden","metadata":{"version_label":"1.0.0","tags":[],"description":"two\nlines"},
"agents":[{"name":"a","kind":"lua","spec":{"fn_id":"committer"}}],"flow":{"kind":"seq","children":[]},
"x_unknown":{"z":null,"B":true,"a":-0.0,"b":1.0,"c":1152921504606846977,"d":{},"e":"1","f":"yes","g":1e21,"é":"ü"}}"#;

const SMALL_YAML: &str = "\
agents:
- kind: lua
  name: a
  spec:
    fn_id: committer
flow:
  children: []
  kind: seq
id: golden
metadata:
  description: |-
    two
    lines
  tags: []
  version_label: 1.0.0
schema_version: '1'
x_unknown:
  B: true
  a: -0.0
  b: 1.0
  c: 1152921504606846977
  d: {}
  e: '1'
  f: yes
  g: 1e21
  z: null
  é: ü
";

#[test]
fn a_blueprint_has_these_bytes_and_this_version() {
    let blueprint = Blueprint::parse(SMALL).unwrap();
    assert_eq!(&**blueprint.canonical_yaml(), SMALL_YAML);
    assert_eq!(
        blueprint.version().as_str(),
        "a919ab4d1490298bbe9385dac96b69f8ff75a532c73c5deeef43b54bfee71f90"
    );
}

#[test]
fn the_same_document_as_yaml_has_the_same_version() {
    let blueprint = Blueprint::parse(SMALL).unwrap();
    for text in [
        SMALL_YAML.to_owned(),
        format!("---\n{SMALL_YAML}...\n"),
        json::emit(blueprint.doc()),
    ] {
        assert_eq!(
            Blueprint::parse(&text).unwrap().version(),
            blueprint.version()
        );
    }
}

#[test]
fn strings_are_quoted_where_they_must_be() {
    let vectors: &[(&str, &str)] = &[
        ("plain", "plain\n"),
        ("", "''\n"),
        ("null", "'null'\n"),
        ("~", "'~'\n"),
        ("true", "'true'\n"),
        ("yes", "yes\n"),
        ("12", "'12'\n"),
        ("012", "'012'\n"),
        ("0x1F", "'0x1F'\n"),
        ("1e3", "'1e3'\n"),
        (".5", "'.5'\n"),
        ("1e400", "1e400\n"),
        ("2026-01-01", "2026-01-01\n"),
        ("- a", "'- a'\n"),
        ("#x", "'#x'\n"),
        ("a: b", "'a: b'\n"),
        ("a\nb\n", "|\n  a\n  b\n"),
        ("a\tb", "\"a\\tb\"\n"),
        ("a\rb", "\"a\\rb\"\n"),
        (" a", "' a'\n"),
        ("a ", "'a '\n"),
        ("\u{feff}", "\"\\uFEFF\"\n"),
        ("\u{85}", "\"\\N\"\n"),
        ("\u{2028}", "'\u{2028}  '\n"),
        ("\u{1f600}", "\u{1f600}\n"),
    ];
    for (text, expected) in vectors {
        assert_eq!(
            yaml::emit(&Doc::from(*text)).unwrap(),
            *expected,
            "{text:?}"
        );
    }
}

#[test]
fn hashes_are_sha256_of_the_bytes() {
    // The hash of nothing is known from FIPS 180-4's examples.
    assert_eq!(
        Version::of("").as_str(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let ops = json::parse(r#"[ {"path":"/a","op":"add","value":{"b":1.0,"a":9007199254740993}} ]"#)
        .unwrap();
    let canonical = json::emit(&ops);
    assert_eq!(
        canonical,
        r#"[{"op":"add","path":"/a","value":{"a":9007199254740993,"b":1.0}}]"#
    );
    assert_eq!(
        sha256_hex(canonical.as_bytes()),
        "3bc23b7ee91310681d8349dbb6eaa2c29c1e274fb95c32e0fd5331c52432a4b9"
    );
}
