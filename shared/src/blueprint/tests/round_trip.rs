//! Written documents read back identically with every YAML reader here and with the JSON reader.

use std::sync::Arc;

use proptest::prelude::*;

use crate::blueprint::doc::{Doc, Num};
use crate::blueprint::error::DocumentError;
use crate::blueprint::tests::samples::document;
use crate::blueprint::tests::serde_reader;
use crate::blueprint::yaml::{self, Format};
use crate::blueprint::{MAX_LEVELS, json};
use crate::ids::Version;

proptest! {
    #![proptest_config(crate::blueprint::tests::cases(400))]

    #[test]
    fn every_reader_reads_canonical_yaml_back(doc in document()) {
        let text = yaml::emit(&doc).unwrap();
        for (reader, back) in readings(&text) {
            let back = back.map_err(|e| TestCaseError::fail(format!("{reader}: {e}\n{text}")))?;
            prop_assert!(back.identical(&doc), "{reader}: {text:?}\n{back:?}");
        }
        prop_assert_eq!(yaml::emit_hashed(&doc).unwrap(), (text.clone(), Version::of(&text)));
    }

    #[test]
    fn json_reads_back(doc in document()) {
        let text = json::emit(&doc);
        let back = json::parse(&text).unwrap();
        prop_assert!(back.identical(&doc), "{}", text);
        let value: serde_json::Value = (&doc).into();
        prop_assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }
}

#[test]
fn numbers_at_the_edges_survive() {
    for number in [
        Num::Int(i64::MIN),
        Num::Int(i64::MAX),
        Num::Int((1 << 60) + 1),
        Num::Float(-0.0),
        Num::Float(1.0),
        Num::Float(1e21),
        Num::Float(5e-324),
        Num::Float(f64::MAX),
    ] {
        let doc = Doc::array(vec![Doc::Num(number)]);
        survives(&doc);
        let back = json::parse(&json::emit(&doc)).unwrap();
        assert!(back.identical(&doc), "{number:?} became {back:?}");
    }
}

#[test]
fn empty_containers_and_nulls_survive() {
    let doc = json::parse(r#"{"a":[],"b":{},"c":null,"d":[null,[],{}],"":""}"#).unwrap();
    let text = yaml::emit(&doc).unwrap();
    assert_eq!(
        text,
        "\"\": \"\"\na: []\nb: {}\nc: null\nd:\n- null\n- []\n- {}\n"
    );
    survives(&doc);
}

#[test]
fn the_deepest_document_survives() {
    let mut doc = Doc::array(vec![]);
    for level in 1..MAX_LEVELS {
        doc = if level % 2 == 0 {
            Doc::array(vec![doc])
        } else {
            Doc::object([("k", doc)])
        };
    }
    survives(&doc);
    assert!(json::parse(&json::emit(&doc)).unwrap().identical(&doc));
    let deeper = Doc::array(vec![doc]);
    assert!(matches!(
        yaml::emit(&deeper),
        Err(DocumentError::TooDeep { .. })
    ));
    assert!(matches!(
        json::parse(&json::emit(&deeper)),
        Err(DocumentError::TooDeep { .. })
    ));
}

#[test]
fn texts_that_readers_take_for_something_else_survive() {
    for text in [
        "no",
        "on",
        "12:30:45",
        "=",
        "<<",
        "2026-01-01",
        "1_000",
        "1e400",
        "0o17",
        "0b1",
        "0x1F",
        ".inf",
        ".NaN",
        "~",
        "Null",
        "y",
        "-",
        "?",
        "1.0.0",
        "1e5",
        "+1",
        "190:20:30",
        "a\u{2028}b",
        "\u{2029} c",
        "\u{85}",
        "\u{feff}",
        "- a",
        "a: b",
        "a #b",
        "\"",
        "'",
        "%a",
        "---",
        "...",
        "\n",
        "\n\n",
        "a\n\n",
        " a\nb",
        "\ta\nb",
        "a\n ",
        "\n\n a\n",
        "a\n \nb\n",
        "a\r\nb",
        "# a\nb",
        "a\n---\nb\n",
        "a\n...\n",
        "\u{a0}",
        "\u{3000}x",
        "a  ",
        "key:",
        "a\n\n\nb\n\n\n",
    ] {
        for doc in [
            Doc::from(text),
            Doc::array(vec![Doc::from(text)]),
            Doc::array(vec![Doc::array(vec![Doc::from(text), Doc::from(1)])]),
            Doc::object([("k", Doc::from(text))]),
            Doc::object([
                ("k", Doc::object([(text, Doc::from(text))])),
                ("l", Doc::Null),
            ]),
            Doc::object([(
                "k",
                Doc::array(vec![Doc::object([(text, Doc::from(text))])]),
            )]),
        ] {
            survives(&doc);
        }
    }
}

#[test]
fn keys_longer_than_a_simple_key_survive() {
    for length in [990, 1_000, 1_001, 1_024, 1_025, 5_000] {
        for part in ["k", "é", "\n", "k "] {
            let key: Arc<str> = part.repeat(length / part.len()).into();
            for value in [
                Doc::from("v"),
                Doc::from("a\n b\n"),
                Doc::array(vec![]),
                Doc::array(vec![Doc::from(1), Doc::array(vec![Doc::from(2)])]),
                Doc::object([("a", Doc::from(1)), ("b", Doc::from(2))]),
            ] {
                let doc = Doc::object([(Arc::clone(&key), value), ("z".into(), Doc::Null)]);
                survives(&doc);
                survives(&Doc::array(vec![doc.clone(), doc.clone()]));
                survives(&Doc::object([("outer", doc)]));
            }
        }
    }
}

/// Returns the result of each reader for `text`.
fn readings(text: &str) -> [(&'static str, Result<Doc, String>); 4] {
    [
        (
            "canonical",
            yaml::read_canonical(text).ok_or_else(|| "not canonical".to_owned()),
        ),
        (
            "as sent",
            yaml::parse_as(text, Format::Yaml).map_err(|e| e.to_string()),
        ),
        ("any YAML", yaml::parse_any(text).map_err(|e| e.to_string())),
        (
            "serde_yaml",
            serde_reader::read(text).map_err(|e| e.to_string()),
        ),
    ]
}

fn survives(doc: &Doc) {
    let text = yaml::emit(doc).unwrap();
    for (reader, back) in readings(&text) {
        let back = back.unwrap_or_else(|e| panic!("{reader}: {e}\n{text:?}"));
        assert!(back.identical(doc), "{reader}: {text:?}\n{back:?}");
    }
}
