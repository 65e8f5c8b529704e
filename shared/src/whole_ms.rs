//! Times as whole milliseconds, the unit of what is stored.

use std::time::Duration;

/// A duration in whole milliseconds. One that does not fit (584 million years) is the longest that does.
pub fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The milliseconds that a score of a sorted set stands for. Scores are floats: a fraction is cut off, what
/// is below 0 or no number counts as 0, and what is too large as the largest.
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
