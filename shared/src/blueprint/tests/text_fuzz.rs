//! Arbitrary text gives a document or an error, never a panic.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::blueprint::tests::samples;
use crate::blueprint::yaml::{self, Format};
use crate::blueprint::{MAX_LEVELS, json, measure};

/// Tokens of YAML and JSON.
const TOKENS: &[&str] = &[
    "a",
    "b: ",
    "c:",
    "- ",
    "-",
    "? ",
    ": ",
    ", ",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "\n  ",
    "\n    ",
    "\n- ",
    "\n\t",
    " ",
    "#",
    " # x",
    "|",
    "|-\n",
    "|2+\n",
    ">",
    ">-\n",
    "'",
    "\"",
    "\\",
    "\\x4",
    "\\u00e9",
    "\\ud83d",
    "&x ",
    "*x",
    "!",
    "!!str ",
    "!<",
    "%YAML 1.2\n",
    "%TAG ! x\n",
    "---",
    "---\n",
    "...",
    "...\n",
    "<<: ",
    "1",
    "-0",
    "1e9",
    "9223372036854775808",
    ".inf",
    "true",
    "null",
    "~",
    "\r",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\u{0}",
    "é",
    "😀",
    "@",
    "`",
    "=",
];

proptest! {
    #![proptest_config(crate::blueprint::tests::cases(400))]

    #[test]
    fn any_tokens(tokens in vec(proptest::sample::select(TOKENS), 0..40)) {
        check(&tokens.concat())?;
    }

    #[test]
    fn any_text(text in samples::text()) {
        check(&text)?;
    }

    #[test]
    fn damaged_documents(doc in samples::document(), at in any::<prop::sample::Index>(), token in proptest::sample::select(TOKENS)) {
        for text in [yaml::emit(&doc).unwrap(), json::emit(&doc)] {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            if !boundaries.is_empty() {
                let (head, tail) = text.split_at(boundaries[at.index(boundaries.len())]);
                check(&format!("{head}{token}{tail}"))?;
                check(&format!("{head}{token}"))?;
            }
        }
    }
}

/// Parses `text` in every format. A parsed document can be written, and all readers agree on it.
fn check(text: &str) -> Result<(), TestCaseError> {
    for format in [Format::Auto, Format::Yaml] {
        if let Ok(doc) = yaml::parse_as(text, format) {
            prop_assert!(measure::levels(&doc) <= MAX_LEVELS);
            let canonical = yaml::emit(&doc).unwrap();
            prop_assert!(
                yaml::read_canonical(&canonical).unwrap().identical(&doc),
                "{text:?}"
            );
        }
    }
    if let Some(doc) = yaml::read_canonical(text) {
        prop_assert_eq!(yaml::emit(&doc).unwrap(), text);
        let any =
            yaml::parse_any(text).map_err(|e| TestCaseError::fail(format!("{e}\n{text:?}")))?;
        prop_assert!(any.identical(&doc), "{text:?}");
    }
    if let Ok(doc) = json::parse(text) {
        prop_assert!(
            json::parse(&json::emit(&doc)).unwrap().identical(&doc),
            "{text:?}"
        );
    }
    Ok(())
}
