//! The published RFC 6902 suite (json-patch/json-patch-tests), read from a folder.

use std::path::Path;

use crate::blueprint::doc::Doc;
use crate::blueprint::error::DocumentError;
use crate::blueprint::json;
use crate::blueprint::patch::apply;

/// The variable with the folder of `tests.json` and `spec_tests.json`.
const FOLDER: &str = "JSON_PATCH_TESTS_DIR";

#[test]
fn the_published_suite() {
    let mut suites = vec![("embedded".to_owned(), EMBEDDED.to_owned())];
    match std::env::var_os(FOLDER) {
        Some(folder) => {
            for file in ["tests.json", "spec_tests.json"] {
                let path = Path::new(&folder).join(file);
                let text = std::fs::read_to_string(&path)
                    .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                suites.push((file.to_owned(), text));
            }
        }
        None => println!("{FOLDER} is not set: only the few embedded cases are run"),
    }
    for (name, text) in suites {
        // Our parser rejects the suite's files correctly: each has a case with two members `op`.
        // That case is disabled because most parsers cannot detect it. It is checked here.
        if name != "embedded" {
            assert!(
                matches!(json::parse(&text), Err(DocumentError::DuplicateKey { key, .. }) if key == "op")
            );
        }
        let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
        let cases = Doc::try_from(cases).unwrap();
        let mut n_run = 0;
        for (index, case) in cases.as_array().unwrap().iter().enumerate() {
            n_run += usize::from(run(&format!("{name}[{index}]"), case));
        }
        println!("{name}: {n_run} cases");
        assert!(n_run > 0);
    }
}

fn run(name: &str, case: &Doc) -> bool {
    // The other disabled cases are well-defined here and run.
    if case
        .get("error")
        .and_then(Doc::as_str)
        .is_some_and(|error| error.contains("two 'op' members"))
    {
        return false;
    }
    let (Some(before), Some(ops)) = (case.get("doc"), case.get("patch")) else {
        return false; // a comment
    };
    let comment = case
        .get("comment")
        .and_then(Doc::as_str)
        .unwrap_or_default();
    let result = apply(before, ops);
    match (case.get("expected"), case.get("error")) {
        (Some(expected), _) => {
            let found = result.unwrap_or_else(|error| panic!("{name} {comment}: {error}"));
            assert!(found.same_value(expected), "{name} {comment}: {found:?}");
        }
        (None, Some(_)) => assert!(result.is_err(), "{name} {comment}: {result:?}"),
        (None, None) => assert!(result.is_ok(), "{name} {comment}: {result:?}"),
    }
    true
}

/// A part of RFC 6902 appendix A.
const EMBEDDED: &str = r#"[
{"comment":"A.1","doc":{"foo":"bar"},"patch":[{"op":"add","path":"/baz","value":"qux"}],"expected":{"baz":"qux","foo":"bar"}},
{"comment":"A.2","doc":{"foo":["bar","baz"]},"patch":[{"op":"add","path":"/foo/1","value":"qux"}],"expected":{"foo":["bar","qux","baz"]}},
{"comment":"A.6","doc":{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}},"patch":[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}],"expected":{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}},
{"comment":"A.9","doc":{"baz":"qux"},"patch":[{"op":"test","path":"/baz","value":"bar"}],"error":"no match"},
{"comment":"A.12","doc":{"foo":"bar"},"patch":[{"op":"add","path":"/baz/bat","value":"qux"}],"error":"no parent"},
{"comment":"A.14","doc":{"/":9,"~1":10},"patch":[{"op":"test","path":"/~01","value":10}],"expected":{"/":9,"~1":10}},
{"comment":"A.15","doc":{"/":9,"~1":10},"patch":[{"op":"test","path":"/~01","value":"10"}],"error":"no match"},
{"comment":"A.16","doc":{"foo":["bar"]},"patch":[{"op":"add","path":"/foo/-","value":["abc","def"]}],"expected":{"foo":["bar",["abc","def"]]}}
]"#;
