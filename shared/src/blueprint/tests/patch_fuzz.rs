//! Arbitrary pointers and patches: each is applied or rejected with the failed operation. The
//! document stays within its limits, and the original is unchanged.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::blueprint::doc::Doc;
use crate::blueprint::pointer::{self, InvalidPointer, Pointer};
use crate::blueprint::tests::samples::document;
use crate::blueprint::{MAX_LEVELS, json, measure, patch};

const TOKENS: &[&str] = &[
    "/",
    "~",
    "~0",
    "~1",
    "~2",
    "a",
    "id",
    "agents",
    "0",
    "01",
    "-",
    "-1",
    "18446744073709551616",
    "é",
    " ",
    "\u{0}",
];

fn pointer_text() -> impl Strategy<Value = String> {
    prop_oneof![
        vec(proptest::sample::select(TOKENS), 0..8).prop_map(|tokens| tokens.concat()),
        "\\PC{0,20}",
    ]
}

/// Generates a member of an operation: a valid one, or any value.
fn member(good: impl Strategy<Value = String>) -> impl Strategy<Value = Doc> {
    prop_oneof![
        6 => good.prop_map(|text| Doc::from(text.as_str())),
        1 => document(),
    ]
}

fn operation() -> impl Strategy<Value = Doc> {
    let names = [
        "add",
        "remove",
        "replace",
        "move",
        "copy",
        "test",
        "frobnicate",
        "",
    ];
    let name = proptest::sample::select(names.to_vec()).prop_map(str::to_owned);
    let whole = (
        proptest::option::weighted(0.95, member(name)),
        proptest::option::weighted(0.95, member(pointer_text())),
        proptest::option::weighted(0.8, member(pointer_text())),
        proptest::option::weighted(0.8, document()),
    )
        .prop_map(|(op, path, from, value)| {
            let members = [("op", op), ("path", path), ("from", from), ("value", value)];
            let there = members
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)));
            Doc::object(there)
        });
    prop_oneof![8 => whole, 1 => document()]
}

proptest! {
    #![proptest_config(crate::blueprint::tests::cases(150))]

    #[test]
    fn a_pointer_is_taken_apart_or_refused(text in pointer_text(), doc in document()) {
        match Pointer::parse(&text) {
            Ok(parsed) => {
                let mut again = String::new();
                for token in parsed.tokens() {
                    pointer::push_key(&mut again, token);
                }
                prop_assert_eq!(&again, &text);
                let _ = parsed.get(&doc);
            }
            Err(InvalidPointer::NoSlash) => prop_assert!(!text.is_empty() && !text.starts_with('/')),
            Err(InvalidPointer::Escape) => prop_assert!(text.contains('~')),
        }
    }

    #[test]
    fn a_patch_is_applied_or_refused_whole(doc in document(), ops in vec(operation(), 0..6)) {
        let before = json::emit(&doc);
        let count = ops.len();
        match patch::apply(&doc, &Doc::array(ops)) {
            Ok(after) => prop_assert!(measure::levels(&after) <= MAX_LEVELS),
            Err(patch::PatchError::Op { index, .. }) => prop_assert!(index < count),
            Err(other) => prop_assert!(false, "{other}"),
        }
        prop_assert_eq!(json::emit(&doc), before, "the original is left alone");
    }

    #[test]
    fn what_is_no_array_is_no_patch(doc in document(), ops in document()) {
        let is_array = ops.as_array().is_some();
        if let Err(patch::PatchError::NotAnArray { .. }) = patch::apply(&doc, &ops) {
            prop_assert!(!is_array);
        } else {
            prop_assert!(is_array);
        }
    }
}
