//! Durations in whole milliseconds, the unit of stored times.

use std::time::Duration;

/// Returns a duration in whole milliseconds. A duration above 584 million years saturates.
pub fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the milliseconds of a sorted set's score. Scores are floats: fractions are truncated,
/// negative scores and NaN become 0, and larger values saturate.
#[allow(clippy::cast_possible_truncation, reason = "such a cast saturates")]
pub(crate) fn score_ms(score: f64) -> u64 {
    score as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_saturates() {
        assert_eq!(whole_ms(Duration::from_micros(1_999)), 1);
        assert_eq!(whole_ms(Duration::MAX), u64::MAX);
        assert_eq!(
            [1.9, -1.0, f64::NAN, f64::INFINITY].map(score_ms),
            [1, 0, 0, u64::MAX]
        );
    }
}
