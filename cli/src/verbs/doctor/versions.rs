//! Checks the versions of intake, the workers and this program.

use std::collections::BTreeSet;

use proto::v1::WorkerStats;
use tonic::metadata::MetadataMap;

use super::Check;

/// Checks whether intake and all workers have the version of this program.
pub(super) fn examine(metadata: &MetadataMap, workers: &[WorkerStats]) -> Vec<Check> {
    let version = metadata.get("draftsman-version");
    let intake = version.and_then(|version| version.to_str().ok());
    judge(env!("CARGO_PKG_VERSION"), intake, workers)
}

fn judge(own: &str, intake: Option<&str>, workers: &[WorkerStats]) -> Vec<Check> {
    let mut checks = vec![match intake {
        Some(version) if version == own => Check::ok("version", format!("{own}, as this program")),
        other => Check::warn(
            "version",
            format!(
                "intake has {}, this program {own}",
                other.unwrap_or("an unknown version")
            ),
            "use the same version of both",
        ),
    }];
    // A worker registers its version before its first issue.
    let registered = workers.iter().filter(|worker| !worker.version.is_empty());
    let others: BTreeSet<&str> = registered
        .map(|worker| worker.version.as_str())
        .filter(|version| intake.is_some_and(|intake| intake != *version))
        .collect();
    if !others.is_empty() {
        let others: Vec<&str> = others.into_iter().collect();
        checks.push(Check::warn(
            "version",
            format!(
                "workers have {}, intake {}",
                others.join(" and "),
                intake.unwrap_or_default()
            ),
            "finish the upgrade: replace the programs of the older version",
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;

    fn findings(intake: Option<&str>, workers: &[&str]) -> Vec<Finding> {
        let workers: Vec<WorkerStats> = workers
            .iter()
            .map(|version| WorkerStats {
                version: (*version).to_owned(),
                ..WorkerStats::default()
            })
            .collect();
        let checks = judge("2.0.0", intake, &workers);
        checks.iter().map(|check| check.finding).collect()
    }

    #[test]
    fn versions_that_differ_are_named() {
        use Finding::{Ok, Warn};
        assert_eq!(findings(Some("2.0.0"), &["2.0.0", ""]), [Ok]);
        assert_eq!(findings(Some("1.0.0"), &["1.0.0"]), [Warn]);
        assert_eq!(findings(None, &["1.0.0"]), [Warn]);
        assert_eq!(findings(Some("2.0.0"), &["2.0.0", "1.0.0"]), [Ok, Warn]);
    }
}
