//! Small inputs with excessive resource demands: each is rejected quickly.

use std::time::{Duration, Instant};

use crate::blueprint::doc::Doc;
use crate::blueprint::error::DocumentError;
use crate::blueprint::patch::{self, MAX_OPS, OpError, PatchError};
use crate::blueprint::tests::doc;
use crate::blueprint::{MAX_DOCUMENT_BYTES, json, yaml};

/// Far above the normal time, even for a debug build on a busy machine. Far below the time without
/// a limit.
const SOON: Duration = Duration::from_secs(10);

fn soon<T>(body: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = body();
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
    result
}

#[test]
fn a_billion_laughs() {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![before; 9].join(", "));
    }
    assert!(matches!(
        soon(|| yaml::parse(&text)),
        Err(DocumentError::AliasesTooLarge { .. })
    ));
}

#[test]
fn aliases_of_one_long_text() {
    let text = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1000),
        vec!["*a"; 2000].join(", ")
    );
    assert!(matches!(
        soon(|| yaml::parse(&text)),
        Err(DocumentError::AliasesTooLarge { .. })
    ));
}

#[test]
fn aliases_that_nest() {
    let mut text = String::from("a0: &a0 [x]\n");
    for level in 1..70 {
        text += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(matches!(
        soon(|| yaml::parse(&text)),
        Err(DocumentError::TooDeep { .. })
    ));
}

#[test]
fn brackets_without_end() {
    for opening in ["[", "{\"a\":", "- ", "? ", "{a: ", "[[a], "] {
        let text = opening.repeat(MAX_DOCUMENT_BYTES / opening.len());
        assert!(soon(|| yaml::parse(&text)).is_err(), "{opening}");
        // Also with a line separator, which YAML 1.1 and 1.2 read differently.
        for start in [
            "# \u{2028}",
            "\u{2028}",
            "@\u{2028}\n",
            "|\u{2028}\n",
            "a: '\u{2028}'\nb: ",
        ] {
            let text = format!("{start}{}\n...\n", &text[..text.len() / 2]);
            let _ = soon(|| yaml::parse(&text));
        }
        assert!(soon(|| json::parse(&text)).is_err(), "{opening}");
    }
}

#[test]
fn long_texts_of_one_kind() {
    let numbered = |form: &dyn Fn(usize) -> String| (0..20_000).map(form).collect::<String>();
    for (name, text) in [
        ("a plain text of many lines", "x\n".repeat(150_000)),
        (
            "a quoted text of many lines",
            format!("\"{}\"", "x\n".repeat(150_000)),
        ),
        ("escapes", format!("\"{}\"", "\\n".repeat(150_000))),
        ("quotes", format!("'{}'", "''".repeat(150_000))),
        ("a literal", format!("|\n{}", " x\n".repeat(100_000))),
        ("a folded text", format!(">\n{}", " x\n".repeat(100_000))),
        ("items", "- a\n".repeat(80_000)),
        ("flow items", format!("[{}a]", "a, ".repeat(100_000))),
        (
            "flow items without space",
            format!("[{}a]", "'a',".repeat(80_000)),
        ),
        ("keys", numbered(&|i| format!("k{i}: v\n"))),
        (
            "flow keys",
            format!("{{{}}}", numbered(&|i| format!("k{i}: v, "))),
        ),
        ("anchors", numbered(&|i| format!("- &a{i} v\n"))),
        (
            "one anchor again and again",
            "- &a v\n- *a\n".repeat(20_000),
        ),
        ("comments", "# c\n".repeat(80_000)),
        ("empty lines", "\n".repeat(300_000)),
        ("spaces", " ".repeat(300_000)),
        ("tabs", "a:\t".to_owned() + &"\t".repeat(300_000)),
        ("a key without a colon", "x".repeat(300_000)),
        ("colons", ":".repeat(300_000)),
        ("dashes", "-".repeat(300_000)),
        ("bangs", "!".repeat(300_000)),
        ("percents", "%a\n".repeat(100_000)),
        ("digits", "9".repeat(300_000)),
        ("digits with a point", format!("0.{}", "9".repeat(300_000))),
        ("documents", "---\n".repeat(80_000)),
    ] {
        println!("{name}");
        let _ = soon(|| yaml::parse(&text));
        let _ = soon(|| yaml::parse(&format!("# \u{2028}\n{text}")));
        let _ = soon(|| json::parse(&text));
    }
}

#[test]
fn too_long_as_given_or_as_canonical_yaml() {
    let long = "x".repeat(MAX_DOCUMENT_BYTES + 1);
    assert!(matches!(
        yaml::parse(&long),
        Err(DocumentError::TooLarge { .. })
    ));
    assert!(matches!(
        json::parse(&long),
        Err(DocumentError::TooLarge { .. })
    ));
    // Each \u0001 is one byte in JSON input and four in YAML output.
    let grows = Doc::from("\u{1}".repeat(MAX_DOCUMENT_BYTES / 2));
    assert!(matches!(
        yaml::emit(&grows),
        Err(DocumentError::CanonicalTooLarge)
    ));
    let fits = Doc::from("x".repeat(MAX_DOCUMENT_BYTES - 1));
    assert_eq!(yaml::emit(&fits).unwrap().len(), MAX_DOCUMENT_BYTES);
}

#[test]
fn a_document_copied_into_itself() {
    let text = "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/x\"}]"
        .replace("[{", "{")
        .replace("}]", "}");
    let ops = doc(&format!("[{}]", vec![text; 200].join(",")));
    let error = soon(|| patch::apply(&doc(r#"{"a":"some text"}"#), &ops)).unwrap_err();
    assert!(
        matches!(
            error,
            PatchError::Op {
                source: OpError::TooDeep | OpError::TooLarge,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_array_that_doubles() {
    let text = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
    let ops = doc(&format!("[{}]", vec![text; 60].join(",")));
    let error = soon(|| patch::apply(&doc(r#"{"a":["some text"]}"#), &ops)).unwrap_err();
    assert!(
        matches!(
            error,
            PatchError::Op {
                source: OpError::TooLarge | OpError::TooDeep,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn siblings_that_double() {
    let mut ops = Vec::new();
    for step in 0..40 {
        ops.push(format!(
            r#"{{"op":"add","path":"/s{}","value":{{}}}}"#,
            step + 1
        ));
        for side in ["l", "r"] {
            ops.push(format!(
                r#"{{"op":"copy","from":"/s{step}","path":"/s{}/{side}"}}"#,
                step + 1
            ));
        }
    }
    let ops = doc(&format!("[{}]", ops.join(",")));
    let error = soon(|| patch::apply(&doc(r#"{"s0":"some text"}"#), &ops)).unwrap_err();
    assert!(
        matches!(
            error,
            PatchError::Op {
                source: OpError::TooLarge,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.op_index().unwrap() < 60, "{error}");
}

#[test]
fn a_document_that_deepens() {
    let ops: Vec<String> = (0..70)
        .map(|level| {
            format!(
                r#"{{"op":"add","path":"{}","value":[]}}"#,
                "/0".repeat(level + 1)
            )
        })
        .collect();
    let ops = doc(&format!("[{}]", ops.join(",")));
    let error = patch::apply(&doc("[]"), &ops).unwrap_err();
    assert!(
        matches!(
            error,
            PatchError::Op {
                index: 63,
                source: OpError::TooDeep,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn many_operations_on_a_large_value() {
    let items: Vec<Doc> = (0..20_000)
        .map(|i| Doc::object([("n", Doc::from(i))]))
        .collect();
    let large = Doc::object([("a", Doc::object([("big", Doc::array(items))]))]);
    let pair = r#"{"op":"copy","from":"/a","path":"/b"},{"op":"remove","path":"/b"}"#;
    let ops = doc(&format!("[{}]", vec![pair; MAX_OPS / 2].join(",")));
    assert!(
        soon(|| patch::apply(&large, &ops))
            .unwrap()
            .identical(&large)
    );
}

#[test]
fn more_operations_than_allowed() {
    let ops = Doc::array(vec![
        doc(r#"{"op":"test","path":"","value":1}"#);
        MAX_OPS + 1
    ]);
    assert_eq!(
        patch::apply(&Doc::from(1), &ops),
        Err(PatchError::TooManyOps { count: MAX_OPS + 1 })
    );
    let ops = Doc::array(vec![doc(r#"{"op":"test","path":"","value":1}"#); MAX_OPS]);
    assert!(patch::apply(&Doc::from(1), &ops).is_ok());
}
