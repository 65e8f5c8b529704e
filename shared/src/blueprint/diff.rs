//! Differences between two documents: as a JSON patch, and as a unified diff.

use std::time::Duration;

use similar::TextDiff;

use crate::blueprint::doc::Doc;
use crate::blueprint::{patch, pointer};

/// The time limit for a minimal diff. After it, the diff is correct but longer.
const UNIFIED_PATIENCE: Duration = Duration::from_millis(500);

/// Returns an RFC 6902 patch that changes `from` to exactly `to`, including `1` in place of `1.0`.
/// It is empty if they are identical. It is small but not always minimal.
pub fn json_patch(from: &Doc, to: &Doc) -> Doc {
    let mut ops = Vec::new();
    compare(from, to, &mut String::new(), &mut ops);
    let ops = Doc::array(ops);
    // A patch with too many operations, or with a large intermediate document, is invalid.
    // Replacing the whole document is always valid.
    match patch::apply(from, &ops) {
        Ok(_) => ops,
        Err(_) => Doc::array(vec![op("replace", "", Some(to))]),
    }
}

/// Returns the unified diff of two canonical texts with three lines of context; empty if they are
/// equal.
pub fn unified(from_yaml: &str, to_yaml: &str, from_name: &str, to_name: &str) -> String {
    TextDiff::configure()
        .timeout(UNIFIED_PATIENCE)
        .diff_lines(from_yaml, to_yaml)
        .unified_diff()
        .context_radius(3)
        .header(from_name, to_name)
        .to_string()
}

fn compare(from: &Doc, to: &Doc, path: &mut String, ops: &mut Vec<Doc>) {
    if from.identical(to) {
        return;
    }
    match (from, to) {
        (Doc::Object(old), Doc::Object(new)) => {
            // Operations that shrink the document come first.
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                at_key(path, key, |path| ops.push(op("remove", path, None)));
            }
            for (key, old) in old.iter() {
                if let Some(new) = new.get(key) {
                    at_key(path, key, |path| compare(old, new, path, ops));
                }
            }
            for (key, new) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                at_key(path, key, |path| ops.push(op("add", path, Some(new))));
            }
        }
        (Doc::Array(old), Doc::Array(new)) => compare_arrays(old, new, path, ops),
        _ => ops.push(op("replace", path, Some(to))),
    }
}

/// Keeps the common prefix and suffix, compares the elements between in pairs, and removes or adds
/// the rest.
fn compare_arrays(old: &[Doc], new: &[Doc], path: &mut String, ops: &mut Vec<Doc>) {
    let prefix = old
        .iter()
        .zip(new)
        .take_while(|(a, b)| a.identical(b))
        .count();
    let (old, new) = (&old[prefix..], &new[prefix..]);
    let suffix = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a.identical(b))
        .count();
    let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
    let paired = old.len().min(new.len());
    for index in (paired..old.len()).rev() {
        at_index(path, prefix + index, |path| {
            ops.push(op("remove", path, None))
        });
    }
    for index in 0..paired {
        at_index(path, prefix + index, |path| {
            compare(&old[index], &new[index], path, ops)
        });
    }
    for (index, item) in new.iter().enumerate().skip(paired) {
        at_index(path, prefix + index, |path| {
            ops.push(op("add", path, Some(item)))
        });
    }
}

fn at_key(path: &mut String, key: &str, body: impl FnOnce(&mut String)) {
    let length = path.len();
    pointer::push_key(path, key);
    body(path);
    path.truncate(length);
}

fn at_index(path: &mut String, index: usize, body: impl FnOnce(&mut String)) {
    let length = path.len();
    pointer::push_index(path, index);
    body(path);
    path.truncate(length);
}

fn op(name: &str, path: &str, value: Option<&Doc>) -> Doc {
    let mut members = vec![("op", Doc::from(name)), ("path", Doc::from(path))];
    members.extend(value.map(|value| ("value", value.clone())));
    Doc::object(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::json;

    fn patch_text(from: &str, to: &str) -> String {
        let (from, to) = (json::parse(from).unwrap(), json::parse(to).unwrap());
        let ops = json_patch(&from, &to);
        assert!(patch::apply(&from, &ops).unwrap().identical(&to));
        json::emit(&ops)
    }

    #[test]
    fn names_only_what_differs() {
        assert_eq!(patch_text(r#"{"a":1}"#, r#"{"a":1}"#), "[]");
        assert_eq!(
            patch_text(
                r#"{"a":1,"b":{"c":2,"x/y":0}}"#,
                r#"{"b":{"c":3,"x/y":0},"d":null}"#
            ),
            r#"[{"op":"remove","path":"/a"},{"op":"replace","path":"/b/c","value":3},{"op":"add","path":"/d","value":null}]"#
        );
        assert_eq!(
            patch_text("[1,2,3,4]", "[1,3,4]"),
            r#"[{"op":"remove","path":"/1"}]"#
        );
        assert_eq!(
            patch_text("[1,4]", "[1,2,3,4]"),
            r#"[{"op":"add","path":"/1","value":2},{"op":"add","path":"/2","value":3}]"#
        );
    }

    #[test]
    fn keeps_integers_and_floats_apart() {
        assert_eq!(
            patch_text("[1]", "[1.0]"),
            r#"[{"op":"replace","path":"/0","value":1.0}]"#
        );
        assert_eq!(
            patch_text("[0.0]", "[-0.0]"),
            r#"[{"op":"replace","path":"/0","value":-0.0}]"#
        );
    }

    #[test]
    fn replaces_the_whole_when_that_is_the_only_patch_allowed() {
        let numbers = |from: i64| Doc::array((from..from + 10_001).map(Doc::from).collect());
        let (from, to) = (numbers(0), numbers(20_000));
        let ops = json_patch(&from, &to);
        assert_eq!(ops.as_array().unwrap().len(), 1);
        assert!(patch::apply(&from, &ops).unwrap().identical(&to));
    }

    #[test]
    fn shows_lines_with_context() {
        let text = unified("a: 1\nb: 2\n", "a: 1\nb: 3\n", "old", "new");
        assert_eq!(
            text,
            "--- old\n+++ new\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"
        );
        assert_eq!(unified("a: 1\n", "a: 1\n", "old", "new"), "");
    }
}
