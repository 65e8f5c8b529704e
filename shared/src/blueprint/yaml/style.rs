//! Styles of scalars in canonical YAML. `docs/canonical-yaml.md` documents the same rules.
//!
//! The writer and the canonical reader both use these functions. So the reader accepts exactly the
//! canonical texts.

/// The style of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Unquoted.
    Plain,
    /// Double-quoted with the escapes of JSON.
    Quoted,
    /// A literal block.
    Literal {
        /// True if the header has an indentation indicator.
        indicator: bool,
        /// The trailing line breaks.
        chomping: Chomping,
    },
}

/// The line breaks at the end of a literal block (YAML 1.2 section 8.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chomping {
    /// None: `|-`.
    Strip,
    /// One: `|`.
    Clip,
    /// Two or more: `|+`.
    Keep,
}

impl Chomping {
    /// Returns the indicator in the header.
    pub(super) fn indicator(self) -> &'static str {
        match self {
            Chomping::Strip => "-",
            Chomping::Clip => "",
            Chomping::Keep => "+",
        }
    }
}

/// Words, in lower case, that some reader resolves to a null, a boolean or a number. They cover
/// YAML 1.1 and 1.2, and readers that use the number parser of their language.
const RESERVED: [&str; 12] = [
    "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity",
];

/// The maximum size of a written key before its colon, in bytes. YAML allows 1,024 characters; a
/// longer key needs the indicator `? `.
pub(super) const MAX_SIMPLE_KEY: usize = 1_000;

/// Returns the style of `text` as a key or as the whole document.
pub(super) fn inline(text: &str) -> Style {
    if is_plain(text) {
        Style::Plain
    } else {
        Style::Quoted
    }
}

/// Returns the style of `text` as the value of a key or as an item.
pub(super) fn block(text: &str) -> Style {
    if is_plain(text) {
        return Style::Plain;
    }
    literal(text).unwrap_or(Style::Quoted)
}

/// Returns true if `text` is one line that every reader resolves to this string without quotes.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(first) = bytes.first() else {
        return false;
    };
    if !(first.is_ascii_alphabetic()
        || matches!(first, b'_' | b'/' | b'$' | b'(')
        || *first >= 0x80)
    {
        return false;
    }
    let mut is_ascii = true;
    for (at, byte) in bytes.iter().enumerate() {
        match PLAIN[usize::from(*byte)] {
            Class::Yes => {}
            Class::No => return false,
            Class::Colon => match bytes.get(at + 1) {
                Some(next) if next.is_ascii_alphanumeric() || *next == b'/' => {}
                _ => return false,
            },
            Class::NotAscii => is_ascii = false,
        }
    }
    if bytes.ends_with(b" ") {
        return false;
    }
    if !is_ascii
        && !text
            .chars()
            .all(|c| is_printable(c) && (c == ' ' || !c.is_whitespace()))
    {
        return false;
    }
    bytes.len() > 8 || !RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[derive(Clone, Copy)]
enum Class {
    Yes,
    No,
    Colon,
    NotAscii,
}

/// The class of each byte in a plain scalar.
#[allow(clippy::cast_possible_truncation, reason = "below 256")]
static PLAIN: [Class; 256] = {
    let mut table = [Class::No; 256];
    let mut byte = 0x20;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'#' | b'\\' | 0x7F => Class::No,
            b':' => Class::Colon,
            0x80.. => Class::NotAscii,
            _ => Class::Yes,
        };
        byte += 1;
    }
    table
};

/// Returns true if every reader accepts `c` unescaped. Both YAML 1.1 and 1.2 allow it, and it is
/// neither a YAML 1.1 line break nor the byte order mark. Line feed and tab are excluded.
pub(super) fn is_printable(c: char) -> bool {
    matches!(c,
        ' '..='~'
        | '\u{A0}'..='\u{2027}'
        | '\u{202A}'..='\u{D7FF}'
        | '\u{E000}'..='\u{FEFE}'
        | '\u{FF00}'..='\u{FFFD}'
        | '\u{10000}'..)
}

/// Returns the literal block style for `text` if every reader reads it back. The text needs a line
/// with visible characters, only printable characters and tabs, and no first or last line of only
/// spaces or tabs.
fn literal(text: &str) -> Option<Style> {
    if !text.contains('\n')
        || !text
            .bytes()
            .all(|b| b >= 0x20 && b != 0x7F || b == b'\n' || b == b'\t')
    {
        return None;
    }
    if !text.is_ascii()
        && !text
            .chars()
            .all(|c| is_printable(c) || c == '\n' || c == '\t')
    {
        return None;
    }
    let content = text.trim_start_matches('\n');
    let first_line = content.split('\n').next()?;
    let body = content.trim_end_matches('\n');
    let last_line = body.rsplit('\n').next()?;
    if is_blank(first_line) || is_blank(last_line) {
        return None;
    }
    let chomping = match content.len() - body.len() {
        0 => Chomping::Strip,
        1 => Chomping::Clip,
        _ => Chomping::Keep,
    };
    Some(Style::Literal {
        indicator: first_line.starts_with([' ', '\t']),
        chomping,
    })
}

fn is_blank(line: &str) -> bool {
    line.bytes().all(|b| matches!(b, b' ' | b'\t'))
}

/// Appends `text` in double quotes, as a JSON string.
pub(super) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some((at, c)) = next_escaped(rest) {
        out.push_str(&rest[..at]);
        push_escape(out, c);
        rest = &rest[at + c.len_utf8()..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Returns the first character of `text` that needs an escape in double quotes, and its position.
pub(super) fn next_escaped(text: &str) -> Option<(usize, char)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7F => return Some((at, char::from(*byte))),
            0x80.. => {
                let c = text[at..].chars().next()?;
                if !is_printable(c) {
                    return Some((at, c));
                }
                at += c.len_utf8();
            }
            _ => at += 1,
        }
    }
    None
}

/// Appends the escape of `c`, a character from [`next_escaped`].
pub(super) fn push_escape(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{C}' => out.push_str("\\f"),
        // All other non-printable characters are below U+10000.
        other => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                out.push(char::from(
                    DIGITS[(u32::from(other) >> shift & 0xF) as usize],
                ));
            }
        }
    }
}
