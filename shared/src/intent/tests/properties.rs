//! Property tests with generated texts and intents.

use crate::blueprint::{Doc, json};
use proptest::prelude::*;

use crate::intent::sentence::Sentence;
use crate::intent::tests::prompt;
use crate::intent::{Intent, read};

/// Texts made of the elements of the language.
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

/// Returns `text` as a JSON string, or as a block, which a newline must follow.
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

/// A sentence with quoted data, and its expected parsed form.
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
