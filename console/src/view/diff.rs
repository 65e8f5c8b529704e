//! Differences of documents, line by line, with changed words marked and unchanged parts folded.

use std::time::Duration;

use maud::{Markup, html};
use similar::{ChangeTag, DiffTag, TextDiff};

use crate::view::text::{counted, visible};

/// The time limit for a minimal diff. After it, the diff is correct but longer.
const DIFF_WITHIN: Duration = Duration::from_millis(200);
/// Lines around a change.
const CONTEXT: usize = 3;
/// A folded part with more lines cannot be unfolded on the page.
const MAX_FOLDED: usize = 500;
/// Changed lines on one page.
const MAX_CHANGED: usize = 3_000;
/// Lines longer than this are not compared word by word, in bytes.
const MAX_WORDS_BYTES: usize = 4_000;

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    text: String,
    is_changed: bool,
}

/// A line of a diff, with its numbers from 1 on each side that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    old: Option<usize>,
    new: Option<usize>,
    parts: Vec<Part>,
}

/// A part of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    /// Lines to show.
    Shown(Vec<Line>),
    /// Unchanged lines; the lines are absent if there are too many of them.
    Folded(usize, Vec<Line>),
}

/// Shows how the second text differs from the first.
pub(crate) fn of_texts(old: &str, new: &str) -> Markup {
    render(&blocks_of_texts(old, new))
}

/// Shows a unified diff. Unchanged parts are absent from it.
pub(crate) fn of_unified(diff: &str) -> Markup {
    render(&blocks_of_unified(diff))
}

fn blocks_of_texts(old: &str, new: &str) -> Vec<Block> {
    let diff = TextDiff::configure()
        .timeout(DIFF_WITHIN)
        .diff_lines(old, new);
    let mut blocks = Vec::new();
    let mut next_old = 0;
    let old_lines: Vec<&str> = old.lines().collect();
    let fold = |from: usize, to: usize, new_from: usize, blocks: &mut Vec<Block>| {
        if from >= to {
            return;
        }
        let n = to - from;
        let lines = if n <= MAX_FOLDED { n } else { 0 };
        let lines = (0..lines).map(|at| Line {
            old: Some(from + at + 1),
            new: Some(new_from + at + 1),
            parts: plain(old_lines.get(from + at).copied().unwrap_or_default()),
        });
        blocks.push(Block::Folded(n, lines.collect()));
    };
    let mut next_new = 0;
    for group in diff.grouped_ops(CONTEXT) {
        let Some(first) = group.first() else { continue };
        fold(next_old, first.old_range().start, next_new, &mut blocks);
        let mut lines = Vec::new();
        for op in &group {
            if op.tag() == DiffTag::Equal {
                for change in diff.iter_changes(op) {
                    lines.push(Line {
                        old: change.old_index().map(|at| at + 1),
                        new: change.new_index().map(|at| at + 1),
                        parts: plain(trimmed(change.value())),
                    });
                }
                continue;
            }
            let (mut removed, mut added) = (Vec::new(), Vec::new());
            for change in diff.iter_changes(op) {
                let text = trimmed(change.value());
                match change.tag() {
                    ChangeTag::Delete => {
                        removed.push((change.old_index().unwrap_or_default() + 1, text));
                    }
                    _ => added.push((change.new_index().unwrap_or_default() + 1, text)),
                }
            }
            replaced(&removed, &added, &mut lines);
        }
        if let Some(last) = group.last() {
            (next_old, next_new) = (last.old_range().end, last.new_range().end);
        }
        blocks.push(Block::Shown(lines));
    }
    if !blocks.is_empty() {
        fold(next_old, old_lines.len(), next_new, &mut blocks);
    }
    blocks
}

