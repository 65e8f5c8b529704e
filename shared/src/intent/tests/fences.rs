//! Tests of fenced blocks: patches in them, and sentences beside them.

use crate::blueprint::{Doc, json};

use crate::intent::fence::fences;
use crate::intent::tests::{assert_refused, prompt, sentences, tag};
use crate::intent::{Intent, read};

fn ops(text: &str) -> String {
    match read(text) {
        Ok(Intent::Patch(patch)) => json::emit(patch.get("ops").unwrap()),
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn fences_are_found_by_line_and_length() {
    // The examples of CommonMark 0.31 §4.5 about fences, and additional ones.
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
                "line 2, column 1: the fenced block is not a patch",
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
        ("```\n```", &["the fenced block is not a patch"]),
        (
            "```yaml\na: 1\n```",
            &[
                "line 1, column 1: the fenced block is not a patch",
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
    // In quotes, it is a text.
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
    // Three backticks within a line are not a fence.
    assert_eq!(
        sentences("set prompt of agent a to Use ```x``` here"),
        [prompt("Use ```x``` here")]
    );
}
