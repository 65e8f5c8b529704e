//! Finds fenced code blocks as defined in CommonMark 0.31 §4.5.

use std::ops::Range;

use crate::intent::source::lines;

/// A fenced block in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fence {
    /// The start of the opening fence's line.
    pub(super) start: usize,
    /// The range between the fences.
    pub(super) body: Range<usize>,
    /// The end of the block: after the closing fence, or the end of the text.
    pub(super) end: usize,
    /// True if the block has a closing fence.
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

/// Returns the fenced blocks of `text`, in order.
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
    // CommonMark: without a closing fence the block extends to the end of the document.
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

/// Returns the run of at least three equal markers at the start of `line` and the text after it.
/// The indentation is at most three spaces.
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
    // The info string after backticks contains no backticks; otherwise it is a code span.
    (opening.marker == b'~' || !info.contains('`')).then_some(opening)
}

fn closes(line: &str, opening: Opening) -> bool {
    run(line).is_some_and(|(closing, rest)| {
        closing.marker == opening.marker
            && closing.length >= opening.length
            && rest.bytes().all(|byte| matches!(byte, b' ' | b'\t'))
    })
}
