//! Compares patches and differences with the crate json-patch.
//!
//! The crate compares 1 and 1.0 incorrectly in `test`, and panics when it undoes some patches. So
//! the documents here have no numbers that are equal but not identical, and the crate gets its own
//! copy.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::blueprint::doc::Doc;
use crate::blueprint::tests::samples::document;
use crate::blueprint::{diff, patch};

/// Generates documents with few names, so that pointers often match.
fn small() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(1)),
        Just(json!("x")),
        Just(json!([])),
        Just(json!({}))
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec(
                (
                    proptest::sample::select(vec!["a", "b", "0", "-", "x/y"]),
                    inner
                ),
                0..4
            )
            .prop_map(|members| members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

fn pointer() -> impl Strategy<Value = String> {
    let token = proptest::sample::select(vec!["a", "b", "0", "1", "2", "01", "-", "x~1y"]);
    vec(token, 0..4).prop_map(|tokens| tokens.iter().map(|token| format!("/{token}")).collect())
}

fn operation() -> impl Strategy<Value = Value> {
    let name = proptest::sample::select(vec!["add", "remove", "replace", "move", "copy", "test"]);
    (name, pointer(), pointer(), small()).prop_map(
        |(name, path, from, value)| json!({"op": name, "path": path, "from": from, "value": value}),
    )
}

/// Returns false where the crate deviates: it reads "/-" in `from` as the last element. It also
/// rejects a move of the whole document, or of a value to its own position.
fn the_crate_is_right(op: &Value) -> bool {
    let text = |member: &str| op[member].as_str().unwrap_or_default();
    match text("op") {
        "move" => {
            !text("from").is_empty()
                && !text("from").ends_with("/-")
                && text("from") != text("path")
        }
        "copy" => !text("from").ends_with("/-"),
        _ => true,
    }
}

proptest! {
    #![proptest_config(crate::blueprint::tests::cases(600))]

    #[test]
    fn agrees_with_the_crate(before in small(), ops in vec(operation().prop_filter("odd", the_crate_is_right), 1..4)) {
        let ops = Value::Array(ops);
        let ours = patch::apply(&Doc::try_from(&before).unwrap(), &Doc::try_from(&ops).unwrap());
        let theirs: json_patch::Patch = serde_json::from_value(ops.clone()).unwrap();
        let theirs = catch_unwind(AssertUnwindSafe(|| {
            let mut after = before.clone();
            json_patch::patch(&mut after, &theirs).map(|()| after)
        }));
        match theirs {
            Ok(Ok(after)) => {
                let ours = ours.map_err(|error| TestCaseError::fail(format!("{before} {ops}: {error}")))?;
                prop_assert_eq!(Value::from(&ours), after, "{} {}", before, ops);
            }
            Ok(Err(_)) | Err(_) => prop_assert!(ours.is_err(), "{before} {ops}: {ours:?}"),
        }
    }

    #[test]
    fn a_difference_leads_there_exactly(from in document(), to in document()) {
        let ops = diff::json_patch(&from, &to);
        prop_assert!(patch::apply(&from, &ops).unwrap().identical(&to));
        prop_assert_eq!(diff::json_patch(&to, &to), Doc::array(vec![]));
    }

    #[test]
    fn the_crate_goes_where_a_difference_leads(from in document(), to in document()) {
        let ops = Value::from(&diff::json_patch(&from, &to));
        let ops: json_patch::Patch = serde_json::from_value(ops).unwrap();
        let mut there = Value::from(&from);
        json_patch::patch(&mut there, &ops).unwrap();
        prop_assert_eq!(there, Value::from(&to));
    }

    #[test]
    fn what_a_patch_changed_the_difference_finds(before in small(), ops in vec(operation(), 1..4)) {
        let before = Doc::try_from(&before).unwrap();
        if let Ok(after) = patch::apply(&before, &Doc::try_from(Value::Array(ops)).unwrap()) {
            let there = diff::json_patch(&before, &after);
            prop_assert!(patch::apply(&before, &there).unwrap().identical(&after));
            let back = diff::json_patch(&after, &before);
            prop_assert!(patch::apply(&after, &back).unwrap().identical(&before));
        }
    }
}
