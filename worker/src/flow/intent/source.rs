//! The text of an intent, and places in it.

use std::collections::HashMap;

/// An intent, and where its lines are that may end a block.
pub(super) struct Source<'a> {
    /// The text.
    pub(super) text: &'a str,
    /// For each line that is one word: where such lines begin, in ascending order.
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

    /// The byte at `at`, if there is one.
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// The first place at or after `at` that is neither a blank nor a separator.
    pub(super) fn skip_separators(&self, at: usize) -> usize {
        self.skip(at, |byte| is_blank(byte) || byte == b';')
    }

    /// The first place at or after `at` that is no blank.
    pub(super) fn skip_blanks(&self, at: usize) -> usize {
        self.skip(at, is_blank)
    }

    /// The first place at or after `at` that is no blank, within the line.
    pub(super) fn skip_spaces(&self, at: usize) -> usize {
        self.skip(at, |byte| is_blank(byte) && byte != b'\n')
    }

    fn skip(&self, at: usize, over: impl Fn(u8) -> bool) -> usize {
        let rest = &self.text.as_bytes()[at..];
        at + rest.iter().take_while(|byte| over(**byte)).count()
    }

    /// The first separator at or after `at`, else the end.
    pub(super) fn segment_end(&self, at: usize) -> usize {
        self.text[at..]
            .find([';', '\n'])
            .map_or(self.text.len(), |found| at + found)
    }

    /// Where the line of `at` begins.
    pub(super) fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The end of the line of `at`, without its newline.
    pub(super) fn line_end(&self, at: usize) -> usize {
        self.text[at..]
            .find('\n')
            .map_or(self.text.len(), |found| at + found)
    }

    /// The first line at or after `at` that is `word` and nothing else.
    pub(super) fn line_of(&self, word: &str, at: usize) -> Option<usize> {
        let starts = self.words.get(word)?;
        starts
            .get(starts.partition_point(|start| *start < at))
            .copied()
    }

    /// `line 2, column 5` for people.
    pub(super) fn place(&self, at: usize) -> String {
        let start = self.line_start(at);
        let line = 1 + self.text[..start].bytes().filter(|b| *b == b'\n').count();
        let column = 1 + self.text[start..at].chars().count();
        format!("line {line}, column {column}")
    }
}

/// A blank as ASCII has it.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

/// `text` without blanks around it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| u8::try_from(c).is_ok_and(is_blank))
}

/// `text` without blanks at its end.
pub(super) fn trim_end(text: &str) -> &str {
    text.trim_end_matches(|c: char| u8::try_from(c).is_ok_and(is_blank))
}

/// The word at the beginning of `text` that can name a block; empty if there is none.
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

/// True for a word that can name a block.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && word_at(text).len() == text.len()
}

/// The lines of `text` without their ends, and where each begins.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split('\n').map(move |line| {
        let at = start;
        start += line.len() + 1;
        (at, line.strip_suffix('\r').unwrap_or(line))
    })
}
