//! Parses an intent without a model: as a patch, or as sentences. `docs/intents.md` specifies the
//! language.
//!
//! An intent is parsed completely or refused. A refusal names the position and the remedy. Text in
//! double quotes or in a block is data and is never parsed as a sentence.
//!
//! Intents are untrusted input of up to 64 KiB. Parsing takes time linear in the length of the
//! intent. A bare text is scanned once for the sentence that ends it. The check for the start of a
//! sentence looks no further than the next `;` or newline. JSON and blocks are exceptions, which
//! the parser then skips.

mod advice;
mod fence;
mod limits;
mod patch;
mod sentence;
mod source;
mod value;

#[cfg(test)]
mod tests;

use crate::blueprint::Doc;

use crate::intent::limits::{MAX_RATIONALE, cut};
use crate::intent::sentence::Reader;
use crate::intent::source::Source;

use self::sentence::Sentence;

/// A parsed intent.
#[derive(Debug, Clone, PartialEq)]
enum Intent {
    /// A patch `{ops, bump, rationale}`.
    Patch(Doc),
    /// Sentences, in order.
    Sentences(Vec<Sentence>),
}

impl Intent {
    /// Returns the intent `text` in the form for scripts: `{patch}` or `{sentences, rationale}`.
    fn into_doc(self, text: &str) -> Doc {
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

/// Parses the intent `text` and returns it in the form for scripts: `{patch}` or `{sentences,
/// rationale}`.
///
/// # Errors
/// The reason for the refusal: the position, the problem, and the remedy.
pub fn to_doc(text: &str) -> Result<Doc, String> {
    read(text).map(|read| read.into_doc(text))
}

/// Returns why the bundled spawner cannot parse the intent `text`, as [`to_doc`] does; `None` if it
/// can. It does not depend on the document, which may change before the intent is its turn.
pub fn problem(text: &str) -> Option<String> {
    read(text).err()
}

/// Parses `text`.
///
/// # Errors
/// The reason for the refusal: the position, the problem, and the remedy.
fn read(text: &str) -> Result<Intent, String> {
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
