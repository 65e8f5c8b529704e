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
        // Whether the line has only blanks so far: a break would not help then.
        let mut is_blank = true;
        for n in 0..self.pieces.len() {
            let mut wrapped = String::new();
            for (line, text) in self.pieces[n].1.text().split('\n').enumerate() {
                if line > 0 {
                    wrapped.push_str(&line_break);
                    (column, is_blank) = (indent, true);
                }
                for word in text.split_inclusive(' ') {
                    // The blank after a word may be beyond the last column.
                    let needed = escape(word.trim_end()).width();
                    if needed > 0 && !is_blank && width.is_some_and(|width| column + needed > width)
                    {
                        wrapped.truncate(wrapped.trim_end_matches(' ').len());
                        wrapped.push_str(&line_break);
                        column = indent;
                    }
                    is_blank &= needed == 0;
                    wrapped.push_str(word);
                    column += escape(word).width();
                }
            }
            if let (true, Some(before)) = (wrapped.starts_with('\n'), n.checked_sub(1)) {
                let (_, Piece::Raw(text) | Piece::Escaped(text)) = &mut self.pieces[before];
                text.truncate(text.trim_end_matches(' ').len());
            }
            let (_, Piece::Raw(text) | Piece::Escaped(text)) = &mut self.pieces[n];
            *text = wrapped;
        }
        self
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
    colours::are_wanted(env::var_os)
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
