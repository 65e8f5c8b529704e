//! Options of lists.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use prost_types::Timestamp;

use super::duration;
use crate::output::to_ms;

/// How much of a list to show.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LimitArgs {
    /// Maximum number of items.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Show all items.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl LimitArgs {
    /// Returns the maximum number of items.
    pub(crate) fn number(self) -> usize {
        if self.all { usize::MAX } else { self.limit }
    }
}

/// The filters of issues and log entries.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// List only those of this Blueprint.
    #[arg(long, value_name = "ID")]
    pub(crate) blueprint: Option<String>,
    /// List only those of issues that this actor submitted.
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// List only those since this time: how long ago, such as 30m, 2h or 7d, or a time in RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
}

impl ListArgs {
    /// Returns the time of `--since` in milliseconds since 1970; the lowest number without it.
    pub(crate) fn since_ms(&self) -> i64 {
        self.since.as_ref().map_or(i64::MIN, |since| since.0)
    }
}

/// A time in milliseconds since 1970.
#[derive(Debug, Clone)]
struct Since(i64);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A number without a unit is not a time: it may be a year.
        let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
        if has_unit && let Ok(ago) = duration::parse(text) {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            let at = since_1970.unwrap_or_default().saturating_sub(ago);
            return Ok(Self(i64::try_from(at.as_millis()).unwrap_or(i64::MAX)));
        }
        let at = Timestamp::from_str(text).map_err(
            |_| "give how long ago, such as 30m, 2h or 7d, or a time such as 2026-01-31T12:00:00Z",
        )?;
        Ok(Self(to_ms(&at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_relative_or_absolute() {
        let at: Since = "1970-01-01T00:00:01.5Z".parse().unwrap();
        assert_eq!(at.0, 1_500);
        let day_ago: Since = "1d".parse().unwrap();
        let two_days_ago: Since = "2d".parse().unwrap();
        assert!(two_days_ago.0 < day_ago.0);
        for text in ["yesterday", "2026", "", "-1h", "99999999999999999999w", "ä"] {
            let problem = text.parse::<Since>().unwrap_err();
            assert!(problem.contains("30m"), "{text}: {problem}");
        }
    }
}
