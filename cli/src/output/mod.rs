//! Output: tables and sentences for people, tab-separated fields and JSON for programs.
//!
//! All text is escaped, except documents that a program reads. Nothing else of this crate writes
//! to standard output or standard error.

mod diff;
mod escape;
mod ids;
mod issue;
mod json;
mod lists;
mod styled;
mod table;
mod time;

use std::borrow::Cow;
use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

pub(crate) use self::diff::show_diff;
pub(crate) use self::escape::{escape, escape_json};
pub(crate) use self::ids::{MIN_CHARACTERS as MIN_ID, short_ids};
pub(crate) use self::issue::{standing, state_name, state_paint, state_word, status_paint};
pub(crate) use self::json::{
    commit_json, entry_json, issue_json, nested_json, path_json, stats_json, summary_json,
    time_json, usage_json, verdict_json,
};
pub(crate) use self::lists::{count, left_out, thousands};
pub(crate) use self::styled::{Paint, Styled, stderr_has_colours, stdout_has_colours};
pub(crate) use self::table::{Cell, Column, Reader, cut, short_version, table};
pub(crate) use self::time::{both, from_ms, relative, to_ms};

/// The width of a terminal that does not say its own.
const DEFAULT_WIDTH: u16 = 80;
/// The number of lines of a terminal that does not say its own.
const DEFAULT_ROWS: u16 = 24;
/// The width of the names of the fields of an entry.
const FIELD_WIDTH: usize = 11;

/// Writes one or several lines to standard output.
///
/// # Errors
/// The error of the operating system. Callers pass on a closed pipe; `main` then exits with status
/// 0.
pub(crate) fn line(text: impl Into<Styled>) -> io::Result<()> {
    let text = text.into().wrap(0, wrap_width());
    writeln!(io::stdout().lock(), "{}", text.render(stdout_has_colours()))
}

/// Writes lines to copy, such as commands of a shell: a long line is not broken.
///
/// # Errors
/// As [`line`].
pub(crate) fn verbatim(text: impl Into<Styled>) -> io::Result<()> {
    let text = text.into().render(stdout_has_colours());
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes one or several lines to standard error.
///
/// # Errors
/// The error of the operating system.
pub(crate) fn note(text: impl Into<Styled>) -> io::Result<()> {
    let text = text.into().wrap(0, width_of(io::stderr()));
    writeln!(io::stderr().lock(), "{}", text.render(stderr_has_colours()))
}

/// Writes a value as one line of JSON to standard error.
///
/// # Errors
/// As [`note`].
pub(crate) fn note_json(value: &Value) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{}", escape_json(&value.to_string()))
}

/// Asks on standard error. The answer comes on the same line.
///
/// # Errors
/// As [`note`].
pub(crate) fn ask(question: impl Into<Styled>) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    let question = question.into().render(stderr_has_colours());
    write!(stderr, "{question} ")?;
    stderr.flush()
}

/// Returns whether standard output is a terminal whose screen can be written again.
pub(crate) fn can_redraw() -> bool {
    io::stdout().is_terminal() && moves_cursor()
}

/// Returns whether the kind of the terminal has a cursor that programs can move.
pub(crate) fn moves_cursor() -> bool {
    env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Returns a version: short for a person, whole for a program.
pub(crate) fn version(version: &str) -> &str {
    match reader() {
        Reader::Person { .. } => short_version(version),
        Reader::Program => version,
    }
}

/// Replaces the screen of the terminal. Says how many lines do not fit.
///
/// # Errors
/// As [`line`].
pub(crate) fn redraw(text: impl Into<Styled>) -> io::Result<()> {
    let text = text.into().render(stdout_has_colours());
    let mut stdout = io::stdout().lock();
    let size = rustix::termios::tcgetwinsize(&stdout);
    let n_rows = size.map_or(0, |size| size.ws_row);
    let n_rows = if n_rows == 0 { DEFAULT_ROWS } else { n_rows };
    // ECMA-48: cursor home, and after the text erase to the end of the line and of the screen.
    let text = fitting(&text, n_rows.into()).join("\x1b[K\r\n");
    write!(stdout, "\x1b[H{text}\x1b[K\r\n\x1b[J")?;
    stdout.flush()
}

/// Returns the lines that fit a screen, below which the cursor has a line. A further line would
/// move the first ones out of it.
fn fitting(text: &str, n_rows: usize) -> Vec<Cow<'_, str>> {
    let mut lines: Vec<Cow<'_, str>> = text.lines().map(Cow::from).collect();
    let n_fitting = n_rows.saturating_sub(1).max(1);
    if lines.len() > n_fitting {
        let n_more = lines.len() + 1 - n_fitting;
        lines.truncate(n_fitting - 1);
        lines.push(format!("… {n_more} more").into());
    }
    lines
}

