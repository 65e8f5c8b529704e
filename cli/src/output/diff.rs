//! Unified diffs, in colour on a terminal.

use std::io::{self, Write};

use super::escape::escape_document;
use super::styled::{Paint, Styled, stdout_has_colours};

/// Writes a unified diff, or that the documents are the same.
///
/// # Errors
/// The error of the operating system.
pub(crate) fn show_diff(diff: &str) -> io::Result<()> {
    if diff.is_empty() {
        return super::line("no difference");
    }
    let text = render(diff, stdout_has_colours());
    io::stdout().lock().write_all(text.as_bytes())
}

/// Formats a diff: deletions red, insertions green, positions cyan, the header bold.
fn render(diff: &str, is_coloured: bool) -> String {
    let mut text = String::with_capacity(diff.len() * 2);
    let mut in_header = true;
    for line in diff.split_inclusive('\n') {
        in_header &= !line.starts_with("@@");
        let paint = match line.as_bytes().first() {
            _ if in_header => Paint::Strong,
            Some(b'-') => Paint::Bad,
            Some(b'+') => Paint::Good,
            Some(b'@') => Paint::Active,
            _ => Paint::Plain,
        };
        let (content, end) = match line.strip_suffix('\n') {
            Some(content) => (content, "\n"),
            None => (line, ""),
        };
        // `escape_document` keeps tabs, which `Styled` would escape.
        let content = escape_document(content);
        text.push_str(&Styled::escaped(paint, content).render(is_coloured));
        text.push_str(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_is_coloured_line_by_line() {
        let diff = "--- a\n+++ b\n@@ -1,2 +1,2 @@\n same\n--- gone\n+new\n";
        assert_eq!(
            render(diff, true),
            "\x1b[1m--- a\x1b[0m\n\x1b[1m+++ b\x1b[0m\n\x1b[36m@@ -1,2 +1,2 @@\x1b[0m\n same\n\
             \x1b[31m--- gone\x1b[0m\n\x1b[32m+new\x1b[0m\n"
        );
        assert_eq!(render(diff, false), diff);
    }

    #[test]
    fn what_a_document_says_does_not_reach_the_terminal() {
        let shown = render("@@ -1 +1 @@\n+a\x1b[2J\tb\u{202e}\n", true);
        assert_eq!(
            shown,
            "\x1b[36m@@ -1 +1 @@\x1b[0m\n\x1b[32m+a\\u{1b}[2J\tb\\u{202e}\x1b[0m\n"
        );
    }
}
