//! Limits of the excerpts from an intent.

/// The maximum number of characters of an intent in the rationale.
pub(crate) const MAX_RATIONALE: usize = 500;

/// The maximum number of characters of an intent in a refusal.
pub(crate) const MAX_CITED: usize = 120;

/// Returns the first `most` characters of `text`, with an ellipsis if it was cut.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
