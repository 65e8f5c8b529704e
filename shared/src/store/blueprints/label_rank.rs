//! Ranks of version labels: a text order in which Redis can search for the best match of a
//! `semver_req`.
//!
//! The bytes of a label's *rank* have the order of semver precedence (Semantic Versioning 2.0.0,
//! section 11). Labels that differ only in build metadata have the same precedence and the same
//! rank. Ranks are the fields of the labels hash and the members of a sorted set with equal scores.
//! So Redis finds "the highest rank below this one" without reading the others.
//!
//! Releases and pre-releases have separate ranges (`r…`, `p…`), because most requirements match
//! only releases. For releases, each comparator of a requirement is an interval, and so is their
//! conjunction. If the highest release below every upper bound does not satisfy the requirement, no
//! other release does. Pre-releases count only for a comparator with a pre-release of the same
//! `major.minor.patch`. `semver` itself checks each candidate, so this module selects candidates
//! and does not define matches.
//!
//! ```text
//! rank       = ("r" numbers | "p" numbers identifier…) " " label-without-build-metadata
//! numbers    = number number number
//! number     = letter-for-length-of-length length digits
//! identifier = ("0" number | "1" text) "!"
//! an invalid semver: "x" label
//! ```
//! ```

use std::cmp::Ordering;

use semver::{BuildMetadata, Comparator, Op, Prerelease, Version, VersionReq};

/// The prefix of ranks whose label is not a valid semver.
pub(crate) const INVALID: &str = "x";
/// An upper bound of all ranks with invalid labels.
pub(crate) const ABOVE_INVALID: &str = "y";

/// Returns the rank of a label; empty for an empty label.
pub(crate) fn rank(label: &str) -> String {
    if label.is_empty() {
        return String::new();
    }
    match Version::parse(label) {
        Ok(mut version) => {
            version.build = BuildMetadata::EMPTY;
            let place = if version.pre.is_empty() {
                release((version.major, version.minor, version.patch))
            } else {
                pre_release((version.major, version.minor, version.patch), &version.pre)
            };
            format!("{place} {version}")
        }
        Err(_) => format!("{INVALID}{label}"),
    }
}

/// Returns the version of a rank; `None` if its label is not a valid semver.
pub(crate) fn version(rank: &str) -> Option<Version> {
    let (_, text) = rank
        .split_once(' ')
        .filter(|_| !rank.starts_with(INVALID))?;
    Version::parse(text).ok()
}

/// A range of ranks in the syntax of `ZRANGE … BYLEX REV`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) max: String,
    pub(crate) min: String,
}

/// Returns the ranges to search for `req`. A match can only be at the upper end of one of them.
pub(crate) fn ranges(req: &VersionReq) -> Vec<Range> {
    let uppers = req.comparators.iter().filter_map(upper);
    let mut ranges = vec![Range {
        // "s" follows "r": above every release.
        max: uppers
            .min()
            .map_or("(s".to_owned(), |below| format!("({}", release(below))),
        min: "[r".to_owned(),
    }];
    for comparator in &req.comparators {
        let Some(core) = core(comparator).filter(|_| !comparator.pre.is_empty()) else {
            continue;
        };
        let region = format!("p{}", numbers(core));
        let same = req
            .comparators
            .iter()
            .filter(|other| crate::store::blueprints::label_rank::core(other) == Some(core));
        // A rank of this version continues with a blank; a longer one does not.
        let above = |pre, or_equal| {
            format!(
                "{}{}",
                pre_release(core, pre),
                if or_equal { "!" } else { "" }
            )
        };
        let uppers = same.filter_map(|other| match other.op {
            _ if other.pre.is_empty() => None,
            Op::Exact | Op::LessEq => Some(above(&other.pre, true)),
            Op::Less => Some(above(&other.pre, false)),
            _ => None,
        });
        let range = Range {
            max: format!("({}", uppers.min().unwrap_or_else(|| format!("{region}~"))),
            min: format!("[{region}"),
        };
        if !ranges.contains(&range) {
            ranges.push(range);
        }
    }
    ranges
}

