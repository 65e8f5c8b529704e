//! Numbers of things, and what a list leaves out.

/// Formats a number of things: `1 issue`, `2 issues`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

/// Formats a number with commas between its groups of three digits.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Says what a list left out. `total` is the number of all items, if it is known.
pub(crate) fn left_out(shown: usize, total: Option<u64>) -> String {
    let shown = thousands(u64::try_from(shown).unwrap_or(u64::MAX));
    match total {
        Some(total) => format!(
            "showing {shown} of {}; more with --limit or --all",
            thousands(total)
        ),
        None => format!("showing {shown}; more with --limit or --all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups_and_things_a_plural() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_213), "1,213");
        assert_eq!(thousands(12_345_678), "12,345,678");
        assert_eq!(count(1, "call"), "1 call");
        assert_eq!(count(0, "call"), "0 calls");
        let more = "showing 50 of 1,213; more with --limit or --all";
        assert_eq!(left_out(50, Some(1_213)), more);
    }
}