fn blocks_of_unified(diff: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut old, mut new, mut last_old) = (0, 0, 0);
    let (mut removed, mut added, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_in_hunk = false;
    for line in diff.lines() {
        if let Some((from, to)) = hunk(line) {
            replaced(&removed, &added, &mut lines);
            (removed, added) = (Vec::new(), Vec::new());
            if !lines.is_empty() {
                blocks.push(Block::Shown(std::mem::take(&mut lines)));
            }
            if from > last_old + 1 {
                blocks.push(Block::Folded(from - last_old - 1, Vec::new()));
            }
            (old, new, is_in_hunk) = (from, to, true);
            continue;
        }
        if !is_in_hunk {
            continue;
        }
        match line.split_at_checked(1) {
            Some(("-", text)) => {
                removed.push((old, text));
                old += 1;
            }
            Some(("+", text)) => {
                added.push((new, text));
                new += 1;
            }
            Some((" ", text)) => {
                replaced(&removed, &added, &mut lines);
                (removed, added) = (Vec::new(), Vec::new());
                lines.push(Line {
                    old: Some(old),
                    new: Some(new),
                    parts: plain(text),
                });
                (old, new) = (old + 1, new + 1);
            }
            // "\ No newline at end of file"
            _ => {}
        }
        last_old = old.saturating_sub(1);
    }
    replaced(&removed, &added, &mut lines);
    if !lines.is_empty() {
        blocks.push(Block::Shown(lines));
    }
    blocks
}

/// Returns the first lines of a hunk, from `@@ -12,7 +12,8 @@`.
fn hunk(line: &str) -> Option<(usize, usize)> {
    let rest = line.strip_prefix("@@ -")?;
    let (old, rest) = rest.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let first = |range: &str| range.split(',').next()?.parse::<usize>().ok();
    Some((first(old)?, first(new)?))
}

fn trimmed(line: &str) -> &str {
    line.strip_suffix('\n').unwrap_or(line)
}

fn plain(text: &str) -> Vec<Part> {
    vec![Part {
        text: text.to_owned(),
        is_changed: false,
    }]
}

/// Adds removed lines, then added ones. The n-th of both are compared word by word.
fn replaced(removed: &[(usize, &str)], added: &[(usize, &str)], lines: &mut Vec<Line>) {
    let pairs: Vec<_> = removed
        .iter()
        .zip(added)
        .map(|((_, old), (_, new))| words(old, new))
        .collect();
    for (at, (number, text)) in removed.iter().enumerate() {
        let parts = pairs.get(at).map(|(old, _)| old.clone());
        lines.push(Line {
            old: Some(*number),
            new: None,
            parts: parts.unwrap_or_else(|| plain(text)),
        });
    }
    for (at, (number, text)) in added.iter().enumerate() {
        let parts = pairs.get(at).map(|(_, new)| new.clone());
        lines.push(Line {
            old: None,
            new: Some(*number),
            parts: parts.unwrap_or_else(|| plain(text)),
        });
    }
}

/// Compares two lines word by word. Lines that have little in common are left unmarked.
fn words(old: &str, new: &str) -> (Vec<Part>, Vec<Part>) {
    if old.len() + new.len() > MAX_WORDS_BYTES {
        return (plain(old), plain(new));
    }
    let diff = TextDiff::configure()
        .timeout(DIFF_WITHIN)
        .diff_words(old, new);
    let (mut old_parts, mut new_parts) = (Vec::new(), Vec::new());
    let mut common = 0;
    for change in diff.iter_all_changes() {
        let text = change.value();
        match change.tag() {
            ChangeTag::Equal => {
                common += text.trim().len();
                push(&mut old_parts, text, false);
                push(&mut new_parts, text, false);
            }
            ChangeTag::Delete => push(&mut old_parts, text, true),
            ChangeTag::Insert => push(&mut new_parts, text, true),
        }
    }
    if common * 4 < old.trim().len().max(new.trim().len()) {
        return (plain(old), plain(new));
    }
    (old_parts, new_parts)
}

fn push(parts: &mut Vec<Part>, text: &str, is_changed: bool) {
    match parts.last_mut() {
        Some(last) if last.is_changed == is_changed => last.text.push_str(text),
        _ => parts.push(Part {
            text: text.to_owned(),
            is_changed,
        }),
    }
}

