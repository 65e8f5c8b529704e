//! Durations on the command line.

use std::time::Duration;

/// The units, with their length in milliseconds. A number without a unit is in seconds.
const UNITS: [(&str, f64); 7] = [
    ("ms", 1.0),
    ("s", 1_000.0),
    ("m", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
    ("w", 604_800_000.0),
    ("", 1_000.0),
];
/// The longest duration, ten years. A deadline of a call has no more digits, and a clock of a
/// system may have no later time.
const LONGEST: Duration = Duration::from_secs(3_650 * 24 * 3_600);

/// Returns the duration of a text such as `10`, `1.5s`, `500ms`, `2m`, `2h` or `7d`.
///
/// # Errors
/// A sentence that says how to write a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("`{text}` is not a duration; write it as 10s, 500ms, 2m, 2h or 7d");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let (_, ms) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(invalid)?;
    let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = digits.parse().map_err(|_| invalid())?;
    if !is_plain {
        return Err(invalid());
    }
    let duration = Duration::try_from_secs_f64(number * ms / 1_000.0).map_err(|_| invalid())?;
    if duration > LONGEST {
        return Err(format!(
            "`{text}` is too long; the longest duration is 3650d"
        ));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_perhaps_a_unit() {
        for (text, ms) in [
            ("10", 10_000),
            ("0", 0),
            ("1.5s", 1_500),
            ("500ms", 500),
            ("2m", 120_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "1 s", "1x", "inf", "NaN", "1e9d", "1.2.3s"] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains("write it as"), "{text}: {problem}");
        }
        assert!(parse(&"9".repeat(400)).is_err(), "beyond every clock");
        assert!(parse("3650d").is_ok());
        assert!(parse("3651d").unwrap_err().contains("too long"));
    }
}
