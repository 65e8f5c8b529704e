//! The text of an intent, and positions in it.

use std::collections::HashMap;

/// An intent with an index of the lines that may end a block.
pub(super) struct Source<'a> {
    /// The text.
    pub(super) text: &'a str,
    /// For each line that is a single word: the starts of such lines, in ascending order.
    words: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut words: HashMap<&str, Vec<usize>> = HashMap::new();
        for (start, line) in lines(text) {
            if is_word(line) {
                words.entry(line).or_default().push(start);
            }
        }
        Self { text, words }
    }

    /// Returns the byte at `at`, if present.
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// Returns the first position from `at` that is neither a blank nor a separator.
    pub(super) fn skip_separators(&self, at: usize) -> usize {
        self.skip(at, |byte| is_blank(byte) || byte == b';')
    }

    /// Returns the first position from `at` that is not a blank.
    pub(super) fn skip_blanks(&self, at: usize) -> usize {
        self.skip(at, is_blank)
    }

    /// Returns the first position from `at` in the same line that is not a blank.
    pub(super) fn skip_spaces(&self, at: usize) -> usize {
        self.skip(at, |byte| is_blank(byte) && byte != b'\n')
    }

    fn skip(&self, at: usize, over: impl Fn(u8) -> bool) -> usize {
        let rest = &self.text.as_bytes()[at..];
        at + rest.iter().take_while(|byte| over(**byte)).count()
    }

    /// Returns the first separator from `at`, or the end.
    pub(super) fn segment_end(&self, at: usize) -> usize {
        self.text[at..]
            .find([';', '\n'])
            .map_or(self.text.len(), |found| at + found)
    }

    /// Returns the start of the line of `at`.
    pub(super) fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Returns the end of the line of `at`, without its newline.
    pub(super) fn line_end(&self, at: usize) -> usize {
        self.text[at..]
            .find('\n')
            .map_or(self.text.len(), |found| at + found)
    }

    /// Returns the start of the first line from `at` that consists of `word` only.
    pub(super) fn line_of(&self, word: &str, at: usize) -> Option<usize> {
        let starts = self.words.get(word)?;
        starts
            .get(starts.partition_point(|start| *start < at))
            .copied()
    }

    /// Returns the position as `line 2, column 5`, for messages.
    pub(super) fn position(&self, at: usize) -> String {
        let start = self.line_start(at);
        let line = 1 + self.text[..start].bytes().filter(|b| *b == b'\n').count();
        let column = 1 + self.text[start..at].chars().count();
        format!("line {line}, column {column}")
    }
}

/// True for ASCII white space.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

/// Returns `text` without blanks at both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| u8::try_from(c).is_ok_and(is_blank))
}

/// Returns `text` without blanks at its end.
pub(super) fn trim_end(text: &str) -> &str {
    text.trim_end_matches(|c: char| u8::try_from(c).is_ok_and(is_blank))
}

/// Returns the word at the start of `text` that is a valid block name; otherwise an empty text.
pub(super) fn word_at(text: &str) -> &str {
    let is_first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let is_next = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    match text.bytes().next() {
        Some(first) if is_first(first) => {
            &text[..text.as_bytes().iter().take_while(|b| is_next(b)).count()]
        }
        _ => "",
    }
}

/// True if the text is a valid block name.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && word_at(text).len() == text.len()
}

/// Returns the lines of `text` without their line ends, each with its start.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split('\n').map(move |line| {
        let at = start;
        start += line.len() + 1;
        (at, line.strip_suffix('\r').unwrap_or(line))
    })
}
