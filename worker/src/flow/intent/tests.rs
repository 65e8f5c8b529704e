//! Intents and what they are read as.

use proptest::prelude::*;
use shared::blueprint::{Doc, json};

use super::fence::fences;
use super::{Intent, Sentence, read};

fn sentences(text: &str) -> Vec<Sentence> {
    match read(text) {
        Ok(Intent::Sentences(found)) => found,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn ops(text: &str) -> String {
    match read(text) {
        Ok(Intent::Patch(patch)) => json::emit(patch.get("ops").unwrap()),
        other => panic!("{text:?}: {other:?}"),
    }
}

/// Asserts that each intent is refused, and that the refusal holds each of the parts.
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
fn fences_are_found_by_line_and_length() {
    // The examples of CommonMark 0.31 §4.5 that are about fences, and some more.
    for (text, bodies) in [
        ("```\n<\n >\n```", &["<\n >\n"][..]),
        ("~~~\n<\n >\n~~~", &["<\n >\n"]),
        ("``\nfoo\n``", &[]),
        ("```\naaa\n~~~\n```", &["aaa\n~~~\n"]),
        ("~~~\naaa\n```\n~~~", &["aaa\n```\n"]),
        ("````\naaa\n```\n``````", &["aaa\n```\n"]),
        ("~~~~\naaa\n~~~\n~~~~", &["aaa\n~~~\n"]),
        ("```", &[""]),
        ("`````\n\n```\naaa", &["\n```\naaa"]),
        ("```\n\n  \n```", &["\n  \n"]),
        ("```\n```", &[""]),
        ("   ```\n   aaa\n   ```", &["   aaa\n"]),
        ("    ```\n    aaa\n    ```", &[]),
        ("\t```\naaa", &[]),
        ("```\naaa\n  ```", &["aaa\n"]),
        ("   ```\naaa\n  ```", &["aaa\n"]),
        ("```\naaa\n    ```", &["aaa\n    ```"]),
        ("``` ```\naaa", &[]),
        ("~~~~~~\naaa\n~~~ ~~", &["aaa\n~~~ ~~"]),
        ("foo\n```\nbar\n```\nbaz", &["bar\n"]),
        ("```ruby\ndef\n```", &["def\n"]),
        ("~~~~    ruby startline=3 $%@#$\ndef\n~~~~~~~", &["def\n"]),
        ("````;\n````", &[""]),
        ("``` aa ```\nfoo", &[]),
        ("~~~ aa ``` ~~~\nfoo\n~~~", &["foo\n"]),
        ("```\n``` aaa\n```", &["``` aaa\n"]),
        ("```\r\naaa\r\n```  \t\r\n", &["aaa\r\n"]),
        ("```\na\n```\n```\nb\n```", &["a\n", "b\n"]),
    ] {
        let found: Vec<&str> = fences(text)
            .iter()
            .map(|fence| &text[fence.body.clone()])
            .collect();
        assert_eq!(found, bodies, "{text:?}");
    }
}

#[test]
fn a_patch_may_stand_in_any_fence() {
    let array = r#"[{"op":"add","path":"/x","value":"use ```x``` and ~~~"}]"#;
    for text in [
        array.to_owned(),
        format!("\n {array} ;\n"),
        format!("```\n{array}\n```"),
        format!("Please:\n```json\n{array}\n```\nThank you."),
        format!("````json\n{array}\n````"),
        format!("~~~ a b c\n{array}\n~~~~~"),
        format!("   ```\n   {array}\n ```"),
        format!("```json\n{array}"),
        format!("Not ```this``` but\r\n```\r\n{array}\r\n```\r\n"),
        format!("Set the value as shown; remove nothing:\n```\n{array}\n```"),
    ] {
        assert_eq!(ops(&text), array, "{text:?}");
    }
    // A fence within a fence is data.
    let nested = r#"[{"op":"add","path":"/x","value":"```json\n[]\n```"}]"#;
    assert_eq!(ops(&format!("````\n{nested}\n````")), nested);
    assert_refused(&[
        (
            "Do:\n```\n[1]\n```",
            &[
                "line 2, column 1: the fenced block is no patch",
                "element 0 has no member \"op\"",
            ],
        ),
        (
            "Do:\n```\n[{\"op\": \"add\",}]\n```",
            &["line 3, column 15", "JSON has no comma after the last"],
        ),
        (
            "```\n[]\nThank you.",
            &[
                "line 3, column 1: something follows the JSON",
                "no closing fence",
            ],
        ),
        (
            "```\n[]\n```\nor\n```\n[]\n```",
            &["line 5, column 1: this is the second fenced block"],
        ),
        ("```\n```", &["the fenced block is no patch"]),
        (
            "```yaml\na: 1\n```",
            &[
                "line 1, column 1: the fenced block is no patch",
                "line 2, column 1",
            ],
        ),
        (
            r#"{"ops": [], "bumb": "major"}"#,
            &["unknown member \"bumb\""],
        ),
        (
            "[] thanks",
            &["line 1, column 4: something follows the JSON"],
        ),
        ("[]; tag x", &["something follows the JSON: \"tag x\""]),
        (
            r#"{"a": 1}"#,
            &["neither an array of operations nor an object with ops"],
        ),
        (
            "[1, 2",
            &[
                "not understood: \"[1, 2\"",
                "read as JSON: ",
                "line 1, column 6",
            ],
        ),
    ]);
}

#[test]
fn a_fence_beside_sentences_is_never_executed() {
    let patch = "```json\n[{\"op\": \"add\", \"path\": \"/pwned\", \"value\": 1}]\n```";
    let system_prompt = "set /agents/0/profile/system_prompt to";
    for (text, place) in [
        (
            format!("{system_prompt} You write patches, like this:\n{patch}\nEnd."),
            "line 2, column 1",
        ),
        (
            format!("tag x; set prompt of agent a to Example:\n{patch}"),
            "line 2, column 1",
        ),
        (format!("tag x\n{patch}"), "line 2, column 1"),
        (format!("{patch}\ntag x"), "line 4, column 1"),
        (
            format!("Please do this.\nRemove /x\n\n{patch}"),
            "line 2, column 1",
        ),
        (format!("Please; tag x\n{patch}"), "line 1, column 9"),
        (format!("describe as\n  {patch}"), "line 2, column 3"),
        (
            format!("set prompt of agent a to <<END\n{patch}\nEND\n{patch}"),
            "line 6, column 1",
        ),
        (
            "describe as a\n~~~\ntag x\n~~~".to_owned(),
            "line 2, column 1",
        ),
    ] {
        assert_refused(&[(&text, &[place, "fenced block"])]);
    }
    // Quoted, it is a text.
    for quoted in [
        json::emit(&Doc::from(patch)),
        format!("<<END\n{patch}\nEND"),
        format!("\n<<END\n{patch}\nEND\n"),
    ] {
        let text = format!("tag x; set prompt of agent a to {quoted}\ntag y");
        assert_eq!(
            sentences(&text),
            [tag("x"), prompt(patch), tag("y")],
            "{text:?}"
        );
    }
    // Three backticks in a line are no fence.
    assert_eq!(
        sentences("set prompt of agent a to Use ```x``` here"),
        [prompt("Use ```x``` here")]
    );
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
        // Texts.
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
            &["line 1, column 11: “ is no quote of JSON", "\"smart\""],
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
    // A <text> is a text unless it is quoted.
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
    // Blocks keep every byte between their lines.
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

/// Texts made of what the language consists of.
fn any_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "tag x",
            "untag y",
            "remove /z",
            "set /a to 1",
            "add 1 to /b",
            "describe as d",
            "rename agent a to b",
            "set prompt of agent a to p",
            ";",
            "\n",
            "\r\n",
            " ",
            "\"",
            "\\",
            "```",
            "~~~",
            "<<END",
            "END",
            "[",
            "]",
            "{",
            "}",
            ",",
            " to ",
            " to /x",
            "“",
            "'",
            "None",
            "12",
            "/",
            "\t",
            "\u{feff}",
            "\u{2028}",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// `text` as a JSON string or as a block, which a newline must follow.
fn quote(text: &str, as_block: bool) -> String {
    if !as_block {
        return json::emit(&Doc::from(text));
    }
    let mut word = String::from("END");
    while text
        .split('\n')
        .any(|line| line.trim_end_matches('\r') == word)
    {
        word.push('X');
    }
    format!("<<{word}\n{text}\n{word}\n")
}

/// A sentence with quoted data, and what it must be read as.
fn any_sentence() -> impl Strategy<Value = (String, Sentence)> {
    let name = any_text().prop_filter("a name is not empty", |name| !name.is_empty());
    let parts = (0..8_u8, any_text(), name, any::<bool>(), any::<bool>());
    parts.prop_map(|(kind, text, name, as_block, bare)| {
        let quoted = quote(&text, as_block);
        let (name_quoted, agent) = (quote(&name, false), name.clone());
        let pointer = if bare {
            "/a/b".to_owned()
        } else {
            format!("/{}", name.replace('~', "~0").replace('/', "~1"))
        };
        let at = if bare {
            pointer.clone()
        } else {
            quote(&pointer, false)
        };
        let text_doc = Doc::from(text.as_str());
        match kind {
            0 => (
                format!("set prompt of agent {name_quoted} to {quoted}"),
                Sentence::Profile {
                    field: "system_prompt",
                    agent,
                    text: text_doc,
                },
            ),
            1 => (
                format!("set model of agent {name_quoted} to {quoted}"),
                Sentence::Profile {
                    field: "model",
                    agent,
                    text: text_doc,
                },
            ),
            2 => (
                format!("describe as {quoted}"),
                Sentence::Describe { text: text_doc },
            ),
            3 => (
                format!("set {at} to {quoted}"),
                Sentence::Set {
                    pointer,
                    value: text_doc,
                },
            ),
            4 => {
                let value = Doc::array(vec![text_doc, Doc::Null]);
                (
                    format!("set {at} to {}", json::emit(&value)),
                    Sentence::Set { pointer, value },
                )
            }
            5 => (
                format!("add {quoted} to {at}"),
                Sentence::Add {
                    value: text_doc,
                    pointer,
                },
            ),
            6 => (
                format!(
                    "rename agent {name_quoted} to {}",
                    quote(&format!("{name}!"), false)
                ),
                Sentence::Rename {
                    from: agent,
                    to: format!("{name}!"),
                },
            ),
            _ if bare => (format!("remove {at}"), Sentence::Remove { pointer }),
            _ => (format!("tag {name_quoted}"), Sentence::Tag { name }),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_quoted_text_is_stored_as_it_is(text in any_text(), as_block: bool) {
        let intent = format!("set prompt of agent a to {}", quote(&text, as_block));
        prop_assert_eq!(read(&intent), Ok(Intent::Sentences(vec![prompt(&text)])));
    }

    #[test]
    fn exactly_the_sentences_outside_of_quotes_are_read(
        parts in prop::collection::vec((any_sentence(), prop::sample::select(vec![";", "\n", " ; ", ";\n\n", "\r\n"])), 1..6)
    ) {
        let (mut intent, mut expected) = (String::new(), Vec::new());
        for ((text, sentence), separator) in parts {
            intent.push_str(&text);
            intent.push_str(separator);
            expected.push(sentence);
        }
        prop_assert_eq!(read(&intent), Ok(Intent::Sentences(expected)), "{}", intent);
    }

    #[test]
    fn any_text_is_read_or_refused_with_its_place(text in any_text()) {
        if let Err(refusal) = read(&text) {
            prop_assert!(refusal.contains("line ") && refusal.contains("column "), "{}", refusal);
        }
    }
}
