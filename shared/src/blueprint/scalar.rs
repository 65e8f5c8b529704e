//! Resolves plain YAML scalars.
//!
//! The rules follow yaml_serde: the core schema of YAML 1.2, with binary integers, and with leading
//! zeros as text. yaml_serde rounds some numbers and reads numbers outside its range as text. This
//! module rejects both.

use crate::blueprint::float;

/// The resolved value of a plain scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plain {
    /// `null`, `~` or an empty scalar.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A finite float.
    Float(f64),
    /// Any other text.
    Text,
    /// An integer of any base outside i64.
    IntegerRange,
    /// A decimal number that is too large for a float.
    FloatRange,
    /// A decimal number between two floats, with the nearest one.
    FloatPrecision(f64),
    /// `.inf`, `.nan`.
    NotFinite,
}

/// Resolves the plain scalar `text`.
pub(crate) fn resolve(text: &str) -> Plain {
    match text {
        "" | "null" | "Null" | "NULL" | "~" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    // Every number begins with one of these. Most texts do not, and return here.
    if !matches!(text.as_bytes()[0], b'0'..=b'9' | b'+' | b'-' | b'.') {
        return Plain::Text;
    }
    if digits_but_not_number(text) {
        return Plain::Text;
    }
    if let Some(integer) = integer(text) {
        return integer;
    }
    float(text)
}

/// Leading zeros followed only by digits: text, as in yaml_serde.
fn digits_but_not_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

fn integer(text: &str) -> Option<Plain> {
    let (negative, unsigned) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x', ..] => (16, &unsigned[2..]),
        [b'0', b'o', ..] => (8, &unsigned[2..]),
        [b'0', b'b', ..] => (2, &unsigned[2..]),
        _ => (10, unsigned),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    // Not a parse of the absolute value, because i64::MIN has no positive counterpart.
    let mut value: i64 = 0;
    for digit in digits.chars() {
        let digit = i64::from(digit.to_digit(radix)?);
        let next = value.checked_mul(i64::from(radix));
        let next = next.and_then(|v| {
            if negative {
                v.checked_sub(digit)
            } else {
                v.checked_add(digit)
            }
        });
        match next {
            Some(next) => value = next,
            None => return Some(Plain::IntegerRange),
        }
    }
    Some(Plain::Int(value))
}

fn float(text: &str) -> Plain {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Plain::NotFinite,
        // A sign before .nan makes it text, as in yaml_serde.
        ".nan" | ".NaN" | ".NAN" if unsigned.len() == text.len() => return Plain::NotFinite,
        _ => {}
    }
    // Rust parses "inf" and "nan" as floats; YAML does not.
    if !matches!(unsigned.as_bytes().first(), Some(b'0'..=b'9' | b'.')) {
        return Plain::Text;
    }
    match text.parse::<f64>() {
        Ok(number) if !number.is_finite() => Plain::FloatRange,
        Ok(number) if float::survives(text, number) => Plain::Float(number),
        Ok(nearest) => Plain::FloatPrecision(nearest),
        Err(_) => Plain::Text,
    }
}
