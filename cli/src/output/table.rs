//! Tables: aligned and cut to the width of a terminal, or whole lines of tab-separated fields.
//!
//! On a terminal a row is one line. Long cells are cut, with an ellipsis at the end. If this is not
//! enough, columns are omitted in a stated order. Other readers get every field in full, without
//! headings, so that `cut` and `awk` can read them.

use prost_types::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::escape::escape;
use super::styled::{Paint, Styled};
use super::time;

/// Number of characters of a version in a table.
const SHORT_VERSION: usize = 12;
/// Number of blanks between two columns.
const GAP: usize = 2;
/// Width of a relative time such as `59m ago`.
const TIME_WIDTH: usize = 7;
/// The width below which a column of text is not cut, if others can be omitted.
const MIN_TEXT: usize = 16;

/// Who reads a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A person, at a terminal with this number of columns.
    Person {
        /// Width of the terminal.
        width: usize,
    },
    /// A program, behind a pipe or a file.
    Program,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    /// Whether its cells can be cut.
    is_text: bool,
    /// The least width.
    least: usize,
    /// Columns with the highest number are omitted first; 0: never.
    omitted: u8,
}

impl Column {
    /// Returns a column of values to copy or compare, such as ids and numbers.
    pub(crate) const fn value(name: &'static str) -> Self {
        Self {
            name,
            is_text: false,
            least: 0,
            omitted: 0,
        }
    }

    /// Returns a column of times. Its width does not change as time passes.
    pub(crate) const fn time(name: &'static str) -> Self {
        Self {
            least: TIME_WIDTH,
            ..Self::value(name)
        }
    }

    /// Returns a column of text, which is cut first.
    pub(crate) const fn text(name: &'static str) -> Self {
        Self {
            name,
            is_text: true,
            least: 0,
            omitted: 0,
        }
    }

    /// Allows to omit the column on a narrow terminal. Those with the highest number are omitted
    /// first.
    pub(crate) const fn omitted(self, order: u8) -> Self {
        Self {
            omitted: order,
            ..self
        }
    }
}

/// A field of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    paint: Paint,
    /// The form for a person: one line.
    brief: String,
    /// The form for a program.
    whole: String,
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        let text = text.as_ref();
        Self::short(text, text)
    }
}

impl Cell {
    /// Returns a field with a short form.
    pub(crate) fn short(brief: &str, whole: &str) -> Self {
        let one_line: Vec<&str> = brief.split_whitespace().collect();
        Self {
            paint: Paint::Plain,
            brief: escape(&one_line.join(" ")).into_owned(),
            whole: escape(whole).into_owned(),
        }
    }

    /// Returns a number.
    pub(crate) fn number(number: impl Into<u64>) -> Self {
        Self::from(number.into().to_string())
    }

    /// Returns a time: relative for a person, RFC 3339 for a program.
    pub(crate) fn time(at: Option<&Timestamp>) -> Self {
        Self::short(&time::relative(at), &time::absolute(at))
    }

    /// Returns a version, which is short for a person. An empty one is `-`.
    pub(crate) fn version(version: &str) -> Self {
        match version {
            "" => Self::short("-", ""),
            version => Self::short(short_version(version), version),
        }
    }

    /// Sets the colour.
    pub(crate) fn painted(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }
}

/// Returns the first characters of a version.
pub(crate) fn short_version(version: &str) -> &str {
    version.get(..SHORT_VERSION).unwrap_or(version)
}

/// Formats rows for their reader. No rows: only the headings for a person, nothing for a program.
pub(crate) fn table<const N: usize>(
    columns: [Column; N],
    rows: &[[Cell; N]],
    reader: Reader,
) -> Styled {
    match reader {
        Reader::Program => {
            let lines = rows.iter().map(|row| {
                let fields: Vec<&str> = row.iter().map(|cell| cell.whole.as_str()).collect();
                fields.join("\t")
            });
            Styled::escaped(Paint::Plain, lines.collect::<Vec<_>>().join("\n"))
        }
        Reader::Person { width } => aligned(columns, rows, width),
    }
}

fn aligned<const N: usize>(columns: [Column; N], rows: &[[Cell; N]], width: usize) -> Styled {
    let natural: [usize; N] = std::array::from_fn(|n| {
        let cells = rows.iter().map(|row| row[n].brief.width());
        let least = [columns[n].name.width(), columns[n].least];
        cells.chain(least).max().unwrap_or(0)
    });
    let is_empty: [bool; N] =
        std::array::from_fn(|n| !rows.is_empty() && rows.iter().all(|row| row[n].brief.is_empty()));
    let shown: Vec<usize> = (0..N).filter(|n| !is_empty[*n]).collect();
    let widths = fit(&columns, &natural, shown, width);

    let mut text = Styled::new();
    let line = |mut text: Styled, cell: &dyn Fn(usize) -> (Paint, String)| {
        // Blanks before the next cell, so that a line ends with its last cell.
        let mut blanks = 0;
        for (n, column_width) in &widths {
            let (paint, content) = cell(*n);
            let content = cut(&content, *column_width);
            if !content.is_empty() {
                text = text.plain(" ".repeat(blanks));
                blanks = 0;
            }
            blanks += column_width + GAP - content.width();
            text = text.paint(paint, content);
        }
        text
    };
    text = line(text, &|n| (Paint::Strong, columns[n].name.to_owned()));
    for row in rows {
        text = line(text.plain("\n"), &|n| (row[n].paint, row[n].brief.clone()));
    }
    text
}

