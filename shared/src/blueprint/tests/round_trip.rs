//! What is written reads back identically, by both readers of YAML and by that of JSON.

use proptest::prelude::*;

use super::samples::document;
use crate::blueprint::{Doc, DocumentError, MAX_LEVELS, Num, json, yaml};

proptest! {
    #![proptest_config(super::cases(400))]

    #[test]
    fn canonical_yaml_reads_back_as_stored(doc in document()) {
        let text = yaml::emit(&doc).unwrap();
        let back = yaml::parse_canonical(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert!(back.identical(&doc), "{text}\n{back:?}");
    }

    #[test]
    fn canonical_yaml_reads_back_as_sent(doc in document()) {
        let text = yaml::emit(&doc).unwrap();
        match yaml::parse(&text) {
            Ok(back) => {
                prop_assert!(back.identical(&doc), "{text:?}\n{back:?}");
                prop_assert_eq!(yaml::emit(&back).unwrap(), text);
            }
            // A string that looks like a number out of range is written plain: a stranger's
            // would be refused, and so is ours.
            Err(DocumentError::FloatRange { .. } | DocumentError::IntegerRange { .. } | DocumentError::Ambiguous) => {}
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{text:?}"))),
        }
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
        for back in [
            yaml::parse(&yaml::emit(&doc).unwrap()).unwrap(),
            yaml::parse_canonical(&yaml::emit(&doc).unwrap()).unwrap(),
            json::parse(&json::emit(&doc)).unwrap(),
        ] {
            assert!(back.identical(&doc), "{number:?} became {back:?}");
        }
    }
}

#[test]
fn empty_containers_and_nulls_survive() {
    let doc = json::parse(r#"{"a":[],"b":{},"c":null,"d":[null,[],{}],"":""}"#).unwrap();
    let text = yaml::emit(&doc).unwrap();
    assert_eq!(
        text,
        "'': ''\na: []\nb: {}\nc: null\nd:\n- null\n- []\n- {}\n"
    );
    assert!(yaml::parse(&text).unwrap().identical(&doc));
    assert!(yaml::parse_canonical(&text).unwrap().identical(&doc));
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
    let text = yaml::emit(&doc).unwrap();
    assert!(yaml::parse(&text).unwrap().identical(&doc));
    assert!(yaml::parse_canonical(&text).unwrap().identical(&doc));
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
fn a_string_that_looks_like_a_number_out_of_range_survives_in_the_store() {
    let doc = Doc::object([("x", Doc::from("1e400"))]);
    let text = yaml::emit(&doc).unwrap();
    assert_eq!(text, "x: 1e400\n");
    assert_eq!(yaml::parse_canonical(&text).unwrap(), doc);
    assert!(matches!(
        yaml::parse(&text),
        Err(DocumentError::FloatRange { .. })
    ));
}

#[test]
fn line_separators_of_yaml_1_1_survive() {
    let doc = Doc::object([
        ("x", Doc::from("a\u{2028}b")),
        ("y", Doc::from("\u{2029} c")),
    ]);
    let text = yaml::emit(&doc).unwrap();
    assert_eq!(yaml::parse_canonical(&text).unwrap(), doc);
    assert_eq!(yaml::parse(&text).unwrap(), doc);
}

#[test]
fn a_document_that_is_an_empty_line_survives() {
    for text in ["\n", "\n\n", "a\n\n"] {
        for doc in [
            Doc::from(text),
            Doc::array(vec![Doc::from(text)]),
            Doc::object([("k", Doc::from(text))]),
        ] {
            let canonical = yaml::emit(&doc).unwrap();
            assert_eq!(
                yaml::parse_canonical(&canonical).unwrap(),
                doc,
                "{canonical:?}"
            );
            assert_eq!(yaml::parse(&canonical).unwrap(), doc, "{canonical:?}");
        }
    }
}
