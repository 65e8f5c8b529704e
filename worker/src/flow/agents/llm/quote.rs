//! Quotes text of providers and models in messages: bounded, on one line, without control
//! characters.

/// Returns the first `max_chars` characters of `text`, in quotes; unprintable characters are
/// escaped.
pub(super) fn quoted(text: &str, max_chars: usize) -> String {
    let (cut, mark) = cut(text.trim(), max_chars);
    format!("{cut:?}{mark}")
}

/// Like [`quoted`], without the quotes; each run of white space becomes one space.
pub(super) fn on_one_line(text: &str, max_chars: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    let (cut, mark) = cut(&words, max_chars);
    let mut shown = String::with_capacity(cut.len());
    for letter in cut.chars() {
        match letter {
            '"' | '\'' | '\\' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    shown + mark
}

fn cut(text: &str, max_chars: usize) -> (&str, &'static str) {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_bounded_and_escaped() {
        assert_eq!(quoted(" a\n\"b\"\u{1b}[2J ", 20), r#""a\n\"b\"\u{1b}[2J""#);
        assert_eq!(quoted("äöü", 2), "\"äö\"…");
        assert_eq!(
            on_one_line("it's\n  \u{202e}\"far\u{7}\"", 20),
            "it's \\u{202e}\"far\\u{7}\""
        );
        assert_eq!(on_one_line("abc", 2), "ab…");
    }
}
