//! Invalid input, and the messages of its errors.

use crate::blueprint::doc::{Doc, Num};
use crate::blueprint::error::DocumentError;
use crate::blueprint::json;
use crate::blueprint::yaml::{self, Format};

fn refusal(text: &str) -> DocumentError {
    match yaml::parse(text) {
        Ok(doc) => panic!("{text:?} was read as {doc:?}"),
        Err(error) => error,
    }
}

#[test]
fn numbers_outside_the_data_model() {
    for text in [
        "x: 9223372036854775808",
        "x: -9223372036854775809",
        "x: 0xFFFFFFFFFFFFFFFF",
        "{\"x\": 18446744073709551616}",
    ] {
        assert!(
            matches!(refusal(text), DocumentError::IntegerRange { .. }),
            "{text}"
        );
    }
    let digits = "9".repeat(60);
    assert!(matches!(
        refusal(&format!("x: {digits}")),
        DocumentError::IntegerRange { .. }
    ));
    assert!(matches!(
        refusal(&format!("x: 0x{digits}")),
        DocumentError::IntegerRange { .. }
    ));
    for text in [
        "x: 1e400",
        "x: -1e400",
        "x: +1.5E999",
        "{\"x\": 1e400}",
        "[-1e400]",
    ] {
        assert!(
            matches!(refusal(text), DocumentError::FloatRange { .. }),
            "{text}"
        );
    }
    for text in ["x: .nan", "x: .inf", "x: -.inf", "x: +.Inf", "x: [.NaN]"] {
        assert!(
            matches!(refusal(text), DocumentError::NotFinite { .. }),
            "{text}"
        );
    }
}

#[test]
fn text_that_only_resembles_a_number_stays_text() {
    for text in [
        "inf", "nan", "infinity", "-inf", "+.nan", "1e", "0x", "0xG", "1_000", "012", "-012",
        "12:30", ".", "-x", "1e400x",
    ] {
        assert_eq!(yaml::parse(text).unwrap(), Doc::from(text), "{text}");
    }
    assert_eq!(yaml::parse("'1e400'").unwrap(), Doc::from("1e400"));
    for (text, number) in [
        ("0x1F", 31),
        ("-0x1F", -31),
        ("0o17", 15),
        ("0b101", 5),
        ("+7", 7),
        ("-0", 0),
    ] {
        assert_eq!(yaml::parse(text).unwrap(), Doc::from(number), "{text}");
    }
    assert_eq!(yaml::parse("1e3").unwrap(), Doc::Num(Num::Float(1000.0)));
}

#[test]
fn keys_that_occur_twice() {
    for text in [
        "a: 1\na: 2",
        "x: {a: 1, a: 2}",
        "{\"a\":1,\"a\":1}",
        "a: 1\n'a': 2",
        "{\"a\":1,\"\\u0061\":1}",
    ] {
        assert!(
            matches!(refusal(text), DocumentError::DuplicateKey { .. }),
            "{text}"
        );
    }
    assert_eq!(
        refusal("x:\n  b: 1\n  b: 2\n").to_string(),
        "line 3, column 3 (at /x): the key \"b\" occurs twice in one mapping; keep one of them"
    );
}

#[test]
fn keys_that_are_no_strings() {
    for text in [
        "1: x",
        "true: x",
        "null: x",
        "~: x",
        ": x",
        "1.5: x",
        "? [a]\n: x",
        "? {a: b}\n: x",
        "x: {[a]: b}",
        "a: &n 1\n*n : x",
    ] {
        assert!(
            matches!(refusal(text), DocumentError::KeyNotString { .. }),
            "{text}"
        );
    }
    assert!(yaml::parse("'1': x\n? 'two'\n: y").is_ok());
    assert!(yaml::parse("a: &n k\n*n : x").is_ok());
}

#[test]
fn tags() {
    for text in [
        "!foo x",
        "x: !!str 1",
        "x: !foo [1]",
        "x: !foo {a: 1}",
        "!!map {a: 1}",
        "x: ! y",
        "!foo a: b",
        "x: !<tag:y> z",
    ] {
        assert!(
            matches!(refusal(text), DocumentError::Tag { .. }),
            "{text}: {}",
            refusal(text)
        );
    }
    assert!(refusal("x: !!str 1").to_string().contains("!!str"));
    assert!(refusal("x: !foo 1").to_string().contains("!foo"));
}

