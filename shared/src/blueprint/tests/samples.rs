//! Random documents with many edge cases of readers and writers.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::blueprint::doc::{Doc, Num};

/// Texts that YAML can misread, and characters with a special meaning in YAML.
const FRAGMENTS: &[&str] = &[
    "",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r",
    "\r\n",
    "\t",
    "null",
    "~",
    "true",
    "yes",
    "on",
    "No",
    "1",
    "-1",
    "+1",
    "012",
    "0x1F",
    "0o17",
    "0b11",
    "1e3",
    "1e400",
    "-1e999",
    ".5",
    "1.",
    ".inf",
    "-.INF",
    ".nan",
    "+.nan",
    "1_000",
    "12:30",
    "2026-01-01",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999999999999999999999999999",
    "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "- a",
    "-",
    "--- ",
    "---",
    "...",
    "? a",
    "?",
    ": ",
    ":",
    "a: b",
    "a:",
    "#x",
    " #x",
    "x #y",
    "!tag",
    "!!str x",
    "&a",
    "*a",
    "<<",
    "=",
    "%YAML 1.2",
    "@x",
    "`x",
    "'",
    "\"",
    "''",
    "\\",
    "\\n",
    "[",
    "]",
    "{",
    "}",
    "[]",
    "{}",
    ",",
    "|",
    ">",
    "|-",
    "> x",
    "\u{0}",
    "\u{1}",
    "\u{7}",
    "\u{8}",
    "\u{b}",
    "\u{c}",
    "\u{1b}",
    "\u{7f}",
    "\u{80}",
    "\u{85}",
    "\u{9f}",
    "\u{a0}",
    "\u{2028}",
    "\u{2029}",
    "\u{200b}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{feff}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10000}",
    "\u{1f600}",
    "\u{10ffff}",
    "é",
    "日本",
    "word",
    "two words",
    "a\nb",
    "a\n  b\n",
    "  a\nb",
    "\ta",
    "a\t",
    "a ",
    " a",
];

/// Generates text of a few fragments, any text, or a very long line.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(FRAGMENTS).prop_map(str::to_owned),
        8 => vec(proptest::sample::select(FRAGMENTS), 2..6).prop_map(|parts| parts.concat()),
        2 => any::<String>(),
        2 => vec(any::<char>(), 0..6).prop_map(|characters| characters.into_iter().collect()),
        2 => "[ -~\n\t]{0,40}",
        1 => ("[a-z :#'-]{1,8}", 20usize..400).prop_map(|(part, times)| part.repeat(times)),
    ]
}

fn number() -> impl Strategy<Value = Num> {
    prop_oneof![
        any::<i64>().prop_map(Num::Int),
        proptest::sample::select(vec![
            i64::MIN,
            i64::MAX,
            0,
            -1,
            1 << 53,
            (1 << 53) + 1,
            (1 << 60) + 1
        ])
        .prop_map(Num::Int),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Num::Float),
        proptest::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            1e21,
            1e16,
            1e-7,
            0.1,
            5e-324,
            f64::MAX,
            f64::MIN,
            9_007_199_254_740_993.0
        ])
        .prop_map(Num::Float),
    ]
}

fn scalar() -> impl Strategy<Value = Doc> {
    prop_oneof![
        1 => Just(Doc::Null),
        1 => any::<bool>().prop_map(Doc::Bool),
        3 => number().prop_map(Doc::Num),
        6 => text().prop_map(Doc::from),
    ]
}

/// Generates any document, a few levels deep.
pub(super) fn document() -> impl Strategy<Value = Doc> {
    scalar().prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Doc::array),
            btree_map(text(), inner, 0..5).prop_map(Doc::object),
        ]
    })
}