/// Returns the highest candidate that satisfies `req`.
pub(crate) fn best<'a>(req: &VersionReq, found: &'a [String]) -> Option<(Version, &'a str)> {
    let versions = found
        .iter()
        .filter_map(|rank| Some((version(rank)?, rank.as_str())));
    versions
        .filter(|(version, _)| req.matches(version))
        .reduce(|best, other| match other.0.cmp_precedence(&best.0) {
            Ordering::Greater => other,
            _ => best,
        })
}

type Core = (u64, u64, u64);

/// Returns the three numbers of a comparator; `None` if one is missing.
fn core(comparator: &Comparator) -> Option<Core> {
    Some((comparator.major, comparator.minor?, comparator.patch?))
}

/// Returns the exclusive upper bound of the releases that satisfy the comparator; `None` without
/// one.
fn upper(comparator: &Comparator) -> Option<Core> {
    let Comparator {
        op,
        major,
        minor,
        patch,
        pre,
    } = comparator;
    let next_major = || Some((major.checked_add(1)?, 0, 0));
    let next_minor = |minor: u64| match minor.checked_add(1) {
        Some(minor) => Some((*major, minor, 0)),
        None => next_major(),
    };
    let next_patch = |minor: u64, patch: u64| match patch.checked_add(1) {
        Some(patch) => Some((*major, minor, patch)),
        None => next_minor(minor),
    };
    match (op, minor, patch) {
        (Op::Greater | Op::GreaterEq, ..) => None,
        (Op::Less, ..) => Some((*major, minor.unwrap_or(0), patch.unwrap_or(0))),
        // The release follows its pre-releases.
        (Op::LessEq, Some(minor), Some(patch)) if !pre.is_empty() => Some((*major, *minor, *patch)),
        (Op::Caret, Some(0), Some(patch)) if *major == 0 => next_patch(0, *patch),
        (Op::Caret, Some(minor), _) if *major == 0 => next_minor(*minor),
        (Op::Caret, ..) | (_, None, _) => next_major(),
        (Op::Tilde, Some(minor), _) | (_, Some(minor), None) => next_minor(*minor),
        (_, Some(minor), Some(patch)) => next_patch(*minor, *patch),
    }
}

fn release(core: Core) -> String {
    format!("r{}", numbers(core))
}

fn pre_release(core: Core, pre: &Prerelease) -> String {
    let mut place = format!("p{}", numbers(core));
    for identifier in pre.split('.') {
        if identifier.bytes().all(|byte| byte.is_ascii_digit()) {
            place.push('0');
            place.push_str(&number(identifier));
        } else {
            place.push('1');
            place.push_str(identifier);
        }
        place.push('!');
    }
    place
}

fn numbers((major, minor, patch): Core) -> String {
    [major, minor, patch]
        .map(|n| number(&n.to_string()))
        .concat()
}