#[test]
fn more_or_less_than_one_document() {
    for text in ["", "  \n", "# only a comment\n", "\u{feff}"] {
        assert!(matches!(refusal(text), DocumentError::Empty), "{text:?}");
    }
    for text in ["a: 1\n---\nb: 2", "---\na\n---\n", "a\n...\n---\nb"] {
        assert!(
            matches!(refusal(text), DocumentError::SecondDocument { .. }),
            "{text:?}: {}",
            refusal(text)
        );
    }
    assert!(yaml::parse("---\na: 1\n...\n").is_ok());
    assert!(yaml::parse("%YAML 1.2\n---\na: 1\n").is_ok());
}

#[test]
fn merge_keys_are_ordinary_keys() {
    let doc = yaml::parse("base: &b {x: 1}\nuse:\n  <<: *b\n").unwrap();
    assert_eq!(
        doc,
        crate::blueprint::tests::doc(r#"{"base":{"x":1},"use":{"<<":{"x":1}}}"#)
    );
}

#[test]
fn aliases_are_written_out() {
    let doc = yaml::parse("a: &x [1, {b: &y two}]\nc: *x\nd: *y\n").unwrap();
    assert_eq!(
        doc,
        crate::blueprint::tests::doc(r#"{"a":[1,{"b":"two"}],"c":[1,{"b":"two"}],"d":"two"}"#)
    );
    assert!(matches!(
        refusal("a: *nowhere"),
        DocumentError::Syntax { .. }
    ));
    assert!(matches!(
        refusal("a: &x [*x]"),
        DocumentError::AliasCycle { .. }
    ));
}

#[test]
fn text_that_is_neither() {
    for text in [
        "{",
        "[1, 2",
        "a: b: c",
        "\"open",
        "a: [",
        "@x",
        "a:\n\t- b",
        "{\"a\": tru}}",
        "[1] x",
    ] {
        let error = refusal(text);
        assert!(error.is_syntax(), "{text:?}: {error}");
        assert!(
            error.to_string().contains("line 1") || error.to_string().contains("line 2"),
            "{error}"
        );
    }
}

#[test]
fn yaml_flow_style_is_read_if_it_is_asked_for() {
    for (text, json) in [
        ("{a: 1, b: [x, 'y']}", r#"{"a":1,"b":["x","y"]}"#),
        ("[a, b,]", r#"["a","b"]"#),
    ] {
        let error = refusal(text);
        assert!(error.is_syntax(), "{error}");
        assert!(error.to_string().contains("given as yaml"), "{error}");
        let doc = yaml::parse_as(text, Format::Yaml).unwrap();
        assert_eq!(doc, crate::blueprint::tests::doc(json));
        assert!(yaml::parse_as(text, Format::Json).is_err());
    }
}

#[test]
fn refusals_of_json_name_the_place() {
    let error = yaml::parse("{\"a\": [1, {\"b/c\":\n  99999999999999999999}]}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2, column 3 (at /a/1/b~1c): the integer 99999999999999999999 is outside -2^63 to 2^63-1; quote it to keep it as text"
    );
    assert_eq!(error.field(), "document");
    let error = yaml::parse("a:\n- 1\n- b: 99999999999999999999\n").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("line 3, column 6 (at /a/1/b): "),
        "{error}"
    );
}

#[test]
fn json_is_read_strictly() {
    for text in [
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "tru",
        "nul",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "1 2",
        "[1]]",
        "NaN",
        "// x\n1",
        "\u{a0}1",
    ] {
        assert!(json::parse(text).is_err_and(|e| e.is_syntax()), "{text:?}");
    }
    assert_eq!(
        json::parse("\"\\ud83d\\ude00\\u00e9\\/\\b\"").unwrap(),
        Doc::from("😀é/\u{8}")
    );
    assert_eq!(json::parse(" -0 ").unwrap(), Doc::from(0));
    assert_eq!(json::parse("-0.0").unwrap().kind(), "a number");
    assert!(matches!(json::parse(" "), Err(DocumentError::Empty)));
    // serde_json without its feature float_roundtrip reads a neighbour of this number.
    assert_eq!(
        json::parse("1.7976931348623157e308").unwrap(),
        Doc::Num(Num::Float(f64::MAX))
    );
}

#[test]
fn a_raw_line_separator_is_never_guessed_at() {
    for separator in ['\u{85}', '\u{2028}', '\u{2029}'] {
        let text = format!("a: b\nc: 'x{separator}  y'\n");
        let error = refusal(&text);
        assert!(matches!(error, DocumentError::Ambiguous { .. }), "{error}");
        assert!(
            error.to_string().starts_with("line 2, column 6: "),
            "{error}"
        );
        let json = format!("[\"{separator}\"]");
        assert_eq!(
            yaml::parse(&json).unwrap(),
            Doc::array(vec![Doc::from(separator.to_string())])
        );
    }
    assert_eq!(
        yaml::parse("\"\\L & *\"").unwrap(),
        Doc::from("\u{2028} & *")
    );
}

#[test]
fn a_block_text_ends_where_the_text_ends() {
    for (text, value) in [
        ("a: |\n  x", "x"),
        ("a: |\n  x\n", "x\n"),
        ("a: |+\n  x\n\n", "x\n\n"),
        ("a: |+\n  x", "x"),
        ("a: |-\n  x", "x"),
        ("a: >\n  x\n  é", "x é"),
        ("a: |\n  x\n# é", "x\n"),
        ("a: |\n  x\n  ", "x\n"),
        ("a: |\n  x\n ", "x\n"),
        ("a: |+\n  x\n\n  ", "x\n\n"),
        ("a: |\n  x  ", "x  "),
        ("a: |\r\n  x\r\n  y", "x\ny"),
        ("a: |\r\n  x\r\n", "x\n"),
    ] {
        assert_eq!(
            yaml::parse(text).unwrap().get("a"),
            Some(&Doc::from(value)),
            "{text:?}"
        );
    }
    assert_eq!(
        yaml::parse("- |\n  x\n- y").unwrap(),
        crate::blueprint::tests::doc(r#"["x\n","y"]"#)
    );
}

#[test]
fn nearly_json_is_refused_in_the_words_of_json() {
    for (text, place, words) in [
        (
            "{\"id\":\"j\", // which model\n \"model\": \"m\"}",
            "line 1, column 12",
            "no comments",
        ),
        ("{\"a\": 1, # x\n}", "line 1, column 10", "no comments"),
        ("{\"a\": 1 /* x */}", "line 1, column 9", "no comments"),
        ("{\"a\":None}", "line 1, column 6", "writes null"),
        ("[true, True]", "line 1, column 8", "lower case"),
        ("{\"n\": ,}", "line 1, column 7", "a value is expected"),
        ("{\"n\": 1,}", "line 1, column 9", "comma after the last"),
        ("[1,\n]", "line 2, column 1", "comma after the last"),
        (
            "{\"s\": \"a\nb\"}",
            "line 1, column 9",
            "line break in a string",
        ),
        ("{'a': 1}", "line 1, column 2", "double quotes"),
        (
            "{\u{201c}a\u{201d}: 1}",
            "line 1, column 2",
            "double quotes",
        ),
        (
            "{a: 1}",
            "line 1, column 2",
            "a key in double quotes is expected",
        ),
        ("[NaN]", "line 1, column 2", "no such number"),
        ("\n [1 2]", "line 2, column 5", "a comma or ] is expected"),
        ("{\"a\": 1} x", "line 1, column 10", "unexpected text"),
    ] {
        let message = refusal(text).to_string();
        assert!(
            message.starts_with(&format!("invalid JSON: {place}")),
            "{text:?}: {message}"
        );
        assert!(message.contains(words), "{text:?}: {message}");
        assert!(
            message.ends_with("unless its format is given as yaml"),
            "{text:?}: {message}"
        );
        let asked = yaml::parse_as(text, Format::Json).unwrap_err().to_string();
        assert!(!asked.contains("format"), "{asked}");
    }
}

#[test]
fn numbers_that_a_float_cannot_hold() {
    for text in [
        "x: 1e-400",
        "x: 0.1000000000000000055",
        "x: 3.14159265358979323846",
        "{\"x\": 1e-400}",
        "{\"x\": 12345678901234567890.5}",
    ] {
        let error = refusal(text);
        assert!(
            matches!(error, DocumentError::FloatPrecision { .. }),
            "{text}: {error}"
        );
    }
    assert_eq!(
        refusal("x: 0.1000000000000000055").to_string(),
        "line 1, column 4 (at /x): the number 0.1000000000000000055 is not exact as a 64-bit float; the nearest \
         value is 0.1; write that value, or quote the number to keep it as text"
    );
    assert_eq!(
        yaml::parse("x: 1.10").unwrap(),
        yaml::parse("x: 1.1").unwrap()
    );
}
