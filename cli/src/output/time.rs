//! Times: relative for people, RFC 3339 for programs.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Mean length of a month and a year of the Gregorian calendar.
const MONTH: u64 = YEAR / 12;
const YEAR: u64 = 31_556_952;

/// Returns a time as RFC 3339, to the second; `-` if it is unset.
pub(crate) fn absolute(at: Option<&Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| {
        Timestamp {
            seconds: at.seconds,
            nanos: 0,
        }
        .to_string()
    })
}

/// Returns a time relative to now, such as `2m ago`; `-` if it is unset.
pub(crate) fn relative(at: Option<&Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| relative_to(at, SystemTime::now()))
}

/// Returns a time for an entry: relative, then absolute.
pub(crate) fn both(at: Option<&Timestamp>) -> String {
    match at {
        None => "-".to_owned(),
        Some(_) => format!("{} ({})", relative(at), absolute(at)),
    }
}

/// Returns the time of milliseconds since 1970.
pub(crate) fn from_ms(ms: i64) -> Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000) * 1_000_000);
    Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: nanos.unwrap_or_default(),
    }
}

/// Returns a time in milliseconds since 1970.
pub(crate) fn to_ms(at: &Timestamp) -> i64 {
    let ms = at.seconds.saturating_mul(1000);
    ms.saturating_add(i64::from(at.nanos / 1_000_000))
}

fn relative_to(at: &Timestamp, now: SystemTime) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let at = u64::try_from(at.seconds).unwrap_or_default();
    match (now.checked_sub(at), at.saturating_sub(now)) {
        (Some(ago), _) => format!("{} ago", length(ago)),
        // The clock of Redis may be ahead by a little.
        (None, ..=2) => "0s ago".to_owned(),
        (None, ahead) => format!("in {}", length(ahead)),
    }
}

fn length(secs: u64) -> String {
    match secs {
        ..MINUTE => format!("{secs}s"),
        MINUTE..HOUR => format!("{}m", secs / MINUTE),
        HOUR..DAY => format!("{}h", secs / HOUR),
        _ if secs < 2 * MONTH => format!("{}d", secs / DAY),
        _ if secs < 2 * YEAR => format!("{}mo", secs / MONTH),
        _ => format!("{}y", secs / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        let now = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        for (ago, told) in [
            (0, "0s ago"),
            (59, "59s ago"),
            (60, "1m ago"),
            (3_599, "59m ago"),
            (86_399, "23h ago"),
            (86_400, "1d ago"),
            (59 * 86_400, "59d ago"),
            (100 * 86_400, "3mo ago"),
            (800 * 86_400, "2y ago"),
            (-1, "0s ago"),
            (-90, "in 1m"),
        ] {
            let at = Timestamp {
                seconds: 2_000_000_000 - ago,
                nanos: 999,
            };
            assert_eq!(relative_to(&at, now), told, "{ago} s");
        }
    }

    #[test]
    fn an_absolute_time_has_seconds() {
        let at = from_ms(1_700_000_000_123);
        assert_eq!(absolute(Some(&at)), "2023-11-14T22:13:20Z");
        assert_eq!(absolute(None), "-");
    }
}
