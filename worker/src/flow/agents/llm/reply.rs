//! Reads a model's reply: the one JSON object in it, and a patch where one is required.
//!
//! A reply that is a JSON object is used as it is. Otherwise a leading thought (`<think>…</think>`)
//! is removed. The single object in the rest is used, even in a Markdown fence or between
//! sentences. The reader does not guess: text that looks like an object must be valid JSON, and two
//! objects are an error.

use shared::blueprint::label::Bump;
use shared::blueprint::patch::{self, OpError, PatchError};
use shared::blueprint::{Doc, json};
use shared::domain::commit::MAX_RATIONALE_BYTES;

use crate::flow::agents::llm::unusable::Unusable;

/// The maximum number of opening brackets to examine, because each may require a scan of the whole
/// text.
const MAX_OPENINGS: usize = 100;
/// The tags that models use for a thought.
const THOUGHT_TAGS: [(&str, &str); 3] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
];

/// Returns the JSON object in `text`.
///
/// # Errors
/// [`Unusable`] with the kind of the reply.
pub(super) fn read(text: &str) -> Result<Doc, Unusable> {
    let text = text.trim();
    if let Some(whole) = whole(text) {
        return whole;
    }
    let Some(rest) = after_thought(text) else {
        return Err(Unusable::Thought);
    };
    if rest.is_empty() {
        return Err(match text.is_empty() {
            true => Unusable::Empty,
            false => Unusable::Thought,
        });
    }
    if let Some(whole) = whole(rest) {
        return whole;
    }
    let found = inside(rest);
    // Some chat templates add the opening tag themselves, so a reply contains only the closing tag.
    let closing = THOUGHT_TAGS
        .iter()
        .find_map(|(_, close)| Some((rest.find(close)?, close.len())));
    match (found, closing) {
        (Ok((object, end)), closing) if closing.is_none_or(|(at, _)| end > at) => Ok(object),
        (Err(unusable), None) => Err(unusable),
        (_, closing) => {
            let (at, length) = closing.unwrap_or_default();
            match rest[at + length..].trim() {
                "" => Err(Unusable::Thought),
                tail => whole(tail).unwrap_or_else(|| inside(tail).map(|(object, _)| object)),
            }
        }
    }
}

/// Returns the result if `text` is a single JSON value; otherwise `None`.
fn whole(text: &str) -> Option<Result<Doc, Unusable>> {
    match json::parse(text) {
        Ok(object @ Doc::Object(_)) => Some(Ok(object)),
        Ok(other) => Some(Err(Unusable::Other(other.kind()))),
        Err(_) => None,
    }
}

/// Returns `text` without its leading thoughts; `None` if a thought is not closed.
fn after_thought(mut text: &str) -> Option<&str> {
    let opened = |text: &str| {
        let mut tags = THOUGHT_TAGS.iter();
        tags.find(|(open, _)| text.starts_with(open)).copied()
    };
    while let Some((_, close)) = opened(text) {
        text = text.split_once(close)?.1.trim_start();
    }
    Some(text)
}

/// Returns the only object within `text`, and its end.
fn inside(text: &str) -> Result<(Doc, usize), Unusable> {
    let (mut at, mut n_openings) = (0, 0);
    let mut found: Vec<Result<(Doc, usize), Unusable>> = Vec::new();
    while let Some(next) = text[at..].find(['{', '[']) {
        at += next;
        n_openings += 1;
        if n_openings > MAX_OPENINGS {
            return Err(Unusable::Several(found.len()));
        }
        let rest = &text[at..];
        let span = balanced(rest).map(|end| &rest[..end]);
        match Opening::of(rest) {
            Opening::Json => {
                let span = span.unwrap_or(rest);
                // Skips the whole span, even if it is damaged, so that nothing within it counts as
                // an object.
                at += span.len();
                found.push(value(span).map(|object| (object, at)));
            }
            // A placeholder such as {name}. Skips it, so that nothing within it counts as an
            // object.
            Opening::Brace => at += span.map_or(1, str::len),
            Opening::Bracket => at += 1,
        }
    }
    match found.len() {
        0 => Err(Unusable::Text),
        1 => found.remove(0),
        n => Err(Unusable::Several(n)),
    }
}

