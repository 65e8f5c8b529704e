//! Reads an intent without a model: as a patch, or as sentences. `docs/intents.md` is the
//! description of this language.
//!
//! An intent is understood whole or refused whole. A refusal names the place and the remedy.
//! What stands in double quotes or in a block is data and is never read as a sentence.
//!
//! Intents come from untrusted callers and are up to 64 KiB long: reading takes time linear in the
//! intent. A bare text is scanned once for the sentence that ends it, and what is looked at from a
//! possible start of a sentence does not go beyond the next `;` or newline, except in JSON and
//! blocks, which are then passed over.

mod fence;
mod limits;
mod patch;
mod sentence;
mod source;
mod value;

#[cfg(test)]
mod tests;

use shared::blueprint::Doc;

use crate::flow::intent::limits::{MAX_RATIONALE, cut};
use crate::flow::intent::sentence::Reader;
use crate::flow::intent::source::Source;

pub(super) use self::sentence::Sentence;

/// What an intent asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Intent {
    /// A patch `{ops, bump, rationale}`.
    Patch(Doc),
    /// Sentences, in their order.
    Sentences(Vec<Sentence>),
}

impl Intent {
    /// The form in which a script gets the intent `text`: `{patch}` or `{sentences, rationale}`.
    pub(super) fn into_doc(self, text: &str) -> Doc {
        match self {
            Intent::Patch(patch) => Doc::object([("patch", patch)]),
            Intent::Sentences(sentences) => {
                let sentences = sentences.into_iter().map(Sentence::into_doc).collect();
                Doc::object([
                    ("sentences", Doc::array(sentences)),
                    ("rationale", cut(source::trim(text), MAX_RATIONALE).into()),
                ])
            }
        }
    }
}

/// Reads `text`.
///
/// # Errors
/// Why it is refused: the place, what is wrong, and what to write instead.
pub(super) fn read(text: &str) -> Result<Intent, String> {
    let source = Source::new(text);
    let reader = Reader::new(&source);
    let first = source.skip_separators(0);
    if matches!(source.byte(source.skip_blanks(0)), Some(b'[' | b'{')) {
        return patch::whole(&source).map(Intent::Patch);
    }
    if reader.begins_at(first) {
        return reader.sentences(first).map(Intent::Sentences);
    }
    let fences = fence::fences(text);
    let Some((fence, others)) = fences.split_first() else {
        return Err(reader.not_understood(first));
    };
    reader.check_prose(&fences)?;
    patch::in_fence(&source, fence, others).map(Intent::Patch)
}
