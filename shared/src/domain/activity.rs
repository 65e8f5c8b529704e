//! Figures of the decisions: how many, why, how long, and what they cost.

use std::collections::BTreeMap;

/// The figures of a span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// The number of applied issues.
    pub applied: u64,
    /// The number of issues that a verifier denied.
    pub denied: u64,
    /// The number of issues that could not be decided.
    pub failed: u64,
    /// The number of cancelled issues.
    pub cancelled: u64,
    /// The number of issues that a reviewer declined.
    pub declined: u64,
    /// The number of denials by axis.
    pub denials_by_axis: BTreeMap<String, u64>,
    /// The input and output tokens by model.
    pub tokens_by_model: BTreeMap<String, (u64, u64)>,
    /// The number of issues that the next two fields are sums of.
    pub timed: u64,
    /// The sum of the times from the acceptance to the last claim, in milliseconds.
    pub total_wait_ms: u64,
    /// The sum of the times from the last claim to the decision, in milliseconds.
    pub total_run_ms: u64,
}

/// How fine the figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// By the minute, kept for 8 days.
    Minutes,
    /// By the hour, kept for 8 days.
    Hours,
    /// By the day (UTC), kept for 400 days.
    Days,
}

/// How long figures by the minute and the hour are kept, in seconds.
pub const FINE_SECS: u64 = 8 * 86_400;
/// How long figures by the day are kept, in seconds.
pub const DAYS_SECS: u64 = 400 * 86_400;
/// The maximum number of parts of a window.
pub const MAX_BUCKETS: u64 = 2_000;

impl Level {
    /// All levels.
    pub const ALL: [Level; 3] = [Level::Minutes, Level::Hours, Level::Days];

    /// Returns the length of a part, in seconds.
    pub fn part_secs(self) -> u64 {
        match self {
            Level::Minutes => 60,
            Level::Hours => 3_600,
            Level::Days => 86_400,
        }
    }

    /// Returns the coarsest level whose parts make buckets of this length; `None` if the length is
    /// not a multiple of 60.
    pub fn of_bucket(bucket_secs: u64) -> Option<Level> {
        let mut levels = Level::ALL.into_iter().rev();
        levels.find(|level| bucket_secs > 0 && bucket_secs.is_multiple_of(level.part_secs()))
    }

    /// Returns how long its figures are kept, in seconds.
    pub fn kept_secs(self) -> u64 {
        match self {
            Level::Minutes | Level::Hours => FINE_SECS,
            Level::Days => DAYS_SECS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_made_of_the_longest_parts_that_fit() {
        let levels = [60, 3_600, 5_400, 86_400, 172_800].map(Level::of_bucket);
        let expected = [
            Level::Minutes,
            Level::Hours,
            Level::Minutes,
            Level::Days,
            Level::Days,
        ];
        assert_eq!(levels, expected.map(Some));
        assert_eq!([0, 1, 90].map(Level::of_bucket), [None; 3]);
    }
}
