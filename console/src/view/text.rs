//! Text from other people. Templates escape it for HTML; this shows what would be invisible.

use std::borrow::Cow;

/// Shows control characters (an ANSI escape is `␛[31m`) and characters that change the direction
/// of text. Line ends and tabs are kept.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        c if !is_hidden(c) => c,
        '\u{7f}' => '\u{2421}',
        // The control pictures of Unicode.
        c if (c as u32) < 0x20 => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        _ => '\u{fffd}',
    });
    Cow::Owned(shown.collect())
}

fn is_hidden(c: char) -> bool {
    let changes_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n' && c != '\t') || changes_direction
}

/// Returns the first line, cut after `max` characters.
pub(crate) fn first_line(text: &str, max: usize) -> String {
    let text = text.trim_start();
    let line = text.lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(max).collect();
    if shown.len() < text.trim_end().len() {
        shown.push('…');
    }
    visible(&shown).into_owned()
}

/// Returns the first digits of a version, as `draftsman` shows them.
pub(crate) fn short(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}

/// Returns a number with the noun in singular or plural.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    let ending = if n == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(n))
}

/// Returns a number with a thin space between groups of three digits.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_shown_and_not_obeyed() {
        assert_eq!(visible("a\u{1b}[31mb\r\u{7f}"), "a␛[31mb␍␡");
        assert_eq!(visible("a\u{202e}b\u{9b}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(visible("line\n\ttab é"), "line\n\ttab é");
    }

    #[test]
    fn a_first_line_says_when_more_follows() {
        assert_eq!(first_line("one\ntwo", 10), "one…");
        assert_eq!(first_line("  one  \n", 10), "one  ");
        assert_eq!(first_line("abcdef", 3), "abc…");
    }

    #[test]
    fn numbers_are_grouped() {
        let shown = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(
            shown,
            ["0", "999", "1\u{2009}000", "1\u{2009}234\u{2009}567"]
        );
        assert_eq!(
            [counted(1, "issue"), counted(2, "issue")],
            ["1 issue", "2 issues"]
        );
    }
}
