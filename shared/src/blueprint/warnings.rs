//! Warnings about parts of a valid document that its author probably did not intend.

use crate::blueprint::doc::Doc;
use crate::blueprint::pointer;

/// The merge key of YAML 1.1.
const MERGE_KEY: &str = "<<";

/// The maximum number of warnings about one document.
const MAX_WARNINGS: usize = 10;

/// Returns a sentence for each mapping of `doc` with the key `<<`.
pub fn of(doc: &Doc) -> Vec<String> {
    let mut warnings = Vec::new();
    collect(doc, &mut String::new(), &mut warnings);
    warnings
}

fn collect(doc: &Doc, path: &mut String, warnings: &mut Vec<String>) {
    if warnings.len() >= MAX_WARNINGS {
        return;
    }
    let length = path.len();
    match doc {
        Doc::Object(members) => {
            if members.contains_key(MERGE_KEY) {
                warnings.push(format!(
                    "{} has the key \"<<\": it is an ordinary key here, nothing is merged",
                    if path.is_empty() {
                        "the document"
                    } else {
                        &**path
                    }
                ));
            }
            for (key, value) in members.iter() {
                pointer::push_key(path, key);
                collect(value, path, warnings);
                path.truncate(length);
            }
        }
        Doc::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer::push_index(path, index);
                collect(item, path, warnings);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::yaml;

    #[test]
    fn each_mapping_with_a_merge_key_is_named() {
        let of = |text| of(&yaml::parse(text).unwrap());
        let text = "base: &b {x: 1}\nuse:\n- <<: *b\n  y: 2\nother: '<<'\n";
        let expected = "/use/0 has the key \"<<\": it is an ordinary key here, nothing is merged";
        assert_eq!(of(text), [expected]);
        assert!(of("<<: 1")[0].starts_with("the document has the key"));
        assert_eq!(of("a: b"), [] as [&str; 0]);
        assert_eq!(of(&"- <<: 1\n".repeat(50)).len(), MAX_WARNINGS);
    }
}
