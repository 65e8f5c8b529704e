//! The literal canonical bytes. A change here changes the version of every stored document.

use crate::blueprint::blueprint::Blueprint;
use crate::blueprint::doc::Doc;
use crate::blueprint::{json, yaml};
use crate::ids::{Version, sha256_hex};

/// A small Blueprint with unsorted keys, as JSON.
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
  version_label: \"1.0.0\"
schema_version: \"1\"
x_unknown:
  B: true
  a: -0.0
  b: 1.0
  c: 1152921504606846977
  d: {}
  e: \"1\"
  f: \"yes\"
  g: 1.0e+21
  z: null
  é: ü
";

#[test]
fn a_blueprint_has_these_bytes_and_this_version() {
    let blueprint = Blueprint::parse(SMALL).unwrap();
    assert_eq!(&**blueprint.canonical_yaml(), SMALL_YAML);
    assert_eq!(
        blueprint.version().as_str(),
        "01e2416be132dfc0f3307603be0702d5929cb2fc4a74c446ead4ac36a2782300"
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
        ("plain", "plain"),
        ("two words, and more", "two words, and more"),
        ("$.input", "$.input"),
        ("/agents/0", "/agents/0"),
        ("https://example.com/x?y=z", "https://example.com/x?y=z"),
        ("don't say \"no\"", "don't say \"no\""),
        ("größer ☃ 😀", "größer ☃ 😀"),
        ("", r#""""#),
        ("null", r#""null""#),
        ("Off", r#""Off""#),
        ("~", r#""~""#),
        ("true", r#""true""#),
        ("yes", r#""yes""#),
        ("y", r#""y""#),
        ("12", r#""12""#),
        ("1.2.3", r#""1.2.3""#),
        ("0x1F", r#""0x1F""#),
        (".5", r#"".5""#),
        ("1e400", r#""1e400""#),
        ("12:30:45", r#""12:30:45""#),
        ("2026-01-01", r#""2026-01-01""#),
        ("=", r#""=""#),
        ("<<", r#""<<""#),
        ("-a", r#""-a""#),
        ("a #x", r#""a #x""#),
        ("a: b", r#""a: b""#),
        ("a:", r#""a:""#),
        ("a\\b", r#""a\\b""#),
        ("a\tb", r#""a\tb""#),
        ("a\rb", r#""a\rb""#),
        (" a", r#"" a""#),
        ("a ", r#""a ""#),
        ("\u{feff}", r#""\ufeff""#),
        ("\u{85}", r#""\u0085""#),
        ("\u{2028}", r#""\u2028""#),
        ("a\u{a0}b", "\"a\u{a0}b\""),
        ("a\nb\n", "|\n    a\n    b"),
        ("a\nb", "|-\n    a\n    b"),
        ("a\n\n", "|+\n    a\n"),
        (" a\n\tb\n", "|2\n     a\n    \tb"),
        ("\n", r#""\n""#),
        (" \na", r#"" \na""#),
        ("a\n ", r#""a\n ""#),
        ("a\r\nb\n", r#""a\r\nb\n""#),
    ];
    for (text, expected) in vectors {
        let doc = Doc::object([("a", Doc::object([("b", Doc::from(*text))]))]);
        assert_eq!(
            yaml::emit(&doc).unwrap(),
            format!("a:\n  b: {expected}\n"),
            "{text:?}"
        );
    }
}

#[test]
fn hashes_are_sha256_of_the_bytes() {
    // The hash of the empty text is a known example of FIPS 180-4.
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
