//! Patterns of ids. A setting uses them to select Blueprints.
//!
//! `*` matches any run of characters, including none, and `?` matches exactly one. Every other
//! character matches itself.

use std::fmt;

use thiserror::Error;

use crate::ids::{BlueprintId, MAX_ID_BYTES};

/// A pattern of Blueprint ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdPattern(Box<str>);

/// An invalid pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{given:?} is not a valid pattern of ids: 1 to 128 of A-Z a-z 0-9 . _ - and the wildcards * ?, beginning with a letter, \
     a digit or a wildcard"
)]
pub struct InvalidIdPattern {
    /// The given text, cut to 160 characters.
    pub given: String,
}

impl IdPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`InvalidIdPattern`] if no id can match it, or if it is longer than the longest id.
    pub fn parse(text: &str) -> Result<IdPattern, InvalidIdPattern> {
        let first = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?');
        let later = |b: &u8| first(b) || matches!(b, b'.' | b'_' | b'-');
        let bytes = text.as_bytes();
        let good = bytes.len() <= MAX_ID_BYTES
            && bytes.first().is_some_and(first)
            && bytes.iter().all(later);
        if good {
            Ok(IdPattern(text.into()))
        } else {
            Err(InvalidIdPattern {
                given: text.chars().take(160).collect(),
            })
        }
    }

    /// Returns the pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the number of characters before the first wildcard. A larger number is more
    /// specific.
    pub fn literal_prefix(&self) -> usize {
        let wildcard = self.0.find(['*', '?']);
        wildcard.unwrap_or(self.0.len())
    }

    /// Returns true if the pattern matches the whole id. The number of steps is at most the length
    /// of the id times the length of the pattern.
    pub fn matches(&self, id: &BlueprintId) -> bool {
        let (pattern, id) = (self.0.as_bytes(), id.as_str().as_bytes());
        let (mut p, mut i) = (0, 0);
        // The backtrack position: after the last `*`, which then consumes one more character.
        let mut star: Option<(usize, usize)> = None;
        while i < id.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p + 1, i));
                    p += 1;
                }
                Some(&b) if b == b'?' || b == id[i] => {
                    p += 1;
                    i += 1;
                }
                _ => match star {
                    Some((behind, taken)) => {
                        star = Some((behind, taken + 1));
                        (p, i) = (behind, taken + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|b| *b == b'*')
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, id: &str) -> bool {
        let id = BlueprintId::parse(id).unwrap();
        IdPattern::parse(pattern).unwrap().matches(&id)
    }

    #[test]
    fn a_pattern_describes_the_whole_id() {
        for (pattern, id, expected) in [
            ("team", "team", true),
            ("team", "teams", false),
            ("team", "tea", false),
            ("*", "x", true),
            ("?", "x", true),
            ("?", "xy", false),
            ("team.*", "team.", true),
            ("team.*", "team", false),
            ("*.prod", "a.prod.prod", true),
            ("*.prod", "a.prod.test", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("t??m", "team", true),
            ("t??m", "tam", false),
            ("**", "abc", true),
            ("Team", "team", false),
        ] {
            assert_eq!(matches(pattern, id), expected, "{pattern} {id}");
        }
        // A naive matcher takes exponential time here.
        let (pattern, id) = (format!("{}b", "*a".repeat(60)), "a".repeat(128));
        assert!(!matches(&pattern, &id));
    }

    #[test]
    fn what_no_id_can_be_is_no_pattern() {
        for bad in [
            "",
            ".x",
            "-",
            "_*",
            "a b",
            "a/b",
            "a{b}",
            "ä",
            "[a]",
            &"a".repeat(129),
        ] {
            let refused = IdPattern::parse(bad).unwrap_err().to_string();
            assert!(refused.contains("wildcards"), "{bad}: {refused}");
        }
        for (good, prefix) in [("a", 1), ("*", 0), ("ab.c*d?", 4), ("ab?", 2)] {
            assert_eq!(IdPattern::parse(good).unwrap().literal_prefix(), prefix);
        }
    }

    /// The reference implementation: slow but simple.
    fn by_definition(pattern: &[u8], id: &[u8]) -> bool {
        match (pattern, id) {
            ([], rest) => rest.is_empty(),
            ([b'*', p @ ..], _) => (0..=id.len()).any(|n| by_definition(p, &id[n..])),
            ([b'?', p @ ..], [_, i @ ..]) => by_definition(p, i),
            ([a, p @ ..], [b, i @ ..]) => a == b && by_definition(p, i),
            ([_, ..], []) => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_kept_as_it_is_or_refused(text in "\\PC{0,140}") {
            match IdPattern::parse(&text) {
                Ok(pattern) => prop_assert_eq!(pattern.as_str(), text),
                Err(refused) => prop_assert!(refused.to_string().contains("not a valid pattern")),
            }
        }

        #[test]
        fn matching_is_what_it_is_defined_to_be(pattern in "[ab*?]{1,8}", id in "[ab]{1,10}") {
            let expected = by_definition(pattern.as_bytes(), id.as_bytes());
            prop_assert_eq!(matches(&pattern, &id), expected);
        }
    }
}