/// Returns a warning.
pub(crate) fn warning(text: impl Display) -> Styled {
    Styled::of(Paint::Warn, "warning:").plain(format_args!(" {text}"))
}

/// Writes a field of an entry: its name, and its text with the further lines indented.
///
/// # Errors
/// As [`line`].
pub(crate) fn field(name: &str, text: impl Into<Styled>) -> io::Result<()> {
    let text = text.into().trim_end().wrap(FIELD_WIDTH, wrap_width());
    let name = format!("{name:<FIELD_WIDTH$}");
    line(Styled::of(Paint::Muted, name).then(text))
}

/// Writes a table; without rows, writes to standard error that there are no `items`.
///
/// # Errors
/// As [`line`].
pub(crate) fn list<const N: usize>(
    columns: [Column; N],
    rows: &[[Cell; N]],
    items: &str,
) -> io::Result<()> {
    if rows.is_empty() {
        return note(format_args!("no {items}"));
    }
    line(table(columns, rows, reader()))
}

/// Returns the width at which sentences for a person are wrapped; `None` for a program.
pub(crate) fn wrap_width() -> Option<usize> {
    width_of(io::stdout())
}

/// Returns who reads standard output.
pub(crate) fn reader() -> Reader {
    match width_of(io::stdout()) {
        Some(width) => Reader::Person { width },
        None => Reader::Program,
    }
}

/// Returns the width of a terminal; `None` for anything else.
fn width_of(file: impl AsFd + IsTerminal) -> Option<usize> {
    if !file.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(file);
    let width = size.map_or(0, |size| size.ws_col);
    let width = if width == 0 { DEFAULT_WIDTH } else { width };
    Some(width.into())
}

/// Shortens text to one line: to the rest of the terminal's width after `before` characters for a
/// person, not at all for a program.
pub(crate) fn one_line(text: &str, before: usize) -> String {
    match reader() {
        Reader::Program => brief(text, usize::MAX),
        Reader::Person { width } => brief(text, width.saturating_sub(before).max(20)),
    }
}

/// Escapes text and shortens it to one line of at most `width` columns.
pub(crate) fn brief(text: &str, width: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&escape(&one_line), width)
}

/// Writes a document: exactly to a program, escaped on a terminal.
///
/// # Errors
/// As [`line`].
pub(crate) fn document(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    match stdout.is_terminal() {
        true => write!(stdout.lock(), "{}", escape::escape_document(text)),
        false => stdout.write_all(text.as_bytes()),
    }
}

/// Writes JSON text as it is, on a line of its own.
///
/// # Errors
/// As [`line`].
pub(crate) fn json_text(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", escape_json(text))
}

/// Writes a value as indented JSON.
///
/// # Errors
/// As [`line`].
pub(crate) fn json_document(value: &Value) -> io::Result<()> {
    writeln!(
        io::stdout().lock(),
        "{}",
        escape_json(&format!("{value:#}"))
    )
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// As [`line`].
pub(crate) fn json_line(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", escape_json(&value.to_string()))
}

/// Returns the number of terminal columns of text.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn a_screen_begins_with_the_first_line_and_says_how_many_do_not_fit() {
        assert_eq!(fitting("a\nb\nc", 4), ["a", "b", "c"]);
        assert_eq!(fitting("a\nb\nc", 3), ["a", "… 2 more"]);
        assert_eq!(fitting("a\nb\nc", 1), ["… 3 more"]);
        assert_eq!(fitting("", 0), [""; 0]);
    }
}
