//! Fenced code blocks as CommonMark 0.31 §4.5 defines them: by line and length.

use std::ops::Range;

use crate::flow::intent::source::lines;

/// A fenced block of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fence {
    /// Where the line of the opening fence begins.
    pub(super) start: usize,
    /// What is between the fences.
    pub(super) body: Range<usize>,
    /// Where the block ends: behind the closing fence, or at the end of the text.
    pub(super) end: usize,
    /// True if there is a closing fence.
    pub(super) is_closed: bool,
}

/// An opening code fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opening {
    marker: u8,
    length: usize,
}

/// True if `line` opens a fenced block.
pub(super) fn opens(line: &str) -> bool {
    opening(line).is_some()
}

/// The fenced blocks of `text`, in their order.
pub(super) fn fences(text: &str) -> Vec<Fence> {
    let mut found = Vec::new();
    let mut open: Option<(Opening, usize, usize)> = None;
    for (at, line) in lines(text) {
        match open {
            None => {
                if let Some(opening) = opening(line) {
                    let body = text[at..].find('\n').map_or(text.len(), |n| at + n + 1);
                    open = Some((opening, at, body));
                }
            }
            Some((opening, start, body)) if closes(line, opening) => {
                found.push(Fence {
                    start,
                    body: body..at,
                    end: at + line.len(),
                    is_closed: true,
                });
                open = None;
            }
            Some(_) => {}
        }
    }
    // Without a closing fence the block goes to the end of the document.
    if let Some((_, start, body)) = open {
        found.push(Fence {
            start,
            body: body..text.len(),
            end: text.len(),
            is_closed: false,
        });
    }
    found
}

/// The run of at least three equal markers that `line` begins with, indented by up to three
/// spaces, and what is behind it.
fn run(line: &str) -> Option<(Opening, &str)> {
    let text = line.trim_start_matches(' ');
    if line.len() - text.len() > 3 {
        return None;
    }
    let marker = *text.as_bytes().first()?;
    let length = text.bytes().take_while(|byte| *byte == marker).count();
    (matches!(marker, b'`' | b'~') && length >= 3)
        .then(|| (Opening { marker, length }, &text[length..]))
}

fn opening(line: &str) -> Option<Opening> {
    let (opening, info) = run(line)?;
    // The info string of a fence of backticks has none: else it is a code span.
    (opening.marker == b'~' || !info.contains('`')).then_some(opening)
}

fn closes(line: &str, opening: Opening) -> bool {
    run(line).is_some_and(|(closing, rest)| {
        closing.marker == opening.marker
            && closing.length >= opening.length
            && rest.bytes().all(|byte| matches!(byte, b' ' | b'\t'))
    })
}