/// Encodes digits without leading zeros, so that the bytes have the order of the numbers.
fn number(digits: &str) -> String {
    let length = digits.len().to_string();
    let letter = char::from(b'a'.saturating_add(u8::try_from(length.len()).unwrap_or(u8::MAX)));
    format!("{letter}{length}{digits}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Generates small numbers, for collisions, and the largest ones.
    fn numeric() -> impl Strategy<Value = u64> {
        prop_oneof![8 => 0..3_u64, 2 => 9..12_u64, 1 => Just(u64::MAX - 1), 1 => Just(u64::MAX)]
    }

    fn pre() -> impl Strategy<Value = String> {
        let identifier = prop_oneof![
            4 => (0..12_u64).prop_map(|n| n.to_string()),
            4 => "[a-bA-B-][0-9a-b-]{0,2}",
            1 => Just("12345678901234567890123".to_owned()),
        ];
        prop_oneof![
            3 => Just(String::new()),
            4 => proptest::collection::vec(identifier, 1..4).prop_map(|ids| format!("-{}", ids.join(".")))
        ]
    }

    fn label() -> impl Strategy<Value = String> {
        let build = prop_oneof![3 => Just(""), 1 => Just("+b.1"), 1 => Just("+7")];
        (numeric(), numeric(), numeric(), pre(), build).prop_map(
            |(major, minor, patch, pre, build)| format!("{major}.{minor}.{patch}{pre}{build}"),
        )
    }

    fn requirement() -> impl Strategy<Value = VersionReq> {
        let op = prop_oneof![
            Just("="),
            Just(">"),
            Just(">="),
            Just("<"),
            Just("<="),
            Just("~"),
            Just("^"),
            Just("")
        ];
        let comparator = (op, numeric(), numeric(), numeric(), pre(), 0..6).prop_map(
            |(op, major, minor, patch, pre, form)| match form {
                0 => format!("{op}{major}"),
                1 => format!("{op}{major}.{minor}"),
                2 => format!("{major}.{minor}.*"),
                3 => format!("{major}.*"),
                _ => format!("{op}{major}.{minor}.{patch}{pre}"),
            },
        );
        proptest::collection::vec(comparator, 0..4)
            .prop_map(|all| {
                if all.is_empty() {
                    "*".to_owned()
                } else {
                    all.join(", ")
                }
            })
            .prop_map(|text| {
                text.parse()
                    .unwrap_or_else(|error| panic!("{text}: {error}"))
            })
    }

    /// Returns the result of `ZRANGE … BYLEX REV LIMIT 0 1`.
    fn highest_in(ranks: &BTreeSet<String>, range: &Range) -> Option<String> {
        let (max, min) = (range.max.strip_prefix('(')?, range.min.strip_prefix('[')?);
        let below = ranks.iter().rev().find(|rank| rank.as_str() < max)?;
        (below.as_str() >= min).then(|| below.clone())
    }

    fn precedence(label: &str) -> Version {
        let mut version = Version::parse(label).unwrap();
        version.build = BuildMetadata::EMPTY;
        version
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn ranks_are_in_the_order_of_precedence(a in label(), b in label()) {
            let (left, right) = (precedence(&a), precedence(&b));
            // Releases have a separate range.
            if left.pre.is_empty() == right.pre.is_empty() {
                prop_assert_eq!(rank(&a).cmp(&rank(&b)), left.cmp(&right), "{} {}", a, b);
            }
            prop_assert_eq!(version(&rank(&a)), Some(left));
        }

        #[test]
        fn what_is_found_is_the_highest_that_satisfies(labels in proptest::collection::vec(label(), 0..40), req in requirement()) {
            let ranks: BTreeSet<String> = labels.iter().map(|label| rank(label)).collect();
            let ranges = ranges(&req);
            prop_assert!(ranges.len() <= 1 + req.comparators.len());
            let found: Vec<String> = ranges.iter().filter_map(|range| highest_in(&ranks, range)).collect();
            let found = best(&req, &found).map(|(version, _)| version);
            let simply = labels.iter().map(|label| precedence(label)).filter(|version| req.matches(version)).max();
            prop_assert_eq!(found, simply, "{} of {:?}", req, labels);
        }
    }

    #[test]
    fn a_rank_is_what_stored_data_has() {
        assert_eq!(rank("1.20.3"), "rb11b220b13 1.20.3");
        assert_eq!(rank("1.20.3+build"), rank("1.20.3"));
        assert_eq!(
            rank("0.0.1-rc.10.x-1"),
            "pb10b10b111rc!0b210!1x-1! 0.0.1-rc.10.x-1"
        );
        assert_eq!(rank("v1 final"), "xv1 final");
        assert_eq!(version("xv1 1.0.0"), None);
    }
}
