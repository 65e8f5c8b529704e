//! Options of lists.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use prost_types::Timestamp;

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
        if let Some(ago) = parse_duration(text) {
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

/// Returns the duration of a number with a unit: `s`, `m`, `h`, `d` or `w`.
fn parse_duration(text: &str) -> Option<Duration> {
    let seconds = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("2h", Some(7_200)),
            ("7d", Some(604_800)),
            ("1w", Some(604_800)),
            ("2", None),
            ("h", None),
            ("-1h", None),
            ("1ä", None),
            ("", None),
            ("99999999999999999999w", None),
        ] {
            let duration = parse_duration(text).map(|duration| duration.as_secs());
            assert_eq!(duration, seconds, "{text}");
        }
    }

    #[test]
    fn a_time_is_relative_or_absolute() {
        let at: Since = "1970-01-01T00:00:01.5Z".parse().unwrap();
        assert_eq!(at.0, 1_500);
        let day_ago: Since = "1d".parse().unwrap();
        let two_days_ago: Since = "2d".parse().unwrap();
        assert!(two_days_ago.0 < day_ago.0);
        assert!("yesterday".parse::<Since>().unwrap_err().contains("30m"));
    }
}