/// Chooses the columns and their widths, so that a line has at most `width` characters.
fn fit<const N: usize>(
    columns: &[Column; N],
    natural: &[usize; N],
    mut shown: Vec<usize>,
    width: usize,
) -> Vec<(usize, usize)> {
    let least = |n: usize| match columns[n].is_text {
        true => natural[n].min(MIN_TEXT.max(columns[n].name.width())),
        false => natural[n],
    };
    let total = |shown: &[usize], of: &dyn Fn(usize) -> usize| {
        let widths: usize = shown.iter().map(|n| of(*n)).sum();
        widths + GAP * shown.len().saturating_sub(1)
    };
    while total(&shown, &least) > width {
        let omitted = shown.iter().filter(|n| columns[**n].omitted > 0);
        let Some(omitted) = omitted.max_by_key(|n| columns[**n].omitted).copied() else {
            break;
        };
        shown.retain(|n| *n != omitted);
    }
    let mut widths: Vec<(usize, usize)> = shown.iter().map(|n| (*n, natural[*n])).collect();
    let mut excess = total(&shown, &|n| natural[n]).saturating_sub(width);
    // The widest column loses a character until the line fits. Columns of text come first.
    while excess > 0 {
        let can_lose = |n: usize, width: usize| columns[n].is_text && width > least(n);
        let text = widths.iter_mut().filter(|(n, width)| can_lose(*n, *width));
        let widest = match text.max_by_key(|(_, width)| *width) {
            Some(widest) => widest,
            None => match widths.iter_mut().max_by_key(|(_, width)| *width) {
                Some(widest) if widest.1 > 1 => widest,
                _ => break,
            },
        };
        widest.1 -= 1;
        excess -= 1;
    }
    widths
}

/// Cuts text to `width` columns, with an ellipsis at the end.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    // A binary search: text may have thousands of characters without width before the cut.
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let n_fitting = ends.partition_point(|end| text[..*end].width() < width);
    let end = n_fitting.checked_sub(1).map_or(0, |last| ends[last]);
    match width {
        0 => String::new(),
        _ => format!("{}…", text[..end].trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::value("ISSUE"),
        Column::value("STATE"),
        Column::value("SUBMITTED").omitted(2),
        Column::text("INTENT").omitted(1),
    ];

    fn rows() -> Vec<[Cell; 4]> {
        vec![
            [
                Cell::short("deadbeef", "0193-deadbeef"),
                Cell::from("applied").painted(Paint::Good),
                Cell::short("2m ago", "2026-01-01T00:00:00Z"),
                Cell::from("set the prompt\nof the agent to\tsomething longer"),
            ],
            [
                Cell::from("mine"),
                Cell::from("denied").painted(Paint::Bad),
                Cell::short("1d ago", "2025-12-31T00:00:00Z"),
                Cell::from("漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字\x1b[0m"),
            ],
        ]
    }

    fn at(width: usize) -> String {
        table(COLUMNS, &rows(), Reader::Person { width }).render(false)
    }

    #[test]
    fn a_row_is_one_line_within_the_width_and_cells_are_cut() {
        for width in [1, 5, 20, 30, 40, 50, 60, 79, 80, 120] {
            let text = at(width);
            assert_eq!(text.lines().count(), 3, "{width}: {text}");
            for line in text.lines() {
                assert!(line.width() <= width.max(13), "{width}: {line:?}");
                assert_eq!(line, line.trim_end());
            }
        }
        assert_eq!(
            at(50),
            "ISSUE     STATE    SUBMITTED  INTENT\n\
             deadbeef  applied  2m ago     set the prompt of t…\n\
             mine      denied   1d ago     漢字漢字漢字漢字漢…"
        );
    }

    #[test]
    fn the_least_important_columns_are_omitted_first() {
        assert_eq!(
            at(36),
            "ISSUE     STATE    INTENT\n\
             deadbeef  applied  set the prompt o…\n\
             mine      denied   漢字漢字漢字漢字…"
        );
        assert_eq!(
            at(20),
            "ISSUE     STATE\ndeadbeef  applied\nmine      denied"
        );
    }

    #[test]
    fn a_program_gets_every_field_whole() {
        let text = table(COLUMNS, &rows(), Reader::Program).render(false);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split('\t').collect())
            .collect();
        assert_eq!(
            lines[0],
            [
                "0193-deadbeef",
                "applied",
                "2026-01-01T00:00:00Z",
                "set the prompt\\nof the agent to\\tsomething longer"
            ]
        );
        assert_eq!(lines[1].len(), 4);
    }

    #[test]
    fn a_column_without_content_is_not_shown() {
        let rows = [[Cell::from("a"), Cell::from(""), Cell::from("b")]];
        let columns = [Column::value("A"), Column::value("B"), Column::value("C")];
        let shown = table(columns, &rows, Reader::Person { width: 80 });
        assert_eq!(shown.render(false), "A  C\na  b");
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("漢字漢", 5), "漢字…");
        assert_eq!(cut("abc", 0), "");
        // Not measured again for each of the characters without width.
        let marks = format!("a{}bc", "\u{301}".repeat(100_000));
        assert_eq!(cut(&marks, 2).chars().count(), 100_002);
    }
}