fn render(blocks: &[Block]) -> Markup {
    let mut left = MAX_CHANGED;
    let (mut n_removed, mut n_added) = (0_u64, 0_u64);
    for line in blocks.iter().flat_map(|block| match block {
        Block::Shown(lines) => lines.as_slice(),
        Block::Folded(..) => &[],
    }) {
        n_removed += u64::from(line.new.is_none());
        n_added += u64::from(line.old.is_none());
    }
    html! {
        @if blocks.is_empty() {
            p.empty { "The documents are the same." }
        } @else {
            p.diff-size {
                span.added { "+" (n_added) } " " span.removed { "−" (n_removed) }
                span.sr { " (lines added and removed)" }
            }
            div.diff {
                @for block in blocks {
                    @match block {
                        Block::Shown(lines) => {
                            @let shown = take(&mut left, lines.len());
                            (table(&lines[..shown]))
                            @if shown < lines.len() {
                                p.empty { (counted((lines.len() - shown) as u64, "more line")) " not shown" }
                            }
                        }
                        Block::Folded(n, lines) if lines.is_empty() => {
                            p.fold { (counted(*n as u64, "unchanged line")) }
                        }
                        Block::Folded(n, lines) => {
                            details.fold {
                                summary { (counted(*n as u64, "unchanged line")) }
                                (table(lines))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table(lines: &[Line]) -> Markup {
    html! {
        table role="presentation" {
            @for line in lines {
                @let (class, sign) = match (line.old, line.new) {
                    (Some(_), None) => ("del", "−"),
                    (None, Some(_)) => ("add", "+"),
                    _ => ("same", ""),
                };
                tr.(class) {
                    td.no { @if let Some(old) = line.old { (old) } }
                    td.no { @if let Some(new) = line.new { (new) } }
                    td.sign { (sign) }
                    td.line {
                        @for part in &line.parts {
                            @if !part.is_changed { (visible(&part.text)) }
                            @else if line.new.is_none() { del { (visible(&part.text)) } }
                            @else { ins { (visible(&part.text)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Takes at most `n` of what is left, and returns how much.
fn take(left: &mut usize, n: usize) -> usize {
    let taken = n.min(*left);
    *left -= taken;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(blocks: &[Block]) -> String {
        let mut text = String::new();
        for block in blocks {
            match block {
                Block::Folded(n, lines) => text.push_str(&format!("fold {n} {}\n", lines.len())),
                Block::Shown(lines) => {
                    for line in lines {
                        let number = |n: Option<usize>| n.map_or("-".to_owned(), |n| n.to_string());
                        text.push_str(&format!("{} {} ", number(line.old), number(line.new)));
                        for part in &line.parts {
                            let mark = if part.is_changed { "*" } else { "" };
                            text.push_str(&format!("{mark}{}{mark}", part.text));
                        }
                        text.push('\n');
                    }
                }
            }
        }
        text
    }

    fn numbered(n: usize) -> Vec<String> {
        (1..=n).map(|at| format!("line {at}")).collect()
    }

    #[test]
    fn words_are_marked_and_the_rest_is_folded() {
        let old = numbered(20);
        let mut new = old.clone();
        new[9] = "line ten".to_owned();
        let (old, new) = (old.join("\n") + "\n", new.join("\n") + "\n");
        let expected = "fold 6 6\n7 7 line 7\n8 8 line 8\n9 9 line 9\n10 - line *10*\n- 10 line *ten*\n\
            11 11 line 11\n12 12 line 12\n13 13 line 13\nfold 7 7\n";
        assert_eq!(shown(&blocks_of_texts(&old, &new)), expected);
        let unified = similar::TextDiff::from_lines(&*old, &new)
            .unified_diff()
            .context_radius(3)
            .header("a", "b")
            .to_string();
        let expected = expected
            .replace("fold 6 6", "fold 6 0")
            .replace("fold 7 7\n", "");
        assert_eq!(shown(&blocks_of_unified(&unified)), expected);
    }

    #[test]
    fn equal_documents_have_no_blocks_and_new_ones_are_added_whole() {
        assert_eq!(blocks_of_texts("a\n", "a\n"), []);
        assert_eq!(shown(&blocks_of_texts("", "a\nb\n")), "- 1 a\n- 2 b\n");
        assert_eq!(shown(&blocks_of_texts("a\nb\n", "b\n")), "1 - a\n2 1 b\n");
    }

    #[test]
    fn lines_without_common_words_are_not_marked() {
        let blocks = blocks_of_texts("alpha: 1\n", "entirely different words\n");
        assert_eq!(
            shown(&blocks),
            "1 - alpha: 1\n- 1 entirely different words\n"
        );
    }

    #[test]
    fn markup_of_a_document_is_text() {
        let page = of_texts("a: <b>\n", "a: <script>alert(1)</script>\n").into_string();
        assert!(
            !page.contains("<script>") && !page.contains("<b>"),
            "{page}"
        );
    }
}