/// The kind of an opening bracket in a text.
enum Opening {
    /// The start of an object, or of an array of objects.
    Json,
    /// A brace that does not start an object.
    Brace,
    /// A literal square bracket, as in a reference.
    Bracket,
}

impl Opening {
    fn of(rest: &str) -> Opening {
        let mut letters = rest.chars().filter(|letter| !letter.is_whitespace());
        match (letters.next(), letters.next()) {
            (Some('{'), Some('"' | '}')) | (Some('['), Some('{')) => Opening::Json,
            (Some('{'), _) => Opening::Brace,
            _ => Opening::Bracket,
        }
    }
}

fn value(span: &str) -> Result<Doc, Unusable> {
    match json::parse(span) {
        Ok(object @ Doc::Object(_)) => Ok(object),
        Ok(other) => Err(Unusable::Other(other.kind())),
        Err(error) => Err(Unusable::Invalid(error.to_string())),
    }
}

/// Returns the end of the bracketed part at the start of `text`. Brackets within JSON strings do
/// not count.
fn balanced(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Returns the reason why `reply` is not a patch, or `None` if it is one. The reason completes the
/// words "an object that". The applier repeats this check; here the model can still correct its
/// reply.
pub(super) fn no_patch(reply: &Doc) -> Option<String> {
    let Some(ops) = reply.get("ops").and_then(Doc::as_array) else {
        return Some("has no ops, an array of RFC 6902 operations".to_owned());
    };
    if ops.len() > patch::MAX_OPS {
        return Some(format!("has more than {} ops", patch::MAX_OPS));
    }
    // Applies each operation alone to an empty document. This checks its shape, not whether it
    // applies.
    let nothing = Doc::object::<&str>([]);
    for (index, op) in ops.iter().enumerate() {
        let tried = patch::apply(&nothing, &Doc::array(vec![op.clone()]));
        if let Err(PatchError::Op { source, .. }) = tried
            && is_about_shape(&source)
        {
            return Some(format!("has no operation in ops[{index}]: {source}"));
        }
    }
    let bump = reply.get("bump").and_then(Doc::as_str);
    if bump.is_none_or(|bump| Bump::parse(bump).is_err()) {
        return Some("has no bump, which is \"major\", \"minor\" or \"patch\"".to_owned());
    }
    match reply.get("rationale").and_then(Doc::as_str) {
        None => Some("has no rationale, a string".to_owned()),
        Some(text) if text.len() > MAX_RATIONALE_BYTES => Some(format!(
            "has a rationale of {} bytes; the limit is {MAX_RATIONALE_BYTES}",
            text.len()
        )),
        Some(_) => None,
    }
}

fn is_about_shape(error: &OpError) -> bool {
    matches!(
        error,
        OpError::NotAnObject { .. }
            | OpError::MissingMember { .. }
            | OpError::MistypedMember { .. }
            | OpError::UnknownOp
            | OpError::Pointer { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_taken_wherever_it_stands() {
        for good in [
            "{\"a\": 1}",
            " \n{\"a\": 1}\n",
            "```json\n{\"a\": 1}\n```",
            "```\n{\"a\": 1}```\n",
            "<think>It could be {\"a\": 2}.</think>{\"a\": 1}",
            "<think>\n</think>\n\n```json\n{\"a\": 1}\n```",
            "<thinking>x</thinking> <think>y</think> Here: {\"a\": 1}.",
            "It could be {\"a\": 2} or {\"a\": 3}.\n</think>\n{\"a\": 1}",
            "Here: {\"a\": 1}",
            "As in [1] and [the docs](http://x) {ops} becomes:\n\n~~~~\n{\n \"a\": 1\n}\n~~~~\nDone [x].",
            "{see {\"b\": 2}} {\"a\": 1}",
        ] {
            assert_eq!(
                read(good).map(|doc| json::emit(&doc)),
                Ok("{\"a\":1}".to_owned()),
                "{good}"
            );
        }
        // Text inside the object that resembles a thought or another object belongs to the object.
        let within = r#"Here: {"a": "</think> {\"b\": 1} ``` } { [{"}"#;
        let object = read(within).unwrap();
        assert_eq!(
            object.get("a").and_then(Doc::as_str),
            Some("</think> {\"b\": 1} ``` } { [{")
        );
    }

    #[test]
    fn what_is_not_one_object_is_named() {
        for (bad, what) in [
            ("", "an empty reply"),
            ("sorry", "text without a JSON object"),
            ("```json\n```", "text without a JSON object"),
            ("``````", "text without a JSON object"),
            ("[]", "an array"),
            ("Here: [{\"op\": \"remove\"}]", "an array"),
            ("\"{}\"", "a string"),
            ("{\"a\": 1} {}", "2 JSON objects"),
            (
                "```\n{\"a\": 1}\n```\nor\n```\n{\"a\": 1}\n```",
                "2 JSON objects",
            ),
            ("<think>{\"a\": 1}", "a thought without an answer"),
            ("<think>{\"a\": 1}</think>", "a thought without an answer"),
            ("{\"a\": 1} or so</think>\n", "a thought without an answer"),
            (
                "{\"a\": 1} or so</think>\nDone.",
                "text without a JSON object",
            ),
            ("{\"a\":1,\"a\":2}", "damaged JSON"),
            ("{\"a\": 1,}", "damaged JSON"),
            // No part of a damaged object is used in place of the whole.
            (
                "So: {\"ops\": [{\"op\": \"x\"}], \"b\": 1,} and on",
                "damaged JSON",
            ),
            ("{\"ops\": [{\"op\": \"x\"}", "damaged JSON"),
            ("{\"value\": 1e400}", "damaged JSON"),
        ] {
            let found = match read(bad) {
                Ok(doc) => json::emit(&doc),
                Err(unusable) => unusable.to_string(),
            };
            assert!(found.starts_with(what), "{bad}: {found}");
        }
    }

    #[test]
    fn a_text_of_brackets_is_given_up() {
        let started = std::time::Instant::now();
        for text in [
            "{".repeat(1 << 20),
            "[{x".repeat(1 << 18),
            "{\"".repeat(1 << 19),
        ] {
            assert!(read(&text).is_err());
        }
        // A quadratic search would take hours.
        assert!(started.elapsed().as_secs() < 60);
    }

    #[test]
    fn what_the_bundled_prompt_shows_are_patches() {
        let agent =
            shared::blueprint::yaml::parse(crate::flow::scripts::PATCH_SPAWNER_LLM_YAML).unwrap();
        let profile = agent.get("profile").unwrap();
        let prompt = profile.get("system_prompt").and_then(Doc::as_str).unwrap();
        let examples = prompt.split_once("# Examples").unwrap().1;
        let shown: Vec<_> = examples.lines().filter(|l| l.starts_with('{')).collect();
        assert_eq!(shown.len(), 3);
        for patch in shown {
            assert_eq!(no_patch(&read(patch).unwrap()), None, "{patch}");
        }
    }

    #[test]
    fn what_is_no_patch_is_named() {
        let whole = r#"{"ops": [{"op": "add", "path": "/a/b", "value": 1}, {"op": "remove", "path": "/x/0"}], "bump": "patch", "rationale": "r"}"#;
        assert_eq!(no_patch(&read(whole).unwrap()), None);
        let long = format!("\"{}\"", "r".repeat(MAX_RATIONALE_BYTES + 1));
        for (from, to, word) in [
            ("\"ops\"", "\"op\"", "no ops"),
            (
                "\"remove\"",
                "\"delete\"",
                "ops[1]: there is no such operation",
            ),
            ("\"/x/0\"", "\"x\"", "ops[1]"),
            (", \"value\": 1", "", "ops[0]: the member value is missing"),
            ("\"patch\"", "\"tiny\"", "bump"),
            ("\"r\"", "1", "rationale"),
            (
                "\"r\"",
                &long,
                "a rationale of 65537 bytes; the limit is 65536",
            ),
        ] {
            let problem = no_patch(&read(&whole.replace(from, to)).unwrap());
            let problem = problem.unwrap_or_else(|| panic!("{to} is taken"));
            assert!(problem.contains(word), "{to}: {problem}");
        }
    }
}
