//! Times and durations.

use std::time::{SystemTime, UNIX_EPOCH};

use maud::{Markup, html};
use prost_types::Timestamp;

/// Returns milliseconds since the Unix epoch.
pub(crate) fn ms(at: &Timestamp) -> i64 {
    at.seconds
        .saturating_mul(1_000)
        .saturating_add(i64::from(at.nanos / 1_000_000))
}

/// Returns the time of milliseconds since the Unix epoch.
pub(crate) fn timestamp(ms: i64) -> Timestamp {
    Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos: i32::try_from(ms.rem_euclid(1_000) * 1_000_000).unwrap_or_default(),
    }
}

/// Returns the present time by the clock of this machine.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Shows how long ago `at` was, with the exact time on demand.
pub(crate) fn ago(at: Option<&Timestamp>) -> Markup {
    match at {
        Some(at) => {
            let exact = at.to_string();
            html! { time datetime=(exact) title=(exact) { (since(now_ms() - ms(at))) } }
        }
        None => html! { span.quiet { "unknown" } },
    }
}

/// Shows an exact time, to the second.
pub(crate) fn exact(at: &Timestamp) -> Markup {
    let full = at.to_string();
    let shown = full.get(..19).map(|text| text.replace('T', " "));
    html! { time datetime=(full) title=(full) { (shown.unwrap_or_else(|| full.clone())) } }
}

/// Returns a past distance in words, as `draftsman` does.
fn since(ms: i64) -> String {
    match ms {
        ..1_000 => "now".to_owned(),
        _ => format!("{} ago", coarse(ms)),
    }
}

/// Returns a distance in its largest unit.
pub(crate) fn coarse(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Returns a duration with two or three significant digits.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_few_digits() {
        let shown = [7, 1_234, 59_999, 61_000, 3_660_000, 90_000_000].map(duration);
        assert_eq!(
            shown,
            ["7 ms", "1.2 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
        );
        assert_eq!([-5, 999, 61_000].map(since), ["now", "now", "1m ago"]);
    }
}
