//! Shows untrusted text on a terminal without obeying it.
//!
//! Ids, intents, reasons and documents come from other people. A terminal obeys control characters
//! in them: they move the cursor, change the clipboard or hide text. Bidirectional controls show
//! text in another order than programs read it.

use std::borrow::Cow;

/// Returns text in which characters that a terminal obeys or hides are escapes such as `\n` and
/// `\u{1b}`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    replace(text, |_| false, push_escape)
}

/// Like [`escape`], but keeps line breaks.
pub(crate) fn escape_lines(text: &str) -> Cow<'_, str> {
    replace(text, |c| c == '\n', push_escape)
}

/// Escapes a document for a terminal. Keeps line breaks and tabs.
pub(crate) fn escape_document(text: &str) -> Cow<'_, str> {
    replace(text, |c| matches!(c, '\n' | '\t'), push_escape)
}

/// Escapes JSON text, which has such characters only inside strings: the value stays the same.
pub(crate) fn escape_json(text: &str) -> Cow<'_, str> {
    replace(
        text,
        |c| c == '\n',
        |text, c| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        },
    )
}

/// Replaces the unsafe characters of `text`, except those to keep.
fn replace(
    text: &str,
    keep: impl Fn(char) -> bool,
    push: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let is_replaced = |c: char| is_unsafe(c) && !keep(c);
    if !text.chars().any(is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_replaced(c) {
            push(&mut safe, c);
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn push_escape(text: &mut String, c: char) {
    match c {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        c => text.extend(c.escape_unicode()),
    }
}

/// Returns whether a terminal obeys or hides the character. The joiners U+200C and U+200D are safe:
/// several scripts and emoji need them.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Bidirectional marks, embeddings, overrides and isolates (UAX #9).
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Separators of lines and paragraphs.
            | '\u{2028}' | '\u{2029}'
            // Without width: soft hyphen, zero width space, invisible operators, deprecated format
            // characters, byte order mark, interlinear annotations, tags.
            | '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_as_an_escape() {
        for (text, shown) in [
            ("plain Ä 漢字 👩\u{200d}🚀", "plain Ä 漢字 👩\u{200d}🚀"),
            ("a\x1b[31mred", "a\\u{1b}[31mred"),
            ("\x1b]52;c;aGk=\x07", "\\u{1b}]52;c;aGk=\\u{7}"),
            ("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("\u{202e}live\u{2066}", "\\u{202e}live\\u{2066}"),
            ("\u{2028}\u{feff}\u{e0041}", "\\u{2028}\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(escape(text), shown);
        }
        assert_eq!(escape_lines("a\n\tb"), "a\n\\tb");
        assert_eq!(escape_document("a\n\tb\x1b"), "a\n\tb\\u{1b}");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let value = serde_json::json!({ "a": "\u{202e}\u{7f}\u{9b}\u{e0041}\u{1b}\nä" });
        let text = value.to_string();
        let escaped = escape_json(&text);
        assert!(escaped.chars().all(|c| !is_unsafe(c)), "{escaped}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
            value
        );
    }
}
