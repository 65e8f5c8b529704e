//! Chooses a version of a Blueprint by its label.

use std::cmp::Ordering;

use semver::{Version, VersionReq};

use crate::ids::BlueprintId;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;

impl Shard {
    /// Returns the labels that decide a requirement. It reads all labels of the Blueprint.
    pub(crate) async fn labels_for(
        &self,
        id: &BlueprintId,
        req: &VersionReq,
    ) -> Result<LabelsFor, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EXISTS").arg(self.keys.blueprint(id));
        pipeline.cmd("HGETALL").arg(self.keys.labels(id));
        let (exists, labels): (bool, Vec<(String, u64)>) =
            self.handle.pipeline("labels", &pipeline).await?;
        Ok(LabelsFor {
            exists,
            ..choose(req, labels)
        })
    }
}

/// The result of a label search for a requirement.
#[derive(Debug, Default)]
pub(crate) struct LabelsFor {
    /// True if the Blueprint exists.
    pub(crate) exists: bool,
    /// The highest matching version and the number of its newest commit.
    pub(crate) highest: Option<(Version, u64)>,
    /// An invalid label, if any.
    invalid: Option<(String, semver::Error)>,
}

impl LabelsFor {
    /// Returns the error for a requirement without a match.
    pub(crate) fn nothing(self, id: &BlueprintId, req: &VersionReq) -> StoreError {
        match self.invalid {
            Some((label, source)) => StoreError::InvalidSemver {
                blueprint_id: id.to_string(),
                label,
                source,
            },
            None => StoreError::NoMatchingVersion {
                blueprint_id: id.to_string(),
                req: req.to_string(),
            },
        }
    }
}

/// Chooses the label with the highest precedence (Semantic Versioning 2.0.0, section 11). Labels
/// that differ only in build metadata have the same precedence: the newest commit counts.
fn choose(req: &VersionReq, labels: impl IntoIterator<Item = (String, u64)>) -> LabelsFor {
    let mut chosen = LabelsFor::default();
    for (label, seq) in labels {
        match Version::parse(&label) {
            Ok(version) => {
                let is_higher = |(highest, newest): &(Version, u64)| {
                    let by_precedence = version.cmp_precedence(highest);
                    by_precedence.then(seq.cmp(newest)) == Ordering::Greater
                };
                if req.matches(&version) && chosen.highest.as_ref().is_none_or(is_higher) {
                    chosen.highest = Some((version, seq));
                }
            }
            // Of several, the last one in byte order: a repeated call returns the same error.
            Err(source) => {
                if chosen
                    .invalid
                    .as_ref()
                    .is_none_or(|(last, _)| *last < label)
                {
                    chosen.invalid = Some((label, source));
                }
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_of(req: &str, labels: &[(&str, u64)]) -> LabelsFor {
        let labels = labels
            .iter()
            .map(|(label, seq)| ((*label).to_owned(), *seq));
        choose(&req.parse().unwrap(), labels)
    }

    fn seq_of(req: &str, labels: &[(&str, u64)]) -> Option<u64> {
        let chosen = choose_of(req, labels);
        let reversed: Vec<_> = labels.iter().rev().copied().collect();
        assert_eq!(chosen.highest, choose_of(req, &reversed).highest, "{req}");
        chosen.highest.map(|(_, seq)| seq)
    }

    #[test]
    fn the_highest_precedence_counts_and_not_the_order_of_text() {
        let labels = [("1.9.0", 1), ("1.10.0", 2), ("1.2.10", 3), ("1.2.9", 4)];
        assert_eq!(seq_of("*", &labels), Some(2));
        assert_eq!(seq_of("~1.2", &labels), Some(3));
        assert_eq!(seq_of("<1.10", &labels), Some(1));
        assert_eq!(seq_of("^2", &labels), None);
        let top = format!("{0}.{0}.{0}", u64::MAX);
        assert_eq!(seq_of("*", &[("1.0.0", 1), (&top, 2)]), Some(2));
    }

    #[test]
    fn a_pre_release_counts_for_a_requirement_with_one_of_the_same_version() {
        let labels = [
            ("1.0.0-rc.9", 1),
            ("1.0.0-rc.10", 2),
            ("1.0.0-rc", 3),
            ("1.0.0-beta", 4),
            ("1.1.0-rc.1", 5),
        ];
        assert_eq!(seq_of("*", &labels), None);
        assert_eq!(seq_of("^1.0.0-alpha", &labels), Some(2));
        assert_eq!(seq_of("<1.0.0-rc", &labels), Some(4));
        assert_eq!(seq_of(">=1.1.0-rc.0", &labels), Some(5));
        let released = [("1.0.0-rc.1", 2), ("1.0.0", 1)];
        assert_eq!(seq_of(">=1.0.0-rc.1", &released), Some(1));
    }

    #[test]
    fn of_labels_that_differ_only_in_build_metadata_the_newest_commit_counts() {
        let labels = [("1.0.0+b", 4), ("1.0.0+a", 7), ("1.0.0", 5), ("0.9.0+z", 9)];
        assert_eq!(seq_of("^1", &labels), Some(7));
        assert_eq!(seq_of("*", &labels), Some(7));
    }

    #[test]
    fn an_invalid_label_is_reported_and_never_chosen() {
        let chosen = choose_of("*", &[("v2", 3), ("1.0.0", 1), ("v10", 2)]);
        assert_eq!(chosen.highest.as_ref().map(|(_, seq)| *seq), Some(1));
        assert_eq!(chosen.invalid.unwrap().0, "v2");
        assert!(choose_of("*", &[("1.0.0", 1)]).invalid.is_none());
    }
}
