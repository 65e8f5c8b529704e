//! Text with colours.
//!
//! The text and its colours are kept apart until they are written. So all text is escaped, and only
//! this module writes escape sequences.

use std::borrow::Cow;
use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal};

use shared::telemetry::colours;
use unicode_width::UnicodeWidthStr;

use super::escape::{escape, escape_lines};
use super::table::cut;

/// The meaning of a piece of text, which determines its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// No colour.
    Plain,
    /// Applied, passed, healthy, inserted.
    Good,
    /// Denied, failed, wrong, deleted.
    Bad,
    /// A warning, or something that waits.
    Warn,
    /// Something that runs, or a place in a difference.
    Active,
    /// Less important.
    Muted,
    /// A heading.
    Strong,
}

impl Paint {
    /// Returns the parameters of the SGR sequence (ECMA-48); empty without a colour.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warn => "33",
            Self::Active => "36",
            Self::Muted => "2",
            Self::Strong => "1",
        }
    }
}

/// One or several lines of text, with colours. Whatever can be formatted is text without colours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Styled {
    pieces: Vec<(Paint, Piece)>,
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Any text; it is escaped when it is written.
    Raw(String),
    /// Text whose untrusted parts were escaped.
    Escaped(String),
}

#[cfg(test)]
impl Piece {
    fn text(&self) -> &str {
        match self {
            Self::Raw(text) | Self::Escaped(text) => text,
        }
    }
}

impl<T: Display> From<T> for Styled {
    fn from(text: T) -> Self {
        Self::new().plain(text)
    }
}

impl Styled {
    /// Returns empty text.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Returns text in one colour.
    pub(crate) fn of(paint: Paint, text: impl Display) -> Self {
        Self::new().paint(paint, text)
    }

    /// Appends text without a colour.
    pub(crate) fn plain(self, text: impl Display) -> Self {
        self.paint(Paint::Plain, text)
    }

    /// Appends text in a colour.
    pub(crate) fn paint(mut self, paint: Paint, text: impl Display) -> Self {
        self.pieces.push((paint, Piece::Raw(text.to_string())));
        self
    }

    /// Returns text whose untrusted parts were escaped by other rules.
    pub(super) fn escaped(paint: Paint, text: impl Into<String>) -> Self {
        Self {
            pieces: vec![(paint, Piece::Escaped(text.into()))],
        }
    }

    /// Appends other text.
    pub(crate) fn then(mut self, other: impl Into<Self>) -> Self {
        self.pieces.extend(other.into().pieces);
        self
    }

    /// Removes blanks and line breaks at the end.
    pub(crate) fn trim_end(mut self) -> Self {
        while let Some((_, Piece::Raw(text) | Piece::Escaped(text))) = self.pieces.last_mut() {
            text.truncate(text.trim_end().len());
            if !text.is_empty() {
                break;
            }
            self.pieces.pop();
        }
        self
    }

    /// Breaks lines between words, so that a line has at most `width` columns. The first line
    /// begins after `indent` columns, further ones after as many blanks. Longer words are kept.
    pub(crate) fn wrap(mut self, indent: usize, width: Option<usize>) -> Self {
        let line_break = format!("\n{}", " ".repeat(indent));
        let mut column = indent;
        for (_, Piece::Raw(text) | Piece::Escaped(text)) in &mut self.pieces {
            let mut wrapped = String::with_capacity(text.len());
            for (n, line) in text.split('\n').enumerate() {
                if n > 0 {
                    wrapped.push_str(&line_break);
                    column = indent;
                }
                for word in line.split_inclusive(' ') {
                    // The blank after a word may be beyond the last column.
                    let needed = escape(word.trim_end()).width();
                    if column > indent && width.is_some_and(|width| column + needed > width) {
                        wrapped.truncate(wrapped.trim_end_matches(' ').len());
                        wrapped.push_str(&line_break);
                        column = indent;
                    }
                    wrapped.push_str(word);
                    column += escape(word).width();
                }
            }
            *text = wrapped;
        }
        self
    }

    /// Returns each line, cut to `width` columns.
    pub(crate) fn lines(&self, width: usize) -> Vec<Self> {
        let mut lines = vec![Self::new()];
        let mut left = width;
        for (paint, piece) in &self.pieces {
            let text = match piece {
                Piece::Raw(text) => escape_lines(text),
                Piece::Escaped(text) => Cow::Borrowed(text.as_str()),
            };
            for (n, part) in text.split('\n').enumerate() {
                if n > 0 {
                    lines.push(Self::new());
                    left = width;
                }
                let part = cut(part, left);
                left -= part.width();
                let line = lines.last_mut().expect("at least one line");
                line.pieces.push((*paint, Piece::Escaped(part)));
            }
        }
        lines
    }

    /// Returns the text alone.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.pieces.iter().map(|(_, piece)| piece.text()).collect()
    }

    /// Returns the escaped text, with line breaks, and with colours if `is_coloured`.
    pub(crate) fn render(&self, is_coloured: bool) -> String {
        let mut rendered = String::new();
        for (paint, piece) in &self.pieces {
            let text = match piece {
                Piece::Raw(text) => escape_lines(text),
                Piece::Escaped(text) => Cow::Borrowed(text.as_str()),
            };
            match paint.code() {
                code if is_coloured && !code.is_empty() && !text.is_empty() => {
                    rendered.push_str(&format!("\x1b[{code}m{text}\x1b[0m"));
                }
                _ => rendered.push_str(&text),
            }
        }
        rendered
    }
}

/// Returns whether standard output shows colours.
pub(crate) fn stdout_has_colours() -> bool {
    io::stdout().is_terminal() && colours_are_wanted()
}

/// Returns whether standard error shows colours.
pub(crate) fn stderr_has_colours() -> bool {
    io::stderr().is_terminal() && colours_are_wanted()
}

fn colours_are_wanted() -> bool {
    colours::are_wanted(|name| env::var_os(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_colours_reach_a_terminal() {
        let text = Styled::of(Paint::Bad, "a\x1b[1mb").plain("\nc");
        assert_eq!(text.render(true), "\x1b[31ma\\u{1b}[1mb\x1b[0m\nc");
        assert_eq!(text.render(false), "a\\u{1b}[1mb\nc");
        assert_eq!(Styled::from("x").then("y").text(), "xy");
    }

    #[test]
    fn long_lines_break_between_words() {
        let text = || Styled::from("one two ").paint(Paint::Bad, "three four\nfive");
        let lines = text().lines(10);
        let lines: Vec<String> = lines.iter().map(Styled::text).collect();
        assert_eq!(lines, ["one two t…", "five"]);
        assert_eq!(
            text().wrap(2, Some(12)).text(),
            "one two\n  three four\n  five"
        );
        assert_eq!(text().wrap(2, None).text(), "one two three four\n  five");
        assert_eq!(
            Styled::from("longerthan x").wrap(0, Some(4)).text(),
            "longerthan\nx"
        );
        assert_eq!(
            text().plain(" \n").trim_end().text(),
            "one two three four\nfive"
        );
    }
}
