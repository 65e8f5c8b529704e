//! Floats as text: the canonical format, and the exactness of decimal numbers.

use std::fmt::Write;

/// Appends the canonical text of `number`: the shortest digits that read back as the same float,
/// with a point. Below 1e-5 and from 1e16 on, it has a signed exponent. YAML 1.1 does not read
/// `1e21` or `1.0e21` as numbers.
pub(crate) fn push(out: &mut String, number: f64) {
    let (digits, exponent) = shortest(number);
    if number.is_sign_negative() {
        out.push('-');
    }
    let n_digits = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if !(-5..16).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{first}.{rest}e{sign}{}", exponent.unsigned_abs())
            .expect("a String takes everything");
    } else if exponent < 0 {
        out.push_str("0.");
        out.extend((1..exponent.unsigned_abs()).map(|_| '0'));
        out.push_str(&digits);
    } else if n_digits <= exponent + 1 {
        out.push_str(&digits);
        out.extend((n_digits..=exponent).map(|_| '0'));
        out.push_str(".0");
    } else {
        let (whole, fraction) = digits.split_at(usize::try_from(exponent).unwrap_or(0) + 1);
        out.push_str(whole);
        out.push('.');
        out.push_str(fraction);
    }
}

/// Returns true if the decimal number `text` keeps its value as its nearest float. The shortest
/// digits of that float must equal the digits of `text`. Leading and trailing zeros and the
/// position of the point do not count. `1.10` and `1e2` survive; `0.1000000000000000055` and
/// `1e-400` do not.
pub(crate) fn survives(text: &str, number: f64) -> bool {
    let unsigned = text.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        // An exponent outside i64 means zero, infinity, or a number that is not a float.
        Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(i64::MAX)),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let Some(first) = digits().position(|digit| digit != b'0') else {
        return number == 0.0;
    };
    let (shortest, shortest_exponent) = shortest(number);
    let n_zeros = digits().rev().take_while(|digit| *digit == b'0').count();
    let n_digits = whole.len() + fraction.len() - first - n_zeros;
    let point = i64::try_from(whole.len()).unwrap_or(i64::MAX) - 1;
    let first_digit = point - i64::try_from(first).unwrap_or(i64::MAX);
    exponent.saturating_add(first_digit) == i64::from(shortest_exponent)
        && digits().skip(first).take(n_digits).eq(shortest.bytes())
}

/// Returns the digits of `number` without trailing zeros, and the power of ten of the first digit.
/// Zero has the digit 0.
fn shortest(number: f64) -> (String, i32) {
    let text = format!("{:e}", number.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = mantissa.chars().filter(|c| *c != '.').collect();
    (digits, exponent.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: f64) -> String {
        let mut out = String::new();
        push(&mut out, number);
        out
    }

    #[test]
    fn canonical_text() {
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.3, "0.3"),
            (0.1 + 0.2, "0.30000000000000004"),
            (100.0, "100.0"),
            (123.456, "123.456"),
            (0.00001, "0.00001"),
            (0.000_012, "0.000012"),
            (0.000_001, "1.0e-6"),
            (1.25e-7, "1.25e-7"),
            (1e15, "1000000000000000.0"),
            (1.5e15, "1500000000000000.0"),
            (1e16, "1.0e+16"),
            (1e21, "1.0e+21"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (5e-324, "5.0e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(text(number), expected);
            assert_eq!(expected.parse::<f64>().unwrap().to_bits(), number.to_bits());
            assert!(survives(expected, number), "{expected}");
        }
    }

    #[test]
    fn what_survives() {
        for survivor in [
            "0.1",
            "1.10",
            "001.5",
            "1e2",
            "1E+2",
            "100e-2",
            "0.0",
            "-0.0",
            "0e9",
            "0e99999999999999999999",
            "5e-324",
            "1.7976931348623157e308",
            "0.30000000000000004",
            "100000000000000000000.0",
            "1.5",
            "-2.50",
            "+.5",
            "5.",
            "0.00001e5",
            "9007199254740992.0",
        ] {
            assert!(survives(survivor, survivor.parse().unwrap()), "{survivor}");
        }
        for lost in [
            "1e-400",
            "-1e-400",
            "0.1000000000000000055",
            "0.10000000000000001",
            "4.9e-324",
            "9007199254740993.0",
            "1.00000000000000000001",
            "3.14159265358979323846",
            "1e-99999999999999999999",
            "12345678901234567890.5",
        ] {
            assert!(!survives(lost, lost.parse().unwrap()), "{lost}");
        }
    }
}
