//! Checks `docs/errors.md` against `intake/src/error/`: the page has one row for each reason, with
//! its code.

use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../docs/errors.md");
const SOURCE: &str = concat!(
    include_str!("../src/error/request_error.rs"),
    include_str!("../src/error/status.rs")
);

/// Returns the code of each reason on the page.
fn rows() -> BTreeMap<&'static str, &'static str> {
    let cells = |line: &'static str| -> Option<(&'static str, &'static str)> {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.trim_end_matches('`'), cells.next()?))
    };
    let rows: Vec<_> = PAGE.lines().filter_map(cells).collect();
    let by_reason: BTreeMap<_, _> = rows.iter().copied().collect();
    assert_eq!(by_reason.len(), rows.len(), "a reason has two rows");
    by_reason
}

/// Returns every reason in the code: each quoted text of capitals before the tests.
fn reasons() -> Vec<&'static str> {
    let is_reason = |text: &&str| {
        text.len() > 5
            && text.contains('_')
            && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    };
    SOURCE.split('"').filter(is_reason).collect()
}

/// Converts `InvalidArgument` to `INVALID_ARGUMENT`.
fn wire_name(code: &str) -> String {
    let mut name = String::new();
    for character in code.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

#[test]
fn the_page_has_a_row_for_each_reason_and_no_other() {
    let mut written: Vec<&str> = reasons();
    written.sort_unstable();
    written.dedup();
    assert!(written.len() > 20, "found too few: {written:?}");
    let on_the_page: Vec<&str> = rows().into_keys().collect();
    assert_eq!(written, on_the_page);
}

#[test]
fn the_page_says_the_code_that_is_answered() {
    let rows = rows();
    let mut held = 0;
    for answer in SOURCE.split("Answer::new(Code::").skip(1) {
        let Some((code, rest)) = answer.split_once(',') else {
            continue;
        };
        let reason = rest.split('"').nth(1).unwrap_or_default();
        assert_eq!(
            rows.get(reason),
            Some(&wire_name(code).as_str()),
            "{reason}"
        );
        held += 1;
    }
    assert!(held > 20, "found too few answers: {held}");
}
