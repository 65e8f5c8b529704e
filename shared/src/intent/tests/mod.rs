//! Tests of intents and their parsed form.

mod fences;
mod properties;

use crate::blueprint::{Doc, json};

use crate::intent::sentence::Sentence;
use crate::intent::{Intent, read};

fn sentences(text: &str) -> Vec<Sentence> {
    match read(text) {
        Ok(Intent::Sentences(found)) => found,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// Asserts that each intent is refused, and that the refusal contains each of the parts.
fn assert_refused(cases: &[(&str, &[&str])]) {
    for (text, parts) in cases {
        let refusal = match read(text) {
            Err(refusal) => refusal,
            Ok(read) => panic!("{text:?} was read as {read:?}"),
        };
        for part in *parts {
            assert!(refusal.contains(part), "{text:?}: {part:?} in {refusal:?}");
        }
    }
}

fn prompt(text: &str) -> Sentence {
    Sentence::Profile {
        field: "system_prompt",
        agent: "a".into(),
        text: text.into(),
    }
}

fn set(pointer: &str, value: &str) -> Sentence {
    Sentence::Set {
        pointer: pointer.into(),
        value: json::parse(value).unwrap(),
    }
}

fn tag(name: &str) -> Sentence {
    Sentence::Tag { name: name.into() }
}

#[test]
fn what_begins_like_json_is_json_or_refused() {
    for (text, value) in [
        ("5", "5"),
        ("5;", "5"),
        ("-0.5e3", "-0.5e3"),
        ("true", "true"),
        ("null", "null"),
        ("\"1; tag x\"", "\"1; tag x\""),
        ("{\"a\":\n[1,\n2]}", "{\"a\":[1,2]}"),
        ("\n  [\"to /y\"] ;\n", "[\"to /y\"]"),
        ("go to /y now", "\"go to /y now\""),
        ("2.0.0", "\"2.0.0\""),
        ("2026-01-01", "\"2026-01-01\""),
        ("10:30", "\"10:30\""),
        ("3rd", "\"3rd\""),
        ("- a", "\"- a\""),
        ("--flag", "\"--flag\""),
        ("nullable", "\"nullable\""),
        ("truely", "\"truely\""),
        ("'tis", "\"'tis\""),
        ("<b>", "\"<b>\""),
        ("hello;", "\"hello;\""),
        ("two; three", "\"two; three\""),
    ] {
        let text = format!("set /x to {text}");
        assert_eq!(sentences(&text), [set("/x", value)], "{text:?}");
    }
    let at_value = &["line 1, column 11"][..];
    assert_refused(&[
        (
            "set /agents/0/profile to {\"model\": \"m2\",}",
            &["invalid JSON: line 1, column 41", "<<END"],
        ),
        (
            "set /x to [None, True]",
            &["line 1, column 12", "JSON writes null"],
        ),
        ("set /x to [1, 2", &["line 1, column 16"]),
        ("set /x to {a: 1}", &["line 1, column 12"]),
        (
            "set /x to {\"a\": 1} and more",
            &["line 1, column 20: something follows the value: \"and more\""],
        ),
        ("set /x to [draft] hello", &["line 1, column 12"]),
        (
            "set /x to \"a\" b",
            &["line 1, column 15: something follows the value: \"b\""],
        ),
        (
            "set /x to \"a",
            &["line 1, column 13", "ends inside a string"],
        ),
        (
            "set /x to \"a\nb\"",
            &["line 1, column 13", "a line break in a string", "<<END"],
        ),
        (
            "describe as \"Hello\" is what we say",
            &["line 1, column 21: something follows the value"],
        ),
        ("set prompt of agent a to \"x\\q\"", &["no such escape"]),
        (
            "set /x to 9223372036854775808",
            &[
                "line 1, column 11",
                "outside -2^63 to 2^63-1",
                "\"9223372036854775808\"",
            ],
        ),
        (
            "set /x to 1e400",
            &["line 1, column 11", "too large", "\"1e400\""],
        ),
        (
            "set /x to -99999999999999999999;",
            &["line 1, column 11", "outside"],
        ),
        (
            "set /x to [99999999999999999999]",
            &["line 1, column 12", "outside"],
        ),
        (
            "set /x to 5; tagg b",
            &[
                "line 1, column 11",
                "begins like JSON with \"5\"",
                "\"5; tagg b\"",
            ],
        ),
        ("set /x to 5\nThank you", at_value),
        ("set /x to 01", at_value),
        ("set /x to 1_000", at_value),
        ("set /x to 1,000", at_value),
        ("set /x to 0x10", at_value),
        ("set /x to +5", at_value),
        ("set /x to .5", at_value),
        ("set /x to 5.", at_value),
        ("set /x to -.5e", at_value),
        ("set /x to 12 monkeys", at_value),
        ("set /x to None", &["line 1, column 11", "write \"None\""]),
        ("set /x to True", at_value),
        ("set /x to FALSE;", at_value),
        ("set /x to true.", at_value),
        ("set /x to true; tagg b", at_value),
        ("set /x to NaN", at_value),
        ("set /x to -Infinity", at_value),
        ("set /x to nil", at_value),
        (
            "set /x to “smart”",
            &["line 1, column 11: “ is not a JSON quote", "\"smart\""],
        ),
        ("describe as „smart“", &["line 1, column 13: „"]),
        ("set model of agent a to ‘m’", &["line 1, column 25: ‘"]),
        (
            "set /x to 'single'",
            &["line 1, column 11: '", "\"single\""],
        ),
        ("tag “x”", &["line 1, column 5: “"]),
        ("rename agent a to “b”", &["line 1, column 19: “"]),
        ("add “x” to /tags", &["line 1, column 5: “"]),
        ("add None to /tags", &["line 1, column 5", "write \"None\""]),
        ("add {a} to /tags", &["line 1, column 6"]),
        ("add \"a\" b to /tags", &["line 1, column 8"]),
    ]);
    // An unquoted `<text>` is always a text.
    for (text, stored) in [
        ("5", "5"),
        ("None of it", "None of it"),
        ("{role}: act", "{role}: act"),
        ("[INST] act", "[INST] act"),
        ("\"5\"", "5"),
        ("\"a\\n\\u00e4\\\"\"", "a\nä\""),
    ] {
        assert_eq!(
            sentences(&format!("set prompt of agent a to {text}")),
            [prompt(stored)]
        );
    }
}

#[test]
fn quoted_text_is_data() {
    let nasty = "Be kind.\ntag x; remove /y\n```\n[]\n```\nset /z to 1";
    let quoted = json::emit(&Doc::from(nasty));
    for value in [
        quoted.clone(),
        format!("<<END\n{nasty}\nEND"),
        format!("<<a-1_B  \n{nasty}\na-1_B"),
    ] {
        let text = format!("set prompt of agent a to {value}\n; untag w");
        assert_eq!(
            sentences(&text),
            [prompt(nasty), Sentence::Untag { name: "w".into() }]
        );
        let text = format!("add {value}\nto /list; tag q");
        assert_eq!(
            sentences(&text),
            [
                Sentence::Add {
                    value: nasty.into(),
                    pointer: "/list".into()
                },
                tag("q")
            ]
        );
    }
    let text = format!("set /x to {{\"a\": [{quoted}]}}; tag q");
    let value = format!("{{\"a\":[{quoted}]}}");
    assert_eq!(sentences(&text), [set("/x", &value), tag("q")]);
    // Names and pointers, and quotes within quotes.
    assert_eq!(
        sentences("tag \"“x”\"; tag \"'y'\""),
        [tag("“x”"), tag("'y'")]
    );
    assert_eq!(
        sentences(
            "rename agent \"a to b; tag x\" to \"c; tag y\"; set \"/a; tag z to 1\" to 2; remove \"/a\\nb\""
        ),
        [
            Sentence::Rename {
                from: "a to b; tag x".into(),
                to: "c; tag y".into()
            },
            set("/a; tag z to 1", "2"),
            Sentence::Remove {
                pointer: "/a\nb".into()
            },
        ]
    );
    // Blocks keep every byte between their first and last line.
    for (block, stored) in [
        ("<<END\nEND", ""),
        ("<<END\n\nEND", ""),
        ("<<END\n\n\nEND", "\n"),
        ("<<END\n  a  \n END\nEND \nEND", "  a  \n END\nEND "),
        ("<<END\r\na\r\nb\r\nEND\r\n", "a\r\nb"),
        ("<<END\na\r\nEND", "a\r"),
    ] {
        assert_eq!(
            sentences(&format!("set prompt of agent a to {block}")),
            [prompt(stored)]
        );
    }
    assert_refused(&[
        (
            "set /x to <<END\ntag x",
            &[
                "line 1, column 11",
                "<<END has no end",
                "a line that is END",
            ],
        ),
        ("set /x to <<END", &["has no end"]),
        ("set /x to <<END\nEND; tag x", &["has no end"]),
        (
            "set /x to <<END now\nEND",
            &["line 1, column 11", "a word must end its line"],
        ),
        ("set /x to << a", &["a word must end its line"]),
        (
            "set /x to Use <<END\ntag x\nEND",
            &["line 1, column 20", "must be the whole value"],
        ),
        (
            "describe as He said \"a; tag x\nand more\"",
            &["line 1, column 25", "between quotes"],
        ),
        ("describe as Run `a; remove /x` twice", &["between quotes"]),
    ]);
}

#[test]
fn what_is_no_sentence_refuses_the_whole_intent() {
    assert_refused(&[
        ("", &["not understood: \"\" (line 1, column 1)"]),
        (" ;\n", &["not understood: \"\""]),
        (
            "hello",
            &[
                "not understood: \"hello\" (line 1, column 1)",
                "understood are: set <pointer>",
            ],
        ),
        (
            "please do\ntag a",
            &["not understood: \"please do\" (line 1, column 1)"],
        ),
        (
            "tag a\nplease do\ntag b",
            &["not understood: \"please do\" (line 2, column 1)"],
        ),
        (
            "tag a and b",
            &["not understood: \"tag a and b\"", "stands in double quotes"],
        ),
        (
            "tag a; tag \"b",
            &["(line 1, column 8: ", "ends inside a string"],
        ),
        ("tag \"a\" b", &["not understood"]),
        ("tag \"\"", &["not understood"]),
        ("set x to 5", &["a pointer begins with /"]),
        ("set /x to", &["not understood"]),
        ("set /x to ", &["line 1, column 11: a value is missing"]),
        (
            "set /x to ; tag x",
            &["line 1, column 11: a value is missing"],
        ),
        ("set /a~2 to 5", &["line 1, column 5", "~0"]),
        (
            "remove everything",
            &["not understood: \"remove everything\""],
        ),
        ("remove \"x\"", &["not understood"]),
        ("rename agent a", &["not understood"]),
        ("add to /x", &["not understood"]),
        ("describe as", &["not understood"]),
        ("set prompt of agent a", &["not understood"]),
    ]);
    let long = "ä".repeat(20_000);
    assert_refused(&[(&long, &[&format!("\"{}...\"", "ä".repeat(120))])]);
}

#[test]
fn bare_texts_end_where_a_sentence_follows() {
    assert_eq!(
        sentences("set prompt of agent a to One; two\nthree;;\n tag x"),
        [prompt("One; two\nthree"), tag("x")]
    );
    assert_eq!(
        sentences("set prompt of agent a to Be brief; tag everything you see"),
        [prompt("Be brief; tag everything you see")]
    );
    assert_eq!(
        sentences("SET  /a b  TO  c to d\r\nAdd e to /f to /g h\r\nReMove /i"),
        [
            set("/a b", "\"c to d\""),
            Sentence::Add {
                value: "e to /f".into(),
                pointer: "/g h".into()
            },
            Sentence::Remove {
                pointer: "/i".into()
            },
        ]
    );
    assert_eq!(
        sentences("rename agent a b to c d; set model of agent x y to z"),
        [
            Sentence::Rename {
                from: "a b".into(),
                to: "c d".into()
            },
            Sentence::Profile {
                field: "model",
                agent: "x y".into(),
                text: "z".into()
            },
        ]
    );
}
