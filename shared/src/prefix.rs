//! The prefix of a text within a number of bytes.

/// Returns the longest prefix of `text` that has at most `max_bytes` bytes and ends at a character
/// boundary.
pub fn prefix(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    // A UTF-8 character has at most four bytes.
    let mut ends = (max_bytes.saturating_sub(3)..=max_bytes).rev();
    let end = ends.find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::prefix;

    #[test]
    fn no_character_is_split() {
        for (max_bytes, begins) in [(0, ""), (1, "a"), (2, "a"), (3, "aä"), (9, "aä")] {
            assert_eq!(prefix("aä", max_bytes), begins, "{max_bytes}");
        }
        assert_eq!(prefix("\u{1f600}", 3), "");
    }
}
