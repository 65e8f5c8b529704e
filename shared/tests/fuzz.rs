//! Fuzz tests of names: any text is kept unchanged or rejected with its field, without a panic.
//! `blueprint/tests` covers documents, `id_pattern.rs` covers patterns.

use proptest::prelude::*;
use shared::ids::{BlueprintId, IssueId, SettingId, Version, WorkerId};
use shared::store::IssueRef;

/// Generates any text, often one that is almost an id.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,140}",
        "[A-Za-z0-9._-]{0,130}",
        "[A-Za-z0-9._/:{}\\n-]{0,40}",
        "[0-9a-f]{62,66}",
    ]
}

/// The definition of an id from the specification.
fn is_id(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next().is_some_and(|c| c.is_ascii_alphanumeric());
    first && text.len() <= 128 && characters.all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_id_is_kept_or_refused_by_its_field(text in text()) {
        macro_rules! check {
            ($($id:ident $field:literal),+) => { $(
                match $id::parse(&text) {
                    Ok(id) => prop_assert!(is_id(&text) && id.as_str() == text),
                    Err(refused) => {
                        prop_assert!(!is_id(&text));
                        prop_assert!(refused.to_string().starts_with($field));
                    }
                }
            )+ };
        }
        check!(BlueprintId "blueprint_id", IssueId "issue_id", SettingId "setting_id", WorkerId "worker_id");
    }

    #[test]
    fn a_version_is_kept_or_refused(text in text()) {
        let is_one = text.len() == 64 && text.chars().all(|c| "0123456789abcdef".contains(c));
        match Version::parse(&text) {
            Ok(version) => prop_assert!(is_one && version.as_str() == text),
            Err(refused) => prop_assert!(!is_one && refused.to_string().starts_with("version")),
        }
    }

    #[test]
    fn an_element_is_taken_apart_as_it_was_put_together(text in text(), blueprint in text(), issue in text()) {
        for element in [text, format!("{blueprint}/{issue}")] {
            match IssueRef::parse(&element) {
                Some(parts) => prop_assert_eq!(parts.element(), element),
                None => prop_assert!(element.split_once('/').is_none_or(|(b, i)| !is_id(b) || !is_id(i))),
            }
        }
    }

    #[test]
    fn a_worker_gets_an_id_whatever_its_host_is_called(name in text()) {
        let id = WorkerId::generate(&name);
        prop_assert!(is_id(id.as_str()), "{}", id);
    }
}
