//! Limits of what an intent's reader cites.

/// Characters of an intent that become the rationale, at most.
pub(crate) const MAX_RATIONALE: usize = 500;

/// Characters of an intent that a refusal cites, at most.
pub(crate) const MAX_CITED: usize = 120;

/// The first `most` characters of `text`.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
