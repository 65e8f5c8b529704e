//! Intents that are, or contain, a patch as JSON.

use crate::blueprint::{Doc, json};

use crate::intent::advice::UNDERSTOOD;
use crate::intent::fence::Fence;
use crate::intent::limits::{MAX_CITED, MAX_RATIONALE, cut};
use crate::intent::source::{Source, trim};

/// The default rationale of a patch.
const NO_RATIONALE: &str = "as given in the intent";

/// Parses the whole intent as a patch.
pub(super) fn whole(source: &Source<'_>) -> Result<Doc, String> {
    let start = source.skip_blanks(0);
    let found = json_between(source, start, source.text.len())
        .and_then(|doc| patch_of(doc, NO_RATIONALE.to_owned()));
    found.map_err(|problem| {
        format!(
            "not understood: {:?} ({}: read as JSON: {problem}); understood are: {}",
            cut(trim(source.text), MAX_CITED),
            source.position(start),
            UNDERSTOOD
        )
    })
}

/// Parses the patch in `fence`, the only fenced block of an intent that is otherwise prose. Refuses
/// `others`.
pub(super) fn in_fence(
    source: &Source<'_>,
    fence: &Fence,
    others: &[Fence],
) -> Result<Doc, String> {
    if let Some(second) = others.first() {
        return Err(format!(
            "{}: this is the second fenced block; an intent may hold one, which is the patch",
            source.position(second.start)
        ));
    }
    let before = trim(&source.text[..fence.start]);
    let rationale = match before {
        "" => NO_RATIONALE.to_owned(),
        _ => cut(before, MAX_RATIONALE),
    };
    let start = source.skip_blanks(fence.body.start).min(fence.body.end);
    let found =
        json_between(source, start, fence.body.end).and_then(|doc| patch_of(doc, rationale));
    found.map_err(|problem| {
        let unclosed = if fence.is_closed {
            ""
        } else {
            "; the block has no closing fence"
        };
        format!(
            "{}: the fenced block is not a patch (read as JSON: {problem}){unclosed}; it must hold an RFC 6902 array \
             or {{ops, bump, rationale}}",
            source.position(fence.start)
        )
    })
}

/// Parses the JSON between two positions, which must extend to the second.
fn json_between(source: &Source<'_>, start: usize, end: usize) -> Result<Doc, String> {
    let text = &source.text[..end];
    let (doc, stop) = json::value_at(text, start).map_err(|error| error.to_string())?;
    let rest = source.skip_separators(stop).min(end);
    if rest < end {
        return Err(format!(
            "{}: something follows the JSON: {:?}",
            source.position(rest),
            cut(trim(&text[rest..]), MAX_CITED)
        ));
    }
    Ok(doc)
}

/// Converts `doc` to a patch.
fn patch_of(doc: Doc, rationale: String) -> Result<Doc, String> {
    match &doc {
        Doc::Object(members) if members.contains_key("ops") => {
            let unknown = members
                .keys()
                .find(|key| !matches!(&***key, "ops" | "bump" | "rationale"));
            if let Some(key) = unknown {
                return Err(format!(
                    "the patch has the unknown member {:?}; it may have ops, bump and rationale",
                    cut(key, MAX_CITED)
                ));
            }
            let member = |key: &str, missing: &str| {
                members
                    .get(key)
                    .cloned()
                    .unwrap_or_else(|| Doc::from(missing))
            };
            Ok(Doc::object([
                ("ops", member("ops", "")),
                ("bump", member("bump", "patch")),
                ("rationale", member("rationale", &rationale)),
            ]))
        }
        Doc::Array(items) => {
            if let Some(n) = items.iter().position(|item| item.get("op").is_none()) {
                return Err(format!(
                    "it is JSON, but neither an array of operations nor an object with ops: element {n} has no member \"op\""
                ));
            }
            Ok(Doc::object([
                ("ops", doc.clone()),
                ("bump", Doc::from("patch")),
                ("rationale", Doc::from(rationale.as_str())),
            ]))
        }
        _ => {
            Err("it is JSON, but neither an array of operations nor an object with ops".to_owned())
        }
    }
}
