//! RFC 6902 cases that the published suite does not cover.

use crate::blueprint::doc::Doc;
use crate::blueprint::patch::{OpError, PatchError, apply};
use crate::blueprint::tests::doc;

fn after(before: &str, ops: &str) -> Result<Doc, PatchError> {
    let before_doc = doc(before);
    let result = apply(&before_doc, &doc(ops));
    // The original document is unchanged in every case.
    assert!(before_doc.identical(&doc(before)));
    result
}

fn gives(before: &str, ops: &str, expected: &str) {
    let found = after(before, ops).unwrap_or_else(|error| panic!("{before} {ops}: {error}"));
    assert!(found.identical(&doc(expected)), "{before} {ops}: {found:?}");
}

fn fails(before: &str, ops: &str) -> OpError {
    match after(before, ops) {
        Err(PatchError::Op { source, .. }) => source,
        other => panic!("{before} {ops}: {other:?}"),
    }
}

#[test]
fn test_compares_numbers_by_value_and_exactly() {
    gives("[1]", r#"[{"op":"test","path":"/0","value":1.0}]"#, "[1]");
    gives("[1.0]", r#"[{"op":"test","path":"/0","value":1}]"#, "[1.0]");
    gives(
        "[-0.0]",
        r#"[{"op":"test","path":"/0","value":0}]"#,
        "[-0.0]",
    );
    gives(
        r#"{"a":[1,{"b":2.0}]}"#,
        r#"[{"op":"test","path":"","value":{"a":[1.0,{"b":2}]}}]"#,
        r#"{"a":[1,{"b":2.0}]}"#,
    );
    // 2^53 + 1 is not the nearest float.
    let ops = r#"[{"op":"test","path":"/0","value":9007199254740992.0}]"#;
    assert_eq!(fails("[9007199254740993]", ops), OpError::TestFailed);
    assert_eq!(
        fails("[1]", r#"[{"op":"test","path":"/0","value":"1"}]"#),
        OpError::TestFailed
    );
    assert_eq!(
        fails("[null]", r#"[{"op":"test","path":"/0","value":false}]"#),
        OpError::TestFailed
    );
}

#[test]
fn an_index_has_one_form() {
    for token in ["00", "01", "-1", "+1", "1.0", "1e0", " 1", "", "x"] {
        for op in ["add", "replace", "remove", "test"] {
            let ops = format!(r#"[{{"op":"{op}","path":"/{token}","value":9}}]"#);
            let found = fails("[1,2,3]", &ops);
            let expected = matches!(found, OpError::BadIndex { .. } | OpError::PathNotFound);
            assert!(expected, "{op} {token:?}: {found}");
        }
    }
    assert!(matches!(
        fails("[1]", r#"[{"op":"add","path":"/2","value":9}]"#),
        OpError::OutOfBounds {
            index: 2,
            length: 1
        }
    ));
    assert!(matches!(
        fails(
            "[1]",
            r#"[{"op":"add","path":"/99999999999999999999","value":9}]"#
        ),
        OpError::BadIndex { .. }
    ));
    gives("[1]", r#"[{"op":"add","path":"/1","value":9}]"#, "[1,9]");
}

#[test]
fn the_dash_stands_only_where_something_is_added() {
    gives("[1]", r#"[{"op":"add","path":"/-","value":2}]"#, "[1,2]");
    gives(
        "[1,2]",
        r#"[{"op":"move","from":"/0","path":"/-"}]"#,
        "[2,1]",
    );
    gives(
        "[1,2]",
        r#"[{"op":"copy","from":"/0","path":"/-"}]"#,
        "[1,2,1]",
    );
    for op in ["remove", "replace", "test"] {
        let _ = fails(
            "[1]",
            &format!(r#"[{{"op":"{op}","path":"/-","value":1}}]"#),
        );
    }
    for op in ["move", "copy"] {
        assert!(matches!(
            fails(
                "[1]",
                &format!(r#"[{{"op":"{op}","from":"/-","path":"/0"}}]"#)
            ),
            OpError::FromNotFound { .. }
        ));
    }
    let _ = fails("[[1]]", r#"[{"op":"add","path":"/-/0","value":1}]"#);
    gives(r#"{"-":1}"#, r#"[{"op":"remove","path":"/-"}]"#, "{}");
}

#[test]
fn nothing_moves_into_its_own_child() {
    for (from, path) in [("/a", "/a/b"), ("/a", "/a/b/c"), ("", "/a"), ("/a", "/a/-")] {
        let ops = format!(r#"[{{"op":"move","from":"{from}","path":"{path}"}}]"#);
        assert!(
            matches!(
                fails(r#"{"a":{"b":{"c":1}}}"#, &ops),
                OpError::MoveIntoChild { .. }
            ),
            "{from} {path}"
        );
    }
    // A name with a common prefix is another path.
    gives(
        r#"{"a":1,"ab":{}}"#,
        r#"[{"op":"move","from":"/a","path":"/ab/x"}]"#,
        r#"{"ab":{"x":1}}"#,
    );
    gives(
        r#"{"a":1}"#,
        r#"[{"op":"move","from":"/a","path":"/a"}]"#,
        r#"{"a":1}"#,
    );
    gives(
        r#"{"a":[1]}"#,
        r#"[{"op":"move","from":"","path":""}]"#,
        r#"{"a":[1]}"#,
    );
    gives(
        r#"{"a":{"b":1}}"#,
        r#"[{"op":"move","from":"/a/b","path":"/a"}]"#,
        r#"{"a":1}"#,
    );
    assert!(matches!(
        fails("{}", r#"[{"op":"move","from":"/a","path":"/a"}]"#),
        OpError::FromNotFound { .. }
    ));
    // The target is resolved after the removal.
    gives(
        "[0,1,2]",
        r#"[{"op":"move","from":"/0","path":"/2"}]"#,
        "[1,2,0]",
    );
    assert!(matches!(
        fails("[0,1]", r#"[{"op":"move","from":"/0","path":"/2"}]"#),
        OpError::OutOfBounds { .. }
    ));
}

#[test]
fn the_whole_document() {
    gives(
        "[1]",
        r#"[{"op":"replace","path":"","value":null}]"#,
        "null",
    );
    gives("[1]", r#"[{"op":"add","path":"","value":{}}]"#, "{}");
    gives(
        r#"{"a":2}"#,
        r#"[{"op":"copy","from":"/a","path":""}]"#,
        "2",
    );
    gives(
        r#"{"a":2}"#,
        r#"[{"op":"move","from":"/a","path":""}]"#,
        "2",
    );
    gives(
        r#"{"a":2}"#,
        r#"[{"op":"copy","from":"","path":"/b"}]"#,
        r#"{"a":2,"b":{"a":2}}"#,
    );
    assert_eq!(
        fails("{}", r#"[{"op":"remove","path":""}]"#),
        OpError::RemoveRoot
    );
}

#[test]
fn a_failing_patch_changes_nothing_wherever_it_fails() {
    let good = [
        r#"{"op":"add","path":"/a/0","value":0}"#,
        r#"{"op":"remove","path":"/b"}"#,
        r#"{"op":"replace","path":"/c/d","value":[]}"#,
        r#"{"op":"move","from":"/c","path":"/m"}"#,
        r#"{"op":"copy","from":"/a","path":"/k"}"#,
        r#"{"op":"test","path":"/k/0","value":0}"#,
    ];
    let bad = [
        r#"{"op":"test","path":"/a","value":null}"#,
        r#"{"op":"remove","path":"/nowhere"}"#,
        r#"{"op":"replace","path":"/nowhere","value":1}"#,
        r#"{"op":"add","path":"/a/9","value":1}"#,
        r#"{"op":"add","path":"/nowhere/x","value":1}"#,
        r#"{"op":"move","from":"/nowhere","path":"/x"}"#,
        r#"{"op":"move","from":"/a","path":"/a/0"}"#,
        r#"{"op":"move","from":"/a","path":"/nowhere/x"}"#,
        r#"{"op":"copy","from":"/nowhere","path":"/x"}"#,
        r#"{"op":"spam","path":"/a"}"#,
        r#"{"op":"add","path":"/a"}"#,
        r#"{"op":"add","path":"a","value":1}"#,
        r#"{"op":"add","path":"/~","value":1}"#,
        r#"{"op":"add","value":1}"#,
        r#"{"path":"/a"}"#,
        r#"{"op":7,"path":"/a"}"#,
        r#"{"op":"copy","path":"/a"}"#,
        r#"{"op":"copy","path":"/a","from":null}"#,
        "7",
    ];
    for bad in bad {
        for before in 0..=good.len() {
            let ops = [&good[..before], &[bad]].concat().join(",");
            let error = after(
                r#"{"a":[1,2],"b":{"x":[]},"c":{"d":null}}"#,
                &format!("[{ops}]"),
            )
            .unwrap_err();
            assert_eq!(error.op_index(), Some(before), "{error}");
        }
    }
}

#[test]
fn errors_read_as_sentences() {
    let message = |before: &str, ops: &str| after(before, ops).unwrap_err().to_string();
    assert_eq!(
        message(
            r#"{"a":{}}"#,
            r#"[{"op":"test","path":"","value":{"a":{}}},{"op":"replace","path":"/a/b","value":1}]"#
        ),
        "op 1 (replace /a/b): path does not exist"
    );
    assert_eq!(
        message("{}", r#"[{"op":"move","from":"/x","path":"/y"}]"#),
        "op 0 (move /y): from /x does not exist"
    );
    assert_eq!(
        message("{}", r#"[{"op":"add","path":"/y"}]"#),
        "op 0 (add /y): the member value is missing"
    );
    assert_eq!(
        message("{}", r#"[{"op":"add","path":5,"value":1}]"#),
        "op 0 (add): the member path must be a string, not a number"
    );
    assert_eq!(
        message("{}", r#"{"op":"add"}"#),
        "a patch is an array of operations, not an object"
    );
    assert_eq!(
        message("{}", "[[]]"),
        "op 0 (no op): an operation is an object, not an array"
    );
    assert_eq!(
        message(r#"{"a":"x"}"#, r#"[{"op":"add","path":"/a/b","value":1}]"#),
        "op 0 (add /a/b): the parent of path is a string and has no members"
    );
}

#[test]
fn what_is_not_touched_is_shared() {
    let before = doc(r#"{"a":{"x":[1]},"b":{"y":[2]}}"#);
    let found = apply(&before, &doc(r#"[{"op":"add","path":"/a/z","value":1}]"#)).unwrap();
    assert!(
        found
            .get("b")
            .unwrap()
            .same_allocation(before.get("b").unwrap())
    );
    assert!(
        found
            .get("a")
            .unwrap()
            .get("x")
            .unwrap()
            .same_allocation(before.get("a").unwrap().get("x").unwrap())
    );
    assert!(
        !found
            .get("a")
            .unwrap()
            .same_allocation(before.get("a").unwrap())
    );
}

#[test]
fn an_empty_patch_and_unknown_members_do_nothing() {
    gives(r#"{"a":1}"#, "[]", r#"{"a":1}"#);
    gives(
        r#"{"a":1}"#,
        r#"[{"op":"remove","path":"/a","value":7,"from":5,"x":[]}]"#,
        "{}",
    );
}
